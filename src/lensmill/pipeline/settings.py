"""Settings: what exists, what is permitted, and what a population is made of.

Imports nothing large, since every job of a workflow reads the settings.
"""

import copy
import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from math import log10
from pathlib import Path
from typing import Any

import jsonschema

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
TAIL = 6  # an unbounded prior is judged by its values within this many standard deviations


def merge_schemas(shared: Mapping, own: Mapping) -> dict[str, Any]:
    """Lay the schema of an experiment over the one that all share, and take in its fragments."""
    return _include(_overlay(shared, own), shared["fragments"])


def _overlay(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    joined = {**below, **above}
    joined.update({k: _overlay(below[k], above[k]) for k in below.keys() & above.keys()})
    return joined


def _include(schema: Any, fragments: Mapping) -> Any:
    if isinstance(schema, list):
        return [_include(item, fragments) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    schema = {k: _include(v, fragments) for k, v in schema.items() if k != "fragments"}
    for name in schema.pop("include", ()):
        own = schema.get("properties", {})
        schema["properties"] = _overlay(_narrowed(fragments[name], own), own)
    return schema


def _narrowed(fragment: Mapping, own: Mapping) -> dict[str, Any]:
    """Take out of a fragment what hangs on values that the experiment does not have."""

    def has(by: str, value: str) -> bool:
        return value in own.get(by, {}).get("enum", [value])

    found = {key: dict(of) for key, of in fragment.items()}
    for of in found.values():
        if "default_by" in of:
            of["default_by"] = {
                by: {value: x for value, x in values.items() if has(by, value)}
                for by, values in of["default_by"].items()
            }
        if "used_with" in of:
            of["used_with"] = {
                by: [value for value in values if has(by, value)]
                for by, values in of["used_with"].items()
            }
    return found


def resolve(schema: Mapping, root: Mapping) -> Mapping:
    """Follow the reference that a schema consists of, if it does."""
    if "$ref" in schema:
        return root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    return schema


def complete(settings: Mapping, schema: Mapping, root: Mapping | None = None) -> dict[str, Any]:
    """Return settings with the defaults of their schema where something is left out.

    Of a population, what only the other kind has stays out; so does a setting whose default hangs
    on another one (``default_by``) that does not use it.
    """
    root = root or schema
    schema = resolve(schema, root)
    properties = schema.get("properties", {})
    kind = "ingested" if "ingest" in settings else "simulated"
    whole = dict(settings)
    for key, of in properties.items():
        if key not in whole and "default" in of and of.get("kind", kind) == kind:
            whole[key] = copy.deepcopy(of["default"])
    for key, of in properties.items():
        for by, values in of.get("default_by", {}).items():
            if key not in whole and whole.get(by) in values:
                whole[key] = values[whole[by]]
    free = schema["additionalProperties"] if _free(schema) else {}
    for key, value in whole.items():
        if isinstance(value, Mapping):
            whole[key] = complete(value, properties.get(key, free), root)
    return whole


def validate(settings: Mapping, schema: Mapping, where: str) -> None:
    """Raise if a setting is not of the type and range that the schema gives it.

    Raises
    ------
    ValueError
        Naming the setting, its value and what is permitted.
    """
    error = jsonschema.exceptions.best_match(_validator()(schema).iter_errors(settings))
    if error is not None:
        place = ".".join([where, *map(str, error.absolute_path)])
        permitted = error.schema.get("description", "")
        hint = f" ({permitted.rstrip('.')})" if permitted else ""
        raise ValueError(f"{place}{hint}: {error.message}")


@functools.cache
def _validator() -> Any:
    """Return the class that knows JSON schema and our word for the range of a prior."""

    def support(_: Any, limits: tuple, prior: Any, __: Any) -> Iterator:
        try:
            if isinstance(prior, list):
                refuse_prior(prior, limits)
        except ValueError as error:
            yield jsonschema.ValidationError(str(error))

    base = jsonschema.Draft202012Validator
    return jsonschema.validators.extend(base, {"support": support})


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
    schema = resolve(schema, root)
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


def refuse_prior(prior: list, support: tuple[float, float]) -> None:
    """Raise if a prior is malformed or reaches beyond what its parameter can be.

    Parameters
    ----------
    prior : list
        Kind and parameters, e.g. ``[uniform, 0.5, 2.0]``.
    support : tuple of float
        Lowest and highest value that the parameter may take.
    """
    kind, *p = prior or [None]
    if kind not in PRIOR_PARAMETERS:
        near = get_close_matches(str(kind), PRIOR_PARAMETERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(PRIOR_PARAMETERS)}"
        raise ValueError(f"{kind!r} is not a kind of prior; {hint}")
    if len(p) != PRIOR_PARAMETERS[kind] or not all(isinstance(x, int | float) for x in p):
        raise ValueError(f"{prior} needs {PRIOR_PARAMETERS[kind]} numbers after {kind!r}")
    if kind.endswith("normal") and p[1] <= 0:
        raise ValueError(f"{prior} has a spread of {p[1]}; it must be above 0")
    low, high = reach(prior)
    if kind != "fixed" and not low < high:
        raise ValueError(f"{prior} is empty: {low} is not below {high}")
    if not (support[0] <= low and high <= support[1]):  # also refuses NaN
        raise ValueError(
            f"{prior} reaches from {low:g} to {high:g}, beyond the permitted "
            f"{support[0]:g} to {support[1]:g}; use a narrower or a truncated prior"
        )


def reach(prior: list) -> tuple[float, float]:
    """Return the lowest and highest value of a prior, of an unbounded one within ``TAIL``."""
    kind, *p = prior
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


def check_references(
    settings: Mapping, schema: Mapping, where: str, refuse_unlike: Callable = lambda *_: None
) -> None:
    """Check what a schema cannot say: names that refer to others.

    Parameters
    ----------
    settings, schema : mapping
        Those of an experiment.
    where : str
        How the message names the experiment.
    refuse_unlike : callable
        ``refuse_unlike(settings, trained_on, population, where)`` raises if a network that has
        learned from one population cannot be asked about another.

    Raises
    ------
    ValueError
        Naming the setting, what is wrong with it and what there is.
    """
    there = {
        section: settings.get(section, {})
        for section in ("priors", "observations", "populations", "networks")
    }
    for name, population in there["populations"].items():
        place = f"{where}.populations.{name}"
        if ("ingest" in population) == ("systems" in population):
            raise ValueError(
                f"{place} must either have 'ingest' (a file of real systems) or 'systems' (how "
                f"many to simulate), with 'family' and 'prior'"
            )
        if "systems" in population:
            refer(population.get("prior"), there["priors"], f"{place}.prior")
        if "observation" in population:
            refer(population["observation"], there["observations"], f"{place}.observation")
    for name, network in there["networks"].items():
        place = f"{where}.networks.{name}"
        for learned in shares(network):
            refer(learned, there["populations"], f"{place}.train_on")
            refuse_test_only(settings, learned, f"{place}.train_on")
            refuse_unlike(settings, own(network), learned, f"{place}.train_on")
        for other in network["test_on"]:
            refer(other, there["populations"], f"{place}.test_on")
            refuse_unlike(settings, own(network), other, f"{place}.test_on")
        if "observation" in network:
            refer(network["observation"], there["observations"], f"{place}.observation")
    keys = schema["$defs"]["network"]["properties"]
    for name, search in settings.get("searches", {}).items():
        refer(name, there["networks"], f"{where}.searches")
        for key in search["space"]:
            refer(key, keys, f"{where}.searches.{name}.space")


def shares(network: Mapping) -> dict[str, float]:
    """Return the populations that a network learns from, and the share of each in an epoch.

    ``train_on`` is the name of one, or the weights of several; the first is the network's own,
    whose test part it is judged on first.
    """
    chosen = network["train_on"]
    if not isinstance(chosen, Mapping):
        return {chosen: 1.0}
    total = sum(chosen.values())
    return {name: weight / total for name, weight in chosen.items()}


def flat(values: Iterable[Any]) -> list[Any]:
    """Return values with those of lists among them laid out."""
    return [x for value in values for x in (value if isinstance(value, list) else [value])]


def own(network: Mapping) -> str:
    """Return the population that a network learns from, of several the first."""
    return next(iter(shares(network)))


def refer(name: Any, to: Mapping, where: str) -> None:
    """Raise if a name refers to nothing, with the nearest there is."""
    if name not in to:
        near = get_close_matches(str(name), to, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(to)}"
        raise ValueError(f"{where}: {name!r} does not exist; {hint}")


def refuse_test_only(settings: Mapping, population: str, where: str) -> None:
    """Raise if a population that is kept for tests would be learned from or decide something.

    Raises
    ------
    ValueError
        Naming the place, the population and what to do.
    """
    if settings["populations"][population].get("test_only"):
        raise ValueError(
            f"{where}: {population!r} is test_only: no image of it may be learned from, set a "
            "threshold or be chosen by; name another population here"
        )


def population(settings: Mapping, name: str) -> dict[str, Any]:
    """Return what fixes a population's systems, with all that it names put in.

    Of a simulated one that is its family and its whole prior; the number of systems is left out:
    more of them change none of those there are. So is how many images a job reads. Images also
    have an observation.
    """
    chosen = dict(settings["populations"][name])
    if "observation" in chosen:
        chosen["observation"] = dict(settings["observations"][chosen["observation"]])
    if "ingest" in chosen:
        chosen.pop("images_per_job", None)
        return chosen
    del chosen["systems"]
    prior = {**settings["priors"][chosen["prior"]], **chosen.pop("override", {})}
    return chosen | {"prior": prior}


def with_shared_priors(
    settings: Mapping, shared: Mapping[str, Mapping], schema: Mapping, where: str
) -> dict[str, Any]:
    """Return settings in which a preset of priors holds the numbers of that which it is ``from``.

    Of the shared ones it has those that its experiment knows, in the order of the schema, and its
    own over them. Only a preset can be ``from`` another; all else is left to the checks.

    Parameters
    ----------
    settings : mapping
        Those of an experiment, as they were written.
    shared : mapping
        The priors that experiments share, by name.
    schema : mapping
        That of the experiment.
    where : str
        How the message names the experiment.

    Raises
    ------
    ValueError
        Naming the preset, and the shared ones that there are.
    """
    populations, presets = (settings.get(key) for key in ("populations", "priors"))
    for name, chosen in populations.items() if isinstance(populations, Mapping) else ():
        override = chosen.get("override") if isinstance(chosen, Mapping) else None
        if isinstance(override, Mapping) and "from" in override:
            raise ValueError(
                f"{where}.populations.{name}.override.from: only a preset can have the priors of "
                f"another; write {{from: {override['from']}}} as one under {where}.priors, and "
                "name that as the prior of the population"
            )
    if not isinstance(presets, Mapping):
        return dict(settings)
    known = schema["$defs"]["prior_preset"]["properties"]
    resolved = dict(presets)
    for name, preset in presets.items():
        if not isinstance(preset, Mapping) or "from" not in preset:
            continue
        refer(str(preset["from"]), shared, f"{where}.priors.{name}.from")
        below = {k: v for k, v in shared[str(preset["from"])].items() if k in known}
        whole = copy.deepcopy(below) | {k: v for k, v in preset.items() if k != "from"}
        resolved[name] = {k: whole.pop(k) for k in known if k in whole} | whole
    return {**settings, "priors": resolved}


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
    text = yaml.dump(_keys_as_numbers(config), Dumper=Dumper, sort_keys=False, width=1000)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.yaml"
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(path)
    return path


def _keys_as_numbers(values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    return {
        int(key) if re.fullmatch(r"0|[1-9]\d*", str(key)) else key: _keys_as_numbers(value)
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
    keys = schema["$defs"]["population"]["properties"]
    parameters = dict(schema["$defs"]["prior_preset"]["properties"])
    parameters.pop("from", None)  # no parameter: `with_shared_priors` has taken it in
    for name, chosen in settings["populations"].items():
        place = f"{where}.populations.{name}"
        ingested = "ingest" in chosen
        kind, other = ("ingested", "simulated") if ingested else ("simulated", "ingested")
        if vain := [key for key, of in keys.items() if key in chosen and of.get("kind") == other]:
            raise ValueError(
                f"{place}: {', '.join(vain)} would be ignored, only {other} populations have that "
                f"and this one is {kind}; take it out"
            )
        if ingested:
            continue
        fixed: Mapping = {}
        if families:
            if "family" not in chosen:
                raise ValueError(f"{place} needs a 'family'; there are: {', '.join(families)}")
            _refuse_ignored(chosen, families, parameters, place)
            fixed = families[chosen["family"]]
        prior = population(settings, name)["prior"] | fixed
        needed = {key for key, of in parameters.items() if not of.get("optional")}
        if lacks := needed - prior.keys():
            raise ValueError(
                f"{where}.priors.{chosen['prior']} lacks {', '.join(sorted(lacks))}, which the "
                f"population {name!r} needs; give it there or in the population's override"
            )


def _refuse_ignored(chosen: Mapping, families: Mapping, parameters: Mapping, place: str) -> None:
    family = chosen["family"]
    fixed = families[family]
    # what is fixed at 0 takes with it what only says how it is turned
    needs = {key: of["needs"] for key, of in parameters.items() if "needs" in of}
    without = {key: needed for key, needed in needs.items() if _is_zero(fixed, needed)}
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


def check_networks(settings: Mapping, schema: Mapping, where: str) -> None:
    """Refuse what a network would ignore.

    Parameters
    ----------
    settings : mapping
        Those of an experiment, as they were written, which `check_references` has accepted.
    schema : mapping
        That of the experiment: ``used_with`` and ``default_by`` say what a setting hangs on.
    where : str
        How the message names the experiment.

    Raises
    ------
    ValueError
        Naming the network and its settings, what uses them, and what to do.
    """
    keys = schema["$defs"]["network"]["properties"]
    hangs_on = {
        key: {
            by: [*values]
            for by, values in (of.get("default_by", {}) | of.get("used_with", {})).items()
        }
        for key, of in keys.items()
    }
    deciding = dict.fromkeys(by for of in hangs_on.values() for by in of)
    for name, network in settings["networks"].items():
        place = f"{where}.networks.{name}"
        chosen = {by: network.get(by, keys[by].get("default")) for by in deciding}
        for by in deciding:
            used = {k: of[by] for k, of in hangs_on.items() if k in network and by in of}
            vain = {k: used[k] for k in sorted(used) if chosen[by] not in used[k]}
            if vain:
                only = "; ".join(f"{k} only with {', '.join(map(str, v))}" for k, v in vain.items())
                raise ValueError(
                    f"{place}: {', '.join(vain)} would be ignored with {by} {chosen[by]!r} ({only})"
                    "; take it out, or where it comes from the defaults or another file set it to "
                    f"null, which leaves it out: {{{', '.join(f'{k}: null' for k in vain)}}}"
                )
