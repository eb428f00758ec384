"""Rule compare_masses: scores and predictions of networks in, a table of them and of pairs out."""

from lensmill import experiments
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
files, trainings = snakemake.input, snakemake.params.trainings
scores, predictions = iter(files.scores), iter(files.predictions)
experiments.load("cluster_mass", "comparison").compare(
    scores={name: [next(scores) for _ in range(n)] for name, n in trainings.items()},
    predictions={name: [next(predictions) for _ in range(n)] for name, n in trainings.items()},
    published=files.published,
    seed=snakemake.params.seed,
    table=snakemake.output.table,
    page=snakemake.output.page,
)
