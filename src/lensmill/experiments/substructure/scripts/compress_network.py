"""Rule compress_network: a network and its images in, the network in 8 bits and a report out."""

from lensmill.experiments.substructure import published, systems
from lensmill.learning import export
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
files, output = snakemake.input, snakemake.output
label, known = systems.labels(files.dataset)
export.export(
    model=files.model,
    training=files.training,
    dataset=files.dataset,
    split=files.split,
    output_onnx=output.onnx,
    output_int8=output.int8,
    report=output.report,
    labels=label,
    known=known,
    threads=snakemake.threads,
    permitted=published.PERMITTED,
)
