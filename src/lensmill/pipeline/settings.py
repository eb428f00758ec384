"""Settings: what exists, what is permitted, and what a population is made of.

Imports only the standard library, since every job of a workflow reads the settings.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from math import log10
from pathlib import Path
from typing import Any, NamedTuple

# Kinds of priors and their parameters, see lensmill.pipeline.priors.
PRIOR_PARAMETERS = {
    "fixed": 1,
    "uniform": 2,
    "log_uniform": 2,
    "normal": 2,
    "truncated_normal": 4,
    "lognormal": 2,
    "truncated_lognormal": 4,
}
# What means nothing where another parameter is fixed at 0: a round lens has no position angle.
MEANS_NOTHING = {
    "one_minus_q": ("phi", "einstein_radius_is"),
    "shear": ("shear_angle",),
}
# What only a simulated population uses, and what only an ingested one does.
SIMULATED = ("family", "prior", "override", "background")
INGESTED = (
    *("format", "label", "labels", "bands", "name", "group", "files", "pixel_scale", "mask_values"),
    *("fill", "place", "mark_pixels", "mark_fraction", "mark_ratio", "mark_above", "mark_below"),
    *("max_masked_fraction", "max_saturated_fraction", "min_snr"),
)
TAIL = 6  # an unbounded prior is judged by its values within this many standard deviations


class Uses(NamedTuple):
    """What the networks of an experiment use of their settings; what is not named, all use."""

    unless_said: Mapping = {}  # what the settings that others hang on are where they are left out
    only_with: Mapping = {}  # setting: those that it hangs on, with the values that use it
    smallest: Mapping = {}  # pixels across that an architecture needs


def refuse_unknown(settings: Any, schema: Mapping, where: str, root: Mapping | None = None) -> None:
    """Raise if a key of ``settings`` is not a setting of ``schema``, at any depth.

    Parameters
    ----------
    settings : mapping or value
        What the user wrote, over the defaults.
    schema : mapping
        JSON schema; an object with ``properties`` lists its keys, one with
        ``additionalProperties`` has names of the user's choice.
    where : str
        How the message names this place, e.g. ``experiments.time_delay``.

    Raises
    ------
    ValueError
        Naming the key and the nearest one that exists.
    """
    root = root or schema
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    if not isinstance(settings, Mapping) or not ("properties" in schema or _free(schema)):
        return
    properties = schema.get("properties", {})
    for key, value in settings.items():
        if key in properties:
            refuse_unknown(value, properties[key], f"{where}.{key}", root)
        elif _free(schema):
            refuse_unknown(value, schema["additionalProperties"], f"{where}.{key}", root)
        else:
            near = get_close_matches(str(key), properties, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(properties)}"
            raise ValueError(f"{where}.{key} is not a setting; {hint}")


def _free(schema: Mapping) -> bool:
    return isinstance(schema.get("additionalProperties"), Mapping)


def refuse_prior(prior: list, support: tuple[float, float], where: str) -> None:
    """Raise if a prior is malformed or reaches beyond what its parameter can be.

    Parameters
    ----------
    prior : list
        Kind and parameters, e.g. ``[uniform, 0.5, 2.0]``.
    support : tuple of float
        Lowest and highest value that the parameter may take.
    where : str
        How the message names the prior.
    """
    kind, *p = prior
    if kind not in PRIOR_PARAMETERS:
        near = get_close_matches(str(kind), PRIOR_PARAMETERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(PRIOR_PARAMETERS)}"
        raise ValueError(f"{where}: {kind!r} is not a kind of prior; {hint}")
    if len(p) != PRIOR_PARAMETERS[kind] or not all(isinstance(x, int | float) for x in p):
        raise ValueError(f"{where}: {prior} needs {PRIOR_PARAMETERS[kind]} numbers after {kind!r}")
    if kind.endswith("normal") and p[1] <= 0:
        raise ValueError(f"{where}: {prior} has a spread of {p[1]}; it must be above 0")
    low, high = _reach(kind, p)
    if kind != "fixed" and not low < high:
        raise ValueError(f"{where}: {prior} is empty: {low} is not below {high}")
    if not (support[0] <= low and high <= support[1]):  # also refuses NaN
        raise ValueError(
            f"{where}: {prior} reaches from {low:g} to {high:g}, beyond the permitted "
            f"{support[0]:g} to {support[1]:g}; use a narrower or a truncated prior"
        )


def _reach(kind: str, p: list[float]) -> tuple[float, float]:
    match kind:
        case "fixed":
            return p[0], p[0]
        case "normal":
            return p[0] - TAIL * p[1], p[0] + TAIL * p[1]
        case "lognormal":
            if p[0] <= 0:
                return p[0], p[0]
            return 10 ** (log10(p[0]) - TAIL * p[1]), 10 ** (log10(p[0]) + TAIL * p[1])
    return p[-2], p[-1]


def check_experiment(settings: Mapping, schema: Mapping, where: str) -> None:
    """Check what a schema cannot say: priors within their range, names that refer to others.

    Raises
    ------
    ValueError
        Naming the setting, what is wrong with it and what there is.
    """
    for place, prior, about in _priors(settings, schema["$defs"], where):
        if "support" in about:
            refuse_prior(prior, about["support"], place)
    for name, population in settings["populations"].items():
        place = f"{where}.populations.{name}"
        if ("ingest" in population) == ("systems" in population):
            raise ValueError(
                f"{place} must either have 'ingest' (a file of real systems) or 'systems' (how "
                f"many to simulate), with 'family' and 'prior'"
            )
        if "systems" in population:
            _refer(population.get("prior"), settings["priors"], f"{place}.prior")
        if "observation" in population:
            _refer(population["observation"], settings["observations"], f"{place}.observation")
        if "background" in population:
            _refer(population["background"], settings["populations"], f"{place}.background")
            refuse_unlike(settings, name, population["background"], f"{place}.background", sky=True)
    for name, network in settings["networks"].items():
        place = f"{where}.networks.{name}"
        # a table of a few real systems teaches nothing; a set of labelled images may
        many = {
            n: p for n, p in settings["populations"].items() if {"systems", "observation"} & {*p}
        }
        _refer(network["train_on"], many, f"{place}.train_on")
        for other in network["test_on"]:
            _refer(other, settings["populations"], f"{place}.test_on")
            refuse_unlike(settings, network["train_on"], other, f"{place}.test_on")
        if "observation" in network:
            _refer(network["observation"], settings["observations"], f"{place}.observation")
    for name in settings.get("comparison", []):
        _refer(name, settings["networks"], f"{where}.comparison")
    for name, search in settings.get("searches", {}).items():
        _refer(name, settings["networks"], f"{where}.searches")
        keys = schema["$defs"]["network"]["properties"]
        for key in search["space"]:
            _refer(key, keys, f"{where}.searches.{name}.space")


def refuse_unlike(settings: Mapping, name: str, other: str, where: str, sky: bool = False) -> None:
    """Raise if what is made for one population cannot be used with another.

    A network learns from images of one size in some bands, or from tables. Pixel scales, surveys
    and the names of bands may differ: how a network does there is what a test is for.

    Parameters
    ----------
    settings : mapping
        Those of the experiment, whose names have been looked up.
    name, other : str
        The population that decides, and the one that is to go with it.
    where : str
        How the message names the place.
    sky : bool
        If the images of one are laid upon those of the other: pixels and bands must then be the
        same ones.

    Raises
    ------
    ValueError
        With what both are, and what to do.
    """
    one, two = (
        settings["observations"][p["observation"]] if "observation" in p else None
        for p in (settings["populations"][name], settings["populations"][other])
    )
    if one is None and two is None:
        return
    if one is None or two is None:
        table, images = (name, other) if one is None else (other, name)
        raise ValueError(
            f"{where}: {table!r} is a table of systems and {images!r} are images; they cannot go "
            "together: leave out one"
        )
    ours, theirs = (list(observation["bands"]) for observation in (one, two))
    moved = [b for b in ours if b in theirs and ours.index(b) != theirs.index(b)]
    faults = []
    if one["size"] != two["size"]:
        faults.append(f"{two['size']} x {two['size']} pixels instead of {one['size']}")
    if len(ours) != len(theirs) or moved or (sky and ours != theirs):
        faults.append(f"the bands {', '.join(theirs)} instead of {', '.join(ours)}")
    if sky and one["pixel_scale"] != two["pixel_scale"]:
        faults.append(f"pixels of {two['pixel_scale']} arcsec instead of {one['pixel_scale']}")
    if faults:
        kept = "size, bands and pixel_scale" if sky else "size and as many bands in that order"
        raise ValueError(
            f"{where}: the images of {other!r} have {' and '.join(faults)} (those of {name!r}); "
            f"give {other!r} an observation of that {kept}, or leave it out"
        )


def _priors(settings: Mapping, definitions: Mapping, where: str) -> Iterator[tuple]:
    """Yield place, prior and schema of every prior of presets, overrides and observations."""
    named = {
        f"{where}.populations.{name}.override": population.get("override", {})
        for name, population in settings["populations"].items()
    }
    named |= {f"{where}.priors.{name}": preset for name, preset in settings["priors"].items()}
    observed = {f"{where}.observations.{name}": o for name, o in settings["observations"].items()}
    for kind, groups in (("prior_preset", named), ("observation", observed)):
        for place, priors in groups.items():
            for key, prior in priors.items():
                yield f"{place}.{key}", prior, definitions[kind]["properties"][key]


def _refer(name: Any, to: Mapping, where: str) -> None:
    if name not in to:
        near = get_close_matches(str(name), to, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(to)}"
        raise ValueError(f"{where}: {name!r} does not exist; {hint}")


def population(settings: Mapping, name: str) -> dict[str, Any]:
    """Return what fixes a population's systems, with all that it names put in.

    Of a simulated one that is its family and its whole prior; the number of systems is left out:
    more of them change none of those there are. Images also have an observation.
    """
    chosen = dict(settings["populations"][name])
    if "observation" in chosen:
        chosen["observation"] = dict(settings["observations"][chosen["observation"]])
    if "ingest" in chosen:
        return chosen
    del chosen["systems"]
    prior = {**settings["priors"][chosen["prior"]], **chosen.pop("override", {})}
    return chosen | {"prior": prior}


def keep(config: Mapping, folder: Path) -> Path:
    """Write the whole configuration of a run beside its results, under a name of its content.

    The file says what the results were made with, whichever files the settings came from, and can
    be given to ``--configfile`` to make them again: keys that are whole numbers are written as
    such, since they meet those of the defaults.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes text in quotes, so that no reader takes it for something else."""

    Dumper.add_representer(
        str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
    )
    text = yaml.dump(_numbered(config), Dumper=Dumper, sort_keys=False, width=1000)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.yaml"
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(path)
    return path


def _numbered(values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    return {
        int(key) if re.fullmatch(r"0|[1-9]\d*", str(key)) else key: _numbered(value)
        for key, value in values.items()
    }


def check_populations(settings: Mapping, families: Mapping, schema: Mapping, where: str) -> None:
    """Refuse what a population would ignore, and priors with gaps or contradictions.

    Parameters
    ----------
    settings : mapping
        Those of an experiment, which `check_experiment` has accepted.
    families : mapping
        Priors that each family of lens models fixes; empty if the experiment has none.
    schema : mapping
        That of the experiment, which lists the parameters of a prior.
    where : str
        How the message names the experiment.

    Raises
    ------
    ValueError
        Naming the population and the key, what is used instead, and what to do.
    """
    for name, chosen in settings["populations"].items():
        place = f"{where}.populations.{name}"
        ingested = "ingest" in chosen
        if vain := [key for key in (SIMULATED if ingested else INGESTED) if key in chosen]:
            kind, other = ("ingested", "simulated") if ingested else ("simulated", "ingested")
            raise ValueError(
                f"{place}: {', '.join(vain)} would be ignored, only {other} populations have that "
                f"and this one is {kind}; take it out"
            )
        if ingested or not families:
            continue
        if "family" not in chosen:
            raise ValueError(f"{place} needs a 'family'; there are: {', '.join(families)}")
        _refuse_ignored(chosen, families, place)
        prior = population(settings, name)["prior"] | families[chosen["family"]]
        if lacks := schema["$defs"]["prior_preset"]["properties"].keys() - prior.keys():
            raise ValueError(
                f"{where}.priors.{chosen['prior']} lacks {', '.join(sorted(lacks))}, which the "
                f"population {name!r} needs; give it there or in the population's override"
            )
        if "z_lens" in prior:
            _refuse_source_before_lens(prior, place)


def _refuse_ignored(chosen: Mapping, families: Mapping, place: str) -> None:
    family = chosen["family"]
    fixed = families[family]
    # what is fixed at 0 takes with it what only says how it is turned
    without = {k: of for of, keys in MEANS_NOTHING.items() for k in keys if _is_zero(fixed, of)}
    for key, value in chosen.get("override", {}).items():
        if key in fixed and value != fixed[key]:
            used = f"{key} = {fixed[key][1]:g}"
            better = [f for f, leaves_out in families.items() if key not in leaves_out]
        elif key in without:
            used = f"{without[key]} = 0, with which {key} means nothing"
            better = [f for f, fixes in families.items() if not _is_zero(fixes, without[key])]
        else:
            continue
        raise ValueError(
            f"{place}.override.{key} would be ignored: the family {family!r} has {used}; take it "
            f"out, or choose a family that uses it: {', '.join(better)}"
        )


def _is_zero(fixed: Mapping, name: str) -> bool:
    return fixed.get(name) == ["fixed", 0.0]


def _refuse_source_before_lens(prior: Mapping, place: str) -> None:
    """Raise if a lens can be drawn that no source of the prior lies behind.

    A source is drawn from its prior beyond the redshift of its lens and the gap; where nothing of
    the prior is left, the draw would be its upper end, in front of the lens.
    """
    gap = prior["redshift_gap"]
    lens, source = (_reach(prior[name][0], prior[name][1:]) for name in ("z_lens", "z_source"))
    if lens[1] + gap <= source[1] * (1 + 1e-12):
        return
    many = "every" if lens[0] + gap > source[1] else "some"
    raise ValueError(
        f"{place}: {many} lens would lie behind its source: z_lens {prior['z_lens']} reaches "
        f"{lens[1]:g}, and with redshift_gap {gap:g} that is beyond {source[1]:g}, the highest of "
        f"z_source {prior['z_source']}; end z_lens below {source[1] - gap:g} or raise z_source"
    )


def without_null(settings: Mapping) -> dict[str, Any]:
    """Return settings in which what a network sets to null is left out.

    Snakemake merges mappings, so what a network has from the defaults cannot be left out otherwise.
    """
    networks = settings.get("networks")
    if not isinstance(networks, Mapping):
        return dict(settings)
    written = {
        name: {k: v for k, v in n.items() if v is not None} if isinstance(n, Mapping) else n
        for name, n in networks.items()
    }
    return {**settings, "networks": written}


def check_networks(settings: Mapping, uses: Uses, where: str) -> None:
    """Refuse what a network would ignore, and images too small for it.

    Parameters
    ----------
    settings : mapping
        Those of an experiment, which `check_experiment` has accepted.
    uses : Uses
        What the networks of the experiment use.
    where : str
        How the message names the experiment.

    Raises
    ------
    ValueError
        Naming the network and its settings, what uses them, and what to do.
    """
    for name, network in settings["networks"].items():
        place = f"{where}.networks.{name}"
        chosen = {**uses.unless_said, **network}
        for by in uses.unless_said:
            used = {k: of[by] for k, of in uses.only_with.items() if k in network and by in of}
            vain = {k: values for k, values in used.items() if chosen[by] not in values}
            if vain:
                only = "; ".join(f"{k} only with {', '.join(map(str, v))}" for k, v in vain.items())
                raise ValueError(
                    f"{place}: {', '.join(vain)} would be ignored with {by} {chosen[by]!r} ({only})"
                    "; take it out, or where it comes from the defaults or another file set it to "
                    f"null, which leaves it out: {{{', '.join(f'{k}: null' for k in vain)}}}"
                )
        architecture, population = chosen.get("architecture"), network["train_on"]
        observation = settings["populations"][population].get("observation")
        if architecture not in uses.smallest or observation is None:
            continue
        size, least = settings["observations"][observation]["size"], uses.smallest[architecture]
        if size < least:
            better = [a for a, needed in uses.smallest.items() if needed <= size]
            raise ValueError(
                f"{place}: the images of {population!r} are {size} x {size} pixels, too small for "
                f"the architecture {architecture!r}, which needs {least} across; raise the size of "
                f"the observation {observation!r}, or choose {', '.join(better)}"
            )
