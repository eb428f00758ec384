"""Rule set_first_stage: what both stages say of a population in, a threshold out."""

from lensmill.experiments.lens_finding import network, survey
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
files, params = snakemake.input, snakemake.params
is_lens, known = network.labels(files.dataset)
survey.write_first_stage(
    network.recalled(files.first, files.dataset),
    network.recalled(files.full, files.dataset),
    known & ~is_lens,
    files.dataset,
    files.split,
    files.reference,
    snakemake.output[0],
    {"first": snakemake.wildcards.network, "full": params.full},
    params.lost,
)
