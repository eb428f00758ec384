"""Rule check_dataset: a data set in, findings out; a failed check stops the run."""

from lensmill import experiments
from lensmill.pipeline import checks, intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
check = experiments.load(snakemake.wildcards.experiment, "check").check
found = check(snakemake.input[0], snakemake.params.settings)
checks.report(found, snakemake.output[0], snakemake.log.copies)
