"""What YAML 1.1, as Snakemake reads it, makes of the characters in a configuration file.

``1e-3`` is text there, ``12:30`` is 750, ``010`` is 8, ``no`` is false and ``2024-01-01`` a date.
Each is named with its line and the characters to write, before anything is validated or run.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# A number as JSON, YAML 1.2 and Python write it.
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
WHOLE = re.compile(r"-?(0|[1-9]\d*)")
OCTAL = re.compile(r"[-+]?0[0-7_]+")
TRUTHS = ("true", "false")
TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def refuse_misread(path: str | Path, schema: Mapping) -> None:
    """Raise if a YAML file holds a value that is not read as it looks, or a key twice.

    Parameters
    ----------
    path : path
        A configuration file; in JSON, only `1e3` where a whole number belongs is a surprise.
    schema : mapping
        JSON schema of the whole configuration: where it asks for text, ``no`` must be quoted.

    Raises
    ------
    ValueError
        All such places, one a line: file, line, setting, how it is read and what to write.
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        values = json.loads(text)
    except ValueError:
        document = yaml.compose(text, Loader=Loader)
    else:
        _refuse_fractions(values, schema, schema, str(path), "")
        return
    faults = [
        f"{path}, line {node.start_mark.line + 1}: {where}: {fault}"
        for node, where, fault in _find_misread(document, schema, schema, "")
    ]
    if faults:
        raise ValueError("\n".join(dict.fromkeys(faults)))  # an alias is visited twice


def refuse_text(values: Any, schema: Mapping, where: str = "", root: Mapping | None = None) -> None:
    """Raise if the command line gives text, or a fraction, where the schema asks for a number.

    Snakemake reads ``--config seed=3`` as a number, but keeps all inside braces as text.
    """
    schema, root = _resolve(schema, root or schema)
    wanted = _permitted_types(schema)
    if isinstance(values, Mapping):
        for key, value in values.items():
            refuse_text(value, _child(schema, key), f"{where}.{key}".lstrip("."), root)
    elif isinstance(values, list):
        for i, value in enumerate(values):
            refuse_text(value, _item(schema, i), f"{where}[{i}]", root)
    elif isinstance(values, str) and wanted & {"number", "integer", "boolean"} - {"string"}:
        if "string" not in wanted:
            raise ValueError(
                f"--config: {where}: {values!r} is text, since Snakemake makes text of every value "
                "in braces or brackets; write it into a YAML file and give that as --configfile"
            )
    else:
        _refuse_fractions(values, schema, root, "--config", where)


def _refuse_fractions(values: Any, schema: Mapping, root: Mapping, file: str, where: str) -> None:
    """Raise where a number with a point stands for a whole one: jsonschema takes 1e3 for that."""
    schema, root = _resolve(schema, root)
    wanted = _permitted_types(schema)
    if isinstance(values, Mapping):
        for key, value in values.items():
            _refuse_fractions(value, _child(schema, key), root, file, f"{where}.{key}".lstrip("."))
    elif isinstance(values, list):
        for i, value in enumerate(values):
            _refuse_fractions(value, _item(schema, i), root, file, f"{where}[{i}]")
    elif isinstance(values, float) and "integer" in wanted and "number" not in wanted:
        raise ValueError(
            f"{file}: {where}: {values:g} must be a whole number; write it without point and "
            f"exponent{f': {values:.0f}' if values.is_integer() else ''}"
        )


def _find_misread(node: Any, schema: Mapping, root: Mapping, where: str) -> Iterator[tuple]:
    """Yield node, setting and what is wrong, in order."""
    schema, root = _resolve(schema, root)
    if isinstance(node, yaml.MappingNode):
        lines: dict[tuple, int] = {}
        for key, value in node.value:
            if _kind(key) == "merge":  # `<<: *other` or `<<: [*one, *other]`: their keys are ours
                for other in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    yield from _find_misread(other, schema, root, where)
                continue
            place = f"{where}.{key.value}".lstrip(".")
            if fault := _wrong_key(key):
                yield key, place, fault
            name = key.tag, str(key.value)
            if first := lines.get(name):
                yield key, place, f"stands in line {first} already, which would be lost; join them"
            lines.setdefault(name, key.start_mark.line + 1)
            yield from _find_misread(value, _child(schema, str(key.value)), root, place)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            yield from _find_misread(value, _item(schema, i), root, f"{where}[{i}]")
    elif isinstance(node, yaml.ScalarNode) and not node.style:
        if fault := _wrong_value(node, _permitted_types(schema)):
            yield node, where, fault


def _wrong_key(node: Any) -> str:
    """Say what is wrong with a key. Whole numbers may be: a number of images, a label."""
    if not isinstance(node, yaml.ScalarNode) or node.style:
        return ""
    kind, raw = _kind(node), node.value
    if kind == "int" and WHOLE.fullmatch(raw):
        return ""
    if kind == "str":
        return ""
    return f"{raw} is {_read_as(kind, raw)} in YAML 1.1; write '{raw}' in quotes for a name"


def _wrong_value(node: Any, wanted: set[str]) -> str:
    """Say what is wrong with a value; ``wanted`` is empty where the schema does not say."""
    kind, raw = _kind(node), node.value
    number, text = wanted & {"number", "integer"}, "string" in wanted
    quoted = f"'{raw}' in quotes for text" if text or not wanted else ""
    if kind == "str":
        if text or not NUMBER.fullmatch(raw):
            return ""
        return f"'{raw}' is text in YAML 1.1; write {_either(_number(raw, wanted), quoted)}"
    if kind in ("int", "float"):
        if ":" in raw or (kind == "int" and OCTAL.fullmatch(raw)):
            value = yaml.safe_load(raw)
            plain = f"{value} if that is meant"
            if ":" not in raw:
                plain = f"{raw.replace('_', '').lstrip('+-0') or '0'} or {value}"
            return f"{raw} is {_read_as(kind, raw)} in YAML 1.1; write {_either(plain, quoted)}"
        if kind == "float" and "integer" in wanted and "number" not in wanted:
            return f"{raw} is not a whole number; write {_number(raw, wanted)}"
        plain = kind == "int" and WHOLE.fullmatch(raw)  # `names.text_values` makes text of it
        if (text and not number and not plain) or (not wanted and "_" in raw):
            return f"{raw} is {_read_as(kind, raw)} in YAML 1.1; write '{raw}' in quotes for text"
    odd = kind == "timestamp" or (kind == "bool" and (text or raw.lower() not in TRUTHS))
    if odd and "boolean" not in wanted:
        return f"{raw} is {_read_as(kind, raw)} in YAML 1.1; write {quoted or 'a number'}"
    return ""


def _either(one: str, other: str) -> str:
    return f"{one}, or {other}" if other else one


def _kind(node: Any) -> str:
    return node.tag.rsplit(":", 1)[-1]


def _read_as(kind: str, raw: str) -> str:
    """Say what becomes of the characters."""
    if kind == "bool":
        return f"the boolean {str(yaml.safe_load(raw)).lower()}"
    if kind == "null":
        return "no value at all"
    if kind == "timestamp":
        return "a date"
    how = ", counted in sixties" if ":" in raw else ", octal" if OCTAL.fullmatch(raw) else ""
    return f"the number {yaml.safe_load(raw)}{how}"


def _number(raw: str, wanted: set[str]) -> str:
    """Write a number so that YAML 1.1 reads it as one: with a point and a signed exponent."""
    value = float(raw)
    if value.is_integer() and ("integer" in wanted or abs(value) < 1e6) and "e" not in repr(value):
        return f"{value:.0f}"
    mantissa, _, exponent = raw.lower().partition("e")
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    mantissa = re.sub(r"^([-+]?)\.", r"\g<1>0.", mantissa)
    return f"{mantissa}e{int(exponent):+d}" if exponent else mantissa


def _resolve(schema: Mapping, root: Mapping) -> tuple[Mapping, Mapping]:
    """Follow a reference; a schema with definitions of its own is the root of what it holds."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    return schema, schema if "$defs" in schema else root


def _child(schema: Mapping, key: str) -> Mapping:
    extra = schema.get("additionalProperties")
    return schema.get("properties", {}).get(key, extra if isinstance(extra, Mapping) else {})


def _item(schema: Mapping, i: int) -> Mapping:
    if "support" in schema:  # a prior: its kind and its parameters
        return {"type": "number" if i else "string"}
    first = schema.get("prefixItems", [])
    return first[i] if i < len(first) else schema.get("items", {})


def _permitted_types(schema: Mapping) -> set[str]:
    """Return the types that a schema permits; empty if it does not say."""
    if "enum" in schema:
        return {TYPES[type(value)] for value in schema["enum"]}
    types = schema.get("type", [])
    return {types} if isinstance(types, str) else set(types)
