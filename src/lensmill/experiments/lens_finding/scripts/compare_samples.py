"""Rule compare_samples: made and real lenses in, how well they are told apart out."""

from lensmill.experiments.lens_finding import two_samples
from lensmill.pipeline import intact, logs, scores

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
files, params = snakemake.input, snakemake.params
found = two_samples.compare(
    made=dict(zip(params.names, files.made, strict=True)),
    real=files.real,
    observation=params.observation,
    seed=params.seed,
)
scores.write(snakemake.output[0], found)
