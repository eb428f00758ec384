"""From real systems to the Hubble constant: steps only the time-delay experiment has.

Reads:  results/time_delay/data/, results/time_delay/scores/
Writes: results/time_delay/hubble/{population}/
"""

HUBBLE = config["experiments"]["time_delay"]["hubble"]

# The population that stands for the family of lens models: the networks learn from it.
FAMILY = checked.population(config["experiments"]["time_delay"], HUBBLE["family"])
TRAINED = {name: FAMILY["prior"][name] for name in ("h0", "omega_m")}
PRIOR = {"h0": HUBBLE["h0"], "omega_m": TRAINED["omega_m"]}


rule calibrate_family:
    """Measure on mocks how well the training family fits its own members, and others."""
    input:
        mocks=f"results/time_delay/data/{HUBBLE['family']}/dataset.h5",
        checks=f"results/time_delay/data/{HUBBLE['family']}/checks.json",
    output:
        "results/time_delay/hubble/family.json",
    log:
        "results/time_delay/logs/calibrate_family.log",
    benchmark:
        "results/time_delay/benchmarks/calibrate_family.tsv"
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=HUBBLE["resources"]["mem_mb"],
        runtime=HUBBLE["resources"]["runtime"],
    params:
        prior=FAMILY["prior"],
        h0=HUBBLE["h0"],
        observation=config["experiments"]["time_delay"]["observations"][
            HUBBLE["observation"]
        ],
        settings={key: HUBBLE[key] for key in ("mocks", "starts", "false_alarm_rate")},
        seed=config["seed"],
        code=code("experiments/time_delay/predictive.py"),
    script:
        "scripts/calibrate_family.py"


rule judge_family:
    """Decide which real systems no member of the training family reproduces."""
    input:
        dataset="results/time_delay/data/{population}/dataset.h5",
        checks="results/time_delay/data/{population}/checks.json",
        calibration="results/time_delay/hubble/family.json",
    output:
        table=report(
            "results/time_delay/hubble/{population}/family.ecsv",
            caption="report/family.rst",
            category="time_delay",
            subcategory="real systems",
            labels={"table": "family", "population": "{population}"},
        ),
    log:
        "results/time_delay/logs/judge_family/{population}.log",
    benchmark:
        "results/time_delay/benchmarks/judge_family/{population}.tsv"
    wildcard_constraints:
        population=one_of(HUBBLE["populations"]),
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=HUBBLE["resources"]["mem_mb"],
        runtime=HUBBLE["resources"]["runtime"],
    params:
        prior=FAMILY["prior"],
        h0=HUBBLE["h0"],
        starts=HUBBLE["starts"],
        code=code("experiments/time_delay/predictive.py"),
    script:
        "scripts/judge_family.py"


rule infer_hubble:
    """Put predicted distances beside published ones; H0 of every system and combined."""
    input:
        dataset="results/time_delay/data/{population}/dataset.h5",
        family="results/time_delay/hubble/{population}/family.ecsv",
        predictions=lambda wildcards: expand(
            "results/time_delay/scores/{network}/{population}/predictions.h5",
            network=HUBBLE["networks"],
            population=wildcards.population,
        ),
        mocks=f"results/time_delay/data/{HUBBLE['family']}/dataset.h5",
        mock_predictions=expand(
            "results/time_delay/scores/{network}/{family}/predictions.h5",
            network=HUBBLE["networks"],
            family=HUBBLE["family"],
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
        false_alarm_rate=HUBBLE["false_alarm_rate"],
        code=code("experiments/time_delay/hubble.py"),
    script:
        "scripts/infer_hubble.py"


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
        mocks=rules.infer_hubble.input.mocks,
        mock_predictions=rules.infer_hubble.input.mock_predictions,
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
