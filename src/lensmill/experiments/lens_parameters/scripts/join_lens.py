"""Rule join_lens: posteriors by an image and by delays in, both together out."""

from lensmill.experiments.lens_parameters import joint
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
joint.join_lens(
    snakemake.input.image,
    snakemake.input.lens,
    snakemake.output.draws,
    snakemake.output.text,
    prior=snakemake.params.prior,
    system=snakemake.params.system,
)
