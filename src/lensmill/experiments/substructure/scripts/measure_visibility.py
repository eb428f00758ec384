"""Rule measure_visibility: settings in, the significance of given amounts of substructure out."""

from lensmill.experiments.substructure import visibility
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
visibility.measure_visibility(
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
    output=snakemake.output[0],
)
