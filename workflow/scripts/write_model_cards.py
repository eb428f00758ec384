"""Rule write_model_cards: records and scores of all networks in, their cards out."""

from lensmill.learning import model_card
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
model_card.write(
    trainings=list(snakemake.input.trainings),
    scores=list(snakemake.input.scores),
    populations=snakemake.params.populations,
    citation=snakemake.input.citation,
    outputs=list(snakemake.output),
)
