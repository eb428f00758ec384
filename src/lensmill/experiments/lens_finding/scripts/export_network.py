"""Rule export_network: a network and its images in, the network as ONNX and a report out."""

from lensmill.experiments.lens_finding import network
from lensmill.learning import export
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
files, output = snakemake.input, snakemake.output
is_lens, known = network.labels(files.dataset)
export.export(
    model=files.model,
    training=files.training,
    dataset=files.dataset,
    split=files.split,
    output_onnx=output.onnx,
    output_int8=output.int8,
    report=output.report,
    labels=is_lens,
    known=known,
    threads=snakemake.threads,
)
