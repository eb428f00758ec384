"""Rule plot_figure: results in, one figure out, as PDF and as PNG."""

from lensmill import experiments, plotting
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
figure = experiments.load(snakemake.wildcards.experiment, f"figures.{snakemake.wildcards.figure}")
plotting.save(figure.plot, dict(snakemake.input.items()), list(snakemake.output))
