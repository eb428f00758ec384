"""Rule export_network: a network and its images in, the network as ONNX and a report out."""

from lensmill.learning import export
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
files, output = snakemake.input, snakemake.output
export.export(
    model=files.model,
    training=files.training,
    dataset=files.dataset,
    split=files.split,
    output_onnx=output.onnx,
    output_int8=output.int8,
    report=output.report,
    threads=snakemake.threads,
)
