"""Rule evaluate_network: a network and populations in, predictions and scores out."""

from lensmill import experiments
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
job, params, output = snakemake.wildcards, snakemake.params, snakemake.output
evaluate = experiments.load(job.experiment, "evaluate").evaluate
tests = zip(params.tests.items(), output.predictions, output.scores, strict=True)
for (population, files), predictions, scores in tests:
    given = {
        name: files[name] for name in ("reference", "learned", "learned_split") if name in files
    }
    evaluate(
        model=snakemake.input.model,
        training=snakemake.input.training,
        dataset=files["dataset"],
        split=files.get("split"),
        settings=params.settings,
        seed=params.seed,
        threads=snakemake.threads,
        predictions=predictions,
        scores=scores,
        network=job.network,
        population=population,
        **given,
    )
