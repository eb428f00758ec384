"""Rule plot_figure: results in, one figure out, as PDF and as PNG."""

from lensmill import experiments, plotting
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
job = snakemake.wildcards
plotting.save(
    experiments.load(job.experiment, f"figures.{job.figure}").plot,
    dict(snakemake.input.items()),
    list(snakemake.output),
    getattr(experiments.load(job.experiment, "figures"), "NAMES", {}),
)
