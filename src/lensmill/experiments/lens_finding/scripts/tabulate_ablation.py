"""Rule tabulate_ablation: scored predictions of every step in, the table of steps out."""

from lensmill.experiments.lens_finding import ablation
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
ablation.tabulate(
    steps=snakemake.params.steps,
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
    table=snakemake.output.table,
    page=snakemake.output.page,
)
