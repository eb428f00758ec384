"""Names of the user's choice: what YAML makes of them, and what a file or a rule can bear.

Imports only the standard library, since every job of a workflow reads the settings.
"""

import datetime
import re
from collections.abc import Mapping
from typing import Any

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")
PERMITTED = (
    "letters of ASCII, digits, _ . + and -, a letter, digit or _ first, 100 characters at most"
)
# A network may be trained from several seeds, or on several folds of its data; all of several seeds
# are an ensemble. Each of them is a network too, by name alone.
MEMBER = r"(?:_(?:seed|ensemble)\d+)?(?:_fold\d+of\d+)?"
MEMBERS = re.compile(r"(.+?)(?:_(seed|ensemble)(\d+))?(?:_fold(\d+)of(\d+))?")
SECTIONS = ("populations", "networks", "observations", "priors", "figures", "searches")


def text_keys(settings: Mapping, where: str) -> dict[str, Any]:
    """Return settings whose keys are text at every depth: ``{0: 0, 1: 1}`` names folders 0 and 1.

    Raises
    ------
    ValueError
        If a key is neither text nor a whole number, or stands there as both with two values.
    """
    keys: dict[str, Any] = {}
    for key, value in settings.items():
        if not isinstance(key, str) and (isinstance(key, bool) or not isinstance(key, int)):
            raise ValueError(
                f"{where}: a key is {_made_of(key)}; write it between quotation marks if it is "
                "meant as a name"
            )
        text, inner = str(key), f"{where}.{key}"
        value = text_keys(value, inner) if isinstance(value, Mapping) else value
        if keys.setdefault(text, value) != value:
            raise ValueError(f"{inner} stands there as a number and as text; quote both")
    return keys


def _made_of(value: Any) -> str:
    """Say in words what YAML has made of a scalar."""
    if value is None:
        return "null, which YAML reads an empty word, ~, null, Null and NULL as"
    if isinstance(value, bool):
        words = "yes, on, true" if value else "no, off, false"
        return f"the truth value {str(value).casefold()}, which YAML reads {words} as"
    if isinstance(value, datetime.date):
        return f"the date {value}"
    return f"the number {value!r}" if isinstance(value, int | float) else f"{value!r}"


def text_values(settings: Any, schema: Mapping, root: Mapping | None = None) -> Any:
    """Return settings in which a whole number is text wherever the schema wants a name.

    A population that is called 2024 can then be referred to as it is defined.
    """
    root = root or schema
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    root = schema if "$defs" in schema else root
    if isinstance(settings, Mapping):
        free = schema.get("additionalProperties")
        others = free if isinstance(free, Mapping) else {}
        properties = schema.get("properties", {})
        return {k: text_values(v, properties.get(k, others), root) for k, v in settings.items()}
    if isinstance(settings, list):
        return [text_values(value, schema.get("items", {}), root) for value in settings]
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    whole = isinstance(settings, int) and not isinstance(settings, bool)
    return str(settings) if whole and "string" in kinds and "number" not in kinds else settings


def member(name: str) -> tuple[str, dict[str, int]]:
    """Return what a network is called and which of its trainings is meant.

    Returns
    -------
    name : str
    member : dict
        ``seed`` of one training, ``seeds`` of an ensemble, ``fold`` and ``folds``; empty if the
        name means the network itself.
    """
    base, kind, number, fold, folds = MEMBERS.fullmatch(name).groups()
    given = {{"seed": "seed", "ensemble": "seeds"}.get(kind): number, "fold": fold, "folds": folds}
    return base, {key: int(value) for key, value in given.items() if value is not None}


def members(name: str, network: Mapping) -> list[str]:
    """List the networks that a definition stands for: itself, or one per seed or fold.

    Those of several seeds are also scored together, as an ensemble.
    """
    seeds, folds = network.get("seeds") or 0, network.get("folds") or 0
    of_seeds = [f"{name}_seed{i}" for i in range(1, seeds + 1)]
    of_seeds += [f"{name}_ensemble{seeds}"] if seeds else []
    return of_seeds + [f"{name}_fold{i}of{folds}" for i in range(1, folds + 1)] or [name]


def check(settings: Mapping, where: str) -> None:
    """Check the names of an experiment's populations, networks and so on.

    Raises
    ------
    ValueError
        If a name cannot be a part of the name of a file, or stands for something else.
    """
    for section in SECTIONS:
        for name in settings.get(section, {}):
            if not NAME.fullmatch(name):
                raise ValueError(
                    f"{where}.{section}: {name!r} cannot be a name, because files are called by "
                    f"it; permitted are {PERMITTED}"
                )
    for name in settings.get("networks", {}):
        if (base := member(name)[0]) != name:
            ending = name.removeprefix(base)
            raise ValueError(
                f"{where}.networks: {name!r} ends in {ending!r}, which stands for one of "
                "several trainings of a network; call it otherwise, as in "
                f"{base + ending.replace('_', '-')!r}"
            )
    for name, observation in settings.get("observations", {}).items():
        for band in observation.get("bands", {}):
            if not band or "/" in band or band.startswith("."):
                raise ValueError(
                    f"{where}.observations.{name}.bands: {band!r} cannot be the name of a band, "
                    "because columns are called by it; leave out the '/', or the '.' in front"
                )
