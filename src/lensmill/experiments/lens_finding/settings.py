"""Look-ups of this experiment, and what a schema cannot say of its settings.

Only literals and the standard library: this is read in every job (../README.md).
"""

from collections.abc import Mapping

from lensmill.cutouts import lookups
from lensmill.cutouts.lookups import (
    count_images,
    prediction_inputs,
    refuse_unlike,
    simulation_inputs,
    source_files,
)
from lensmill.experiments.lens_finding.families import FAMILIES
from lensmill.learning.image_architectures import SMALLEST
from lensmill.pipeline import names
from lensmill.pipeline.settings import own, refer, refuse_test_only, shares

__all__ = [
    "FAMILIES",
    "TOLERANCES",
    "check",
    "count_images",
    "prediction_inputs",
    "refuse_unlike",
    "score_inputs",
    "scored_beside",
    "simulation_inputs",
    "source_files",
    "suffix",
    "training_inputs",
]

# Scores that another machine reproduces, and how far they may lie apart (or by the error of the
# score): what does not hang on the few false alarms that a threshold lets through. One network,
# trained with its sums in another order, found 0.28 instead of 0.44 of the lenses at ten false
# alarms, and its AUROC was 0.008 lower.
TOLERANCES = dict.fromkeys(
    ("auroc", "calibration_error", "ideal_auroc", "ideal_completeness"), 0.02
)


def check(settings: Mapping, where: str) -> None:
    """Refuse comparisons of what is not there, and what no experiment on images can have."""
    lookups.check(settings, where)
    for name, population in settings["populations"].items():
        _check_hosts(settings, name, population, f"{where}.populations.{name}")
    for name, network in settings["networks"].items():
        _refuse_mixture(network, f"{where}.networks.{name}")
        _refuse_turn(network, settings["split"]["blocks"], f"{where}.networks.{name}")
        _check_distilled(settings, name, f"{where}.networks.{name}")
        _refuse_binning(settings, network, f"{where}.networks.{name}")
    _check_first_stage(settings, f"{where}.survey.first_stage")
    for name, threshold in settings["evaluation"]["thresholds"].items():
        place = f"{where}.evaluation.thresholds.{name}.negatives"
        for population in threshold["negatives"]:
            refer(population, settings["populations"], place)
            refuse_test_only(settings, population, place)
    for name in settings["comparison"]:
        refer(name, settings["networks"], f"{where}.comparison")
    for kind in ("made", "real"):
        for name in settings.get("two_samples", {}).get(kind, ()):
            refer(name, settings["populations"], f"{where}.two_samples.{kind}")
    if "ablation" in settings:
        _check_ablation(settings, f"{where}.ablation")


def training_inputs(settings: Mapping, network: Mapping) -> dict[str, str | list[str]]:
    """Name what the network that another is distilled from says of what that learns from."""
    if "distil" not in network:
        return {}
    paths = [_logits(network["distil"], population) for population in shares(network)]
    return {"teacher": paths[0] if len(paths) == 1 else paths}


def first_stage(settings: Mapping, network: str) -> dict[str, str]:
    """Name the network that looks first where another scores a survey, and its threshold.

    Nothing where there is none, or it was distilled from another network.
    """
    name = settings["survey"].get("first_stage")
    if name is None or _definition(settings, name)["distil"] != network:
        return {}
    folder = f"networks/{name}"
    return {"first_model": f"{folder}/model.onnx", "first_stage": f"{folder}/first_stage.json"}


def first_stage_inputs(settings: Mapping, name: str) -> dict[str, str]:
    """Name what the threshold of a first stage is set by."""
    network = _definition(settings, name)
    if "distil" not in network:
        raise ValueError(f"{name} is no first stage: {NOT_DISTILLED}")
    full, population = network["distil"], own(network)
    reference = own(_definition(settings, full))
    return {
        "first": _logits(name, population),
        "full": _logits(full, population),
        "dataset": f"data/{population}/dataset.h5",
        "split": f"data/{population}/split.h5",
        "reference": f"scores/{full}/{reference}/scores.json",
    }


def _logits(network: str, population: str) -> str:
    return f"networks/{network}/logits/{population}.h5"


def _definition(settings: Mapping, network: str) -> Mapping:
    """Return the settings of a network, or of what it is one of several trainings of."""
    return settings["networks"][names.member(network)[0]]


def score_inputs(settings: Mapping, name: str, network: Mapping, population: str) -> dict[str, str]:
    """Name the scores on the network's own population, whose threshold a survey would use."""
    first = own(network)
    return {} if population == first else {"reference": f"scores/{name}/{first}/scores.json"}


def scored_beside(settings: Mapping, network: Mapping) -> list[str]:
    """Name the populations whose non-lenses set the thresholds that a network can have.

    One of other images than a network takes sets none.
    """
    found: set[str] = set()
    for threshold in settings["evaluation"]["thresholds"].values():
        try:
            for population in threshold["negatives"]:
                refuse_unlike(settings, own(network), population, "")
        except ValueError:
            continue
        found |= {*threshold["negatives"]}
    return sorted(found)


def suffix(network: Mapping) -> str:
    """Return the suffix of a network's model file: the baseline has no epochs."""
    return ".skops" if network.get("architecture") == "logistic" else ".keras"


def ablation_predictions(settings: Mapping) -> dict[str, dict[str, list[list[str]]]]:
    """Name the scored predictions of every step: by member of its networks, those of each turn."""
    chosen = settings["ablation"]
    populations = [*chosen["lenses"], chosen["negatives"]]
    found: dict[str, dict[str, list[list[str]]]] = {}
    for step, networks in chosen["steps"].items():
        members: dict[str, list[list[str]]] = {}
        for name in networks:
            for member in names.members(name, settings["networks"][name]):
                kind = member.removeprefix(name).lstrip("_") or "alone"
                paths = [f"scores/{member}/{p}/predictions.h5" for p in populations]
                members.setdefault(kind, []).append(paths)
        found[step] = members
    return found


def _check_ablation(settings: Mapping, where: str) -> None:
    """Raise if an ablation names what is not there, or turns of unlike seeds."""
    chosen = settings["ablation"]
    for population in (*chosen["lenses"], chosen["negatives"]):
        refer(population, settings["populations"], where)
    refuse_test_only(settings, chosen["negatives"], f"{where}.negatives")
    for key in ("strict", "loose"):
        refer(chosen[key], settings["evaluation"]["thresholds"], f"{where}.{key}")
    for step, networks in chosen["steps"].items():
        for name in networks:
            refer(name, settings["networks"], f"{where}.steps.{step}")
        seeds = {name: settings["networks"][name].get("seeds", 0) for name in networks}
        if len({*seeds.values()}) > 1:
            said = ", ".join(f"{name} {n}" for name, n in seeds.items())
            raise ValueError(
                f"{where}.steps.{step}: its networks have unlike numbers of seeds ({said}); turns "
                "of one step need the same"
            )


NOT_DISTILLED = (
    "it learned from labels; name a network with `distil: NAME`, NAME being the one that scores "
    "what it passes"
)
# What counts labels, which a distilled network does not learn from: value that leaves it alone
OF_LABELS = {"loss": "binary_crossentropy", "class_weight": "none", "hard_negatives": 0.0}


def _check_distilled(settings: Mapping, name: str, where: str) -> None:
    """Raise if a network cannot learn from that which it is to be distilled from."""
    network = settings["networks"][name]
    if "distil" not in network:
        return
    teacher, member = names.member(network["distil"])
    refer(teacher, settings["networks"], f"{where}.distil")
    other = settings["networks"][teacher]
    if "seeds" in member or ("seeds" in other and not member):
        raise ValueError(
            f"{where}.distil: {network['distil']!r} stands for several trainings; name one of "
            f"them, as in {teacher + '_seed1'!r}"
        )
    if teacher == name or "distil" in other:
        raise ValueError(
            f"{where}.distil: {teacher!r} is distilled itself; name a network that learned from "
            "labels"
        )
    for one, said in ((name, where), (teacher, f"{where}.distil: {teacher!r}")):
        if settings["networks"][one]["architecture"] == "logistic":
            raise ValueError(
                f"{said} is a logistic regression, which is neither distilled nor distilled from; "
                "choose another architecture"
            )
    for key, idle in OF_LABELS.items():
        if network[key] != idle:
            raise ValueError(
                f"{where}.{key} is {network[key]}, but with `distil` no label is learned from; "
                f"leave it out, or set it to {idle}"
            )
    for population in shares(network):
        lookups.refuse_unlike(settings, own(other), population, f"{where}.train_on")
    if name in settings["searches"]:
        raise ValueError(
            f"{where}: a search cannot distil; take {name!r} out of searches, or distil out of it"
        )


def _refuse_binning(settings: Mapping, network: Mapping, where: str) -> None:
    """Raise if images do not divide by what is averaged, or too little of them is left."""
    if (binning := network.get("binning", 1)) == 1:
        return
    if network["architecture"] == "logistic" or network["stretch"] == "training":
        raise ValueError(
            f"{where}.binning is {binning}, but a logistic regression sees no pixels and the scale "
            "of `stretch: training` is that of single ones; leave it out"
        )
    observation = settings["populations"][own(network)]["observation"]
    size, least = settings["observations"][observation]["size"], SMALLEST[network["architecture"]]
    if size % binning or size // binning < least:
        raise ValueError(
            f"{where}.binning is {binning}, but images of {size} x {size} pixels must divide by it "
            f"and leave {least} across for {network['architecture']!r}; take a smaller one, or "
            "another size of the observation"
        )


def _check_first_stage(settings: Mapping, where: str) -> None:
    """Raise if what is to look first at a survey is no network that was distilled."""
    name = settings["survey"].get("first_stage")
    if name is None:
        return
    definition, member = names.member(name)
    refer(definition, settings["networks"], where)
    network = settings["networks"][definition]
    if "distil" not in network:
        raise ValueError(f"{where}: {name!r} is no first stage: {NOT_DISTILLED}")
    if "seeds" in member or ("seeds" in network and not member):
        raise ValueError(
            f"{where}: {name!r} stands for several trainings; name one of them, as in "
            f"{definition + '_seed1'!r}"
        )


def _refuse_mixture(network: Mapping, where: str) -> None:
    """Raise if several populations are learned from in a way that is not for several."""
    if len(shares(network)) == 1:
        return
    for key, instead in (
        ("folds", "`turn` tests every group once"),
        (
            "hard_negatives",
            "a larger weight of look-alikes shows them more often",
        ),
    ):
        if network[key]:
            raise ValueError(
                f"{where}.{key} is {network[key]}, but train_on names several populations, whose "
                f"shares it would bend; set it to 0: {instead}"
            )


def _refuse_turn(network: Mapping, blocks: list[int], where: str) -> None:
    """Raise if there is no such turn, or turns test some groups twice."""
    turns, rest = divmod(sum(blocks), blocks[2])
    if network["turn"] and (rest or network["turn"] >= turns):
        raise ValueError(
            f"{where}.turn is {network['turn']}, but with split.blocks {blocks} there are "
            f"{sum(blocks)} / {blocks[2]} turns; "
            + (
                f"take 0 to {turns - 1}"
                if not rest
                else "choose blocks whose sum is a multiple of the last"
            )
        )


# Of a simulated population that has hosts, and priors that no host uses
OF_HOSTS = ("host_limits", "sources", "source_columns", "require")
NEEDED_BY_HOSTS = ("source_redshift", "mass_offset", "seeing")
UNUSED_BY_HOSTS = (
    *("non_lenses", "einstein_radius", "one_minus_q", "phi", "centre_offset", "lens_magnitude"),
    *("lens_radius", "lens_index", "lens_colour", "lens_brightening", "neighbours"),
    *("neighbour_distance", "neighbour_magnitude", "star_magnitude"),
)
UNUSED_BY_IMAGES = ("source_size", "source_index", "source_one_minus_q", "source_phi")


def _check_hosts(settings: Mapping, name: str, population: Mapping, where: str) -> None:
    """Refuse hosts that arcs cannot be painted on, and what painted lenses would ignore."""
    if "calibration" not in population and (vain := [*{"psf", "masses"} & {*population}]):
        raise ValueError(
            f"{where}: {', '.join(sorted(vain))} would be ignored without calibration; give it, or "
            "take it out"
        )
    bands = settings["observations"][population["observation"]]["bands"]
    if (population.get("masses") or {}).get("table") and len(bands) == 1:
        raise ValueError(
            f"{where}.masses.table: galaxies of one band ({', '.join(bands)}) have no colour by "
            "which the nearest rows could be found; name columns of the hosts' own table"
        )
    if "host" not in population:
        if vain := [key for key in OF_HOSTS if key in population]:
            raise ValueError(f"{where}: {', '.join(vain)} would be ignored without host")
        return
    if "background" in population:
        raise ValueError(f"{where}: a host brings its own sky; take background out")
    if "source_columns" in population and "sources" not in population:
        raise ValueError(f"{where}.source_columns would be ignored without sources")
    for key in ("host", "sources"):
        if key in population:
            refer(population[key], settings["populations"], f"{where}.{key}")
            refuse_test_only(settings, population[key], f"{where}.{key}")
            if "ingest" not in settings["populations"][population[key]]:
                raise ValueError(f"{where}.{key}: {population[key]!r} is simulated, not ingested")
    host = settings["populations"][population["host"]]
    lookups.refuse_unlike(settings, name, population["host"], f"{where}.host", sky=True)
    if missing := [key for key in ("calibration", "masses") if key not in host]:
        raise ValueError(
            f"{where}.host: {population['host']!r} has no {' and no '.join(missing)}: arcs cannot "
            "be painted on galaxies of unknown flux or mass; see docs/painted_lenses.md"
        )
    if host["place"] != "centre" or host["sky"] != "subtract":
        raise ValueError(f"{where}.host: {population['host']!r} needs place centre, sky subtract")
    observation = settings["observations"][population["observation"]]
    if observation.get("defects"):
        raise ValueError(f"{where}: a host has its own defects; take them out of the observation")
    for band, of in observation["bands"].items():
        if not isinstance(of["psf"], Mapping):
            raise ValueError(
                f"{where}: the psf of band {band!r} is an image, whose width cannot be that of "
                "each host; write {moffat: fwhm, beta: exponent} or {gaussian: fwhm}"
            )
    override = population.get("override", {})
    prior = {**settings["priors"][population["prior"]], **override}
    if missing := [key for key in NEEDED_BY_HOSTS if key not in prior]:
        raise ValueError(
            f"{where}: with a host, the prior {population['prior']!r} needs {', '.join(missing)}"
        )
    unused = (*UNUSED_BY_HOSTS, *(UNUSED_BY_IMAGES if "sources" in population else ()))
    if vain := [key for key in unused if key in override]:
        raise ValueError(f"{where}.override: {', '.join(vain)} would be ignored with a host")
