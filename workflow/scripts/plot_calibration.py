"""Rule plot_calibration: scored predictions in, the page of their calibration out."""

from lensmill import experiments, plotting
from lensmill.learning import calibration_page
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
plotting.save(
    calibration_page.plot,
    dict(snakemake.input.items()),
    [snakemake.output[0]],
    getattr(experiments.load(snakemake.wildcards.experiment, "figures"), "NAMES", {}),
)
