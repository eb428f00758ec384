"""From real systems to the Hubble constant: steps only the time-delay experiment has.

Reads:  results/time_delay/data/, results/time_delay/scores/
Writes: results/time_delay/hubble/{population}/, results/time_delay/lens/{lens}/
"""

from lensmill.experiments.time_delay.settings import name_of_lens, own_table

HUBBLE = config["experiments"]["time_delay"]["hubble"]

# The population that stands for the family of lens models: the networks learn from it.
FAMILY = checked.population(config["experiments"]["time_delay"], HUBBLE["family"])
TRAINED = {name: FAMILY["prior"][name] for name in ("h0", "omega_m")}
PRIOR = {"h0": HUBBLE["h0"], "omega_m": TRAINED["omega_m"]}


OBSERVATION = config["experiments"]["time_delay"]["observations"][HUBBLE["observation"]]
MOCKS = HUBBLE["mocks"]
MOCK_POSTERIORS = expand(
    "results/time_delay/posteriors/{family}/{images}.{part}.h5",
    family=HUBBLE["family"],
    images=[2, 4],
    part=range(-(-MOCKS["systems"] // MOCKS["part"])),
)


rule sample_mocks:
    """Sample the exact posteriors of test systems of the family."""
    input:
        dataset=f"results/time_delay/data/{HUBBLE['family']}/dataset.h5",
        split=f"results/time_delay/data/{HUBBLE['family']}/split.h5",
    output:
        f"results/time_delay/posteriors/{HUBBLE['family']}/{{images}}.{{part}}.h5",
    log:
        f"results/time_delay/logs/sample_mocks/{HUBBLE['family']}.{{images}}.{{part}}.log",
    benchmark:
        f"results/time_delay/benchmarks/sample_mocks/{HUBBLE['family']}.{{images}}.{{part}}.tsv"
    wildcard_constraints:
        images="[24]",
        part=r"\d+",
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=HUBBLE["resources"]["mem_mb"],
        runtime=HUBBLE["resources"]["runtime"],
    params:
        prior=FAMILY["prior"],
        observation=OBSERVATION,
        settings=MOCKS,
        seed=config["seed"],
        code=code("experiments/time_delay/exact.py"),
    script:
        "scripts/sample_mocks.py"


# Under the prior of the family; and under a wide one, whose draws can be weighted to a population.
PRIORS = {
    "family": FAMILY["prior"],
    "wide": FAMILY["prior"] | HUBBLE["population"]["interim"],
}


rule sample_population:
    """Sample the exact posteriors of real systems."""
    input:
        dataset="results/time_delay/data/{population}/dataset.h5",
        checks="results/time_delay/data/{population}/checks.json",
    output:
        "results/time_delay/posteriors/{population}/{prior}.h5",
    log:
        "results/time_delay/logs/sample_population/{population}.{prior}.log",
    benchmark:
        "results/time_delay/benchmarks/sample_population/{population}.{prior}.tsv"
    wildcard_constraints:
        population=one_of(HUBBLE["populations"]),
        prior=one_of(PRIORS),
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=HUBBLE["resources"]["mem_mb"],
        runtime=HUBBLE["resources"]["runtime"],
    params:
        prior=lambda wildcards: PRIORS[wildcards.prior],
        settings=HUBBLE["posteriors"],
        seed=config["seed"],
        code=code("experiments/time_delay/exact.py"),
    script:
        "scripts/sample_population.py"


rule calibrate_family:
    """Set the tests of the family on its mocks, and measure what they do."""
    input:
        posteriors=MOCK_POSTERIORS,
        dataset=f"results/time_delay/data/{HUBBLE['family']}/dataset.h5",
        checks=f"results/time_delay/data/{HUBBLE['family']}/checks.json",
        split=f"results/time_delay/data/{HUBBLE['family']}/split.h5",
    output:
        "results/time_delay/hubble/family.json",
    log:
        "results/time_delay/logs/calibrate_family.log",
    conda:
        ROOT / "envs/simulate.yaml"
    params:
        prior=PRIOR,
        observation=OBSERVATION,
        false_alarm_rate=HUBBLE["false_alarm_rate"],
        seed=config["seed"],
        code=code("experiments/time_delay/verdicts.py"),
    script:
        "scripts/calibrate_family.py"


rule infer_hubble:
    """Put exact, predicted and published distances side by side; H0 of each and combined."""
    input:
        dataset="results/time_delay/data/{population}/dataset.h5",
        posteriors="results/time_delay/posteriors/{population}/family.h5",
        family="results/time_delay/hubble/family.json",
        predictions=lambda wildcards: expand(
            "results/time_delay/scores/{network}/{population}/predictions.h5",
            network=HUBBLE["networks"],
            population=wildcards.population,
        ),
    output:
        table=report(
            "results/time_delay/hubble/{population}/systems.ecsv",
            caption="report/systems.rst",
            category="time_delay",
            subcategory="real systems",
            labels={"table": "distances and H0", "population": "{population}"},
        ),
        summary="results/time_delay/hubble/{population}/hubble.json",
    log:
        "results/time_delay/logs/infer_hubble/{population}.log",
    wildcard_constraints:
        population=one_of(HUBBLE["populations"]),
    conda:
        ROOT / "envs/simulate.yaml"
    params:
        trained=TRAINED,
        prior=PRIOR,
        code=code("experiments/time_delay/hubble.py"),
    script:
        "scripts/infer_hubble.py"


OWN = config["experiments"]["time_delay"].get("lens")
OWN_RESULTS = f"results/time_delay/lens/{name_of_lens(OWN or 'none')}"


rule infer_lens:
    """Infer the posteriors of a user's own lenses, and judge them."""
    input:
        table=lambda wildcards: own_table(OWN, user_file),
        calibration="results/time_delay/hubble/family.json",
    output:
        posterior=f"{OWN_RESULTS}/posterior.h5",
        table=f"{OWN_RESULTS}/lens.ecsv",
        text=f"{OWN_RESULTS}/lens.txt",
        figures=directory(f"{OWN_RESULTS}/corner"),
    log:
        f"results/time_delay/logs/infer_lens/{Path(OWN_RESULTS).name}.log",
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=HUBBLE["resources"]["mem_mb"],
        runtime=HUBBLE["resources"]["runtime"],
    params:
        prior=FAMILY["prior"],
        h0=HUBBLE["h0"],
        settings=HUBBLE["posteriors"],
        seed=config["seed"],
        code=code("experiments/time_delay/lens.py"),
    script:
        "scripts/infer_lens.py"


localrules:
    lens,


rule lens:
    """The posterior of one's own lenses: `make lens CSV=my_lens.csv`; says what was found."""
    input:
        rules.infer_lens.output.text,
    log:
        "results/time_delay/logs/lens.log",
    conda:
        ROOT / "envs/simulate.yaml"
    shell:
        "cat {input} 2> {log}"


rule infer_population:
    """Let real systems answer for their own population, and for H0 with it."""
    input:
        dataset="results/time_delay/data/{population}/dataset.h5",
        posteriors="results/time_delay/posteriors/{population}/wide.h5",
        table="results/time_delay/hubble/{population}/systems.ecsv",
    output:
        "results/time_delay/hubble/{population}/population.json",
    log:
        "results/time_delay/logs/infer_population/{population}.log",
    benchmark:
        "results/time_delay/benchmarks/infer_population/{population}.tsv"
    wildcard_constraints:
        population=one_of(HUBBLE["populations"]),
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=HUBBLE["resources"]["mem_mb"],
        runtime=HUBBLE["resources"]["runtime"],
    params:
        prior=PRIORS["wide"],
        answer_prior=PRIOR,
        hyperpriors=HUBBLE["population"]["hyperpriors"],
        seed=config["seed"],
        code=code("experiments/time_delay/populations.py"),
    script:
        "scripts/infer_population.py"


rule check_posteriors:
    """Test exact posteriors against the truth of mocks, and networks against them."""
    input:
        posteriors=MOCK_POSTERIORS,
        dataset=f"results/time_delay/data/{HUBBLE['family']}/dataset.h5",
        split=f"results/time_delay/data/{HUBBLE['family']}/split.h5",
        predictions=expand(
            "results/time_delay/scores/{network}/{family}/predictions.h5",
            network=HUBBLE["networks"],
            family=HUBBLE["family"],
        ),
    output:
        summary="results/time_delay/posteriors/exact.json",
        table="results/time_delay/posteriors/exact.ecsv",
    log:
        "results/time_delay/logs/check_posteriors.log",
    conda:
        ROOT / "envs/simulate.yaml"
    params:
        observation=OBSERVATION,
        seed=config["seed"],
        code=code("experiments/time_delay/exact_checks.py"),
    script:
        "scripts/check_posteriors.py"


rule calibrate_hubble:
    """Measure the coverage of H0 in many universes, each with systems of the training population."""
    input:
        models=expand(
            "results/time_delay/networks/{network}/model.keras",
            network=HUBBLE["networks"],
        ),
        trainings=expand(
            "results/time_delay/networks/{network}/training.json",
            network=HUBBLE["networks"],
        ),
        mocks=f"results/time_delay/data/{HUBBLE['family']}/dataset.h5",
        mock_predictions=expand(
            "results/time_delay/scores/{network}/{family}/predictions.h5",
            network=HUBBLE["networks"],
            family=HUBBLE["family"],
        ),
    output:
        "results/time_delay/hubble/universes.json",
    log:
        "results/time_delay/logs/calibrate_hubble.log",
    benchmark:
        "results/time_delay/benchmarks/calibrate_hubble.tsv"
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=HUBBLE["resources"]["mem_mb"],
        runtime=HUBBLE["resources"]["runtime"],
    params:
        population={name: FAMILY[name] for name in ("family", "prior")},
        prior=PRIOR,
        settings={
            **HUBBLE["universes"],
            "false_alarm_rate": HUBBLE["false_alarm_rate"],
        },
        seed=config["seed"],
        code=code("experiments/time_delay/universes.py"),
    script:
        "scripts/calibrate_hubble.py"


rule measure_invariance:
    """Turn, mirror, move, relabel and scale the same lenses and compare a network's answers."""
    input:
        unpack(of_population(prediction_files)),
        model="results/{experiment}/networks/{network}/model.keras",
        training="results/{experiment}/networks/{network}/training.json",
    output:
        "results/{experiment}/scores/{network}/{population}/invariance.json",
    log:
        "results/{experiment}/logs/measure_invariance/{network}.{population}.log",
    wildcard_constraints:
        experiment="time_delay",
        population=one_of(having("systems")("time_delay")),
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=resources("predict_network", "mem_mb"),
        runtime=resources("predict_network", "runtime"),
    params:
        settings=setting("evaluation"),
        seed=config["seed"],
        code=code("experiments/time_delay/invariance.py"),
    script:
        "scripts/measure_invariance.py"


rule benchmark_solver:
    """Time the solver against lenstronomy's on the same systems, one core."""
    output:
        "results/time_delay/benchmarks/solver.json",
    log:
        "results/time_delay/logs/benchmark_solver.log",
    priority: 40  # before the simulations: it compiles what all their jobs load
    conda:
        ROOT / "envs/simulate.yaml"
    params:
        code=code("lensing/solver.py"),
    script:
        "scripts/benchmark_solver.py"
