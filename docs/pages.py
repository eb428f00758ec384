"""Pages of the documentation that are made of the code: rules, settings, experiments, figures.

`write` puts them into a folder that Sphinx reads; nothing there is kept in git.
"""

import ast
import csv
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lensmill import experiments

ROOT = Path(__file__).parents[1]
FOLDER = "_generated"  # below docs/
EXPERIMENTS = ROOT / "src/lensmill/experiments"
OTHERS = {  # other texts that lie beside what they are about, and their pages
    EXPERIMENTS / "README.md": "contract",
    ROOT / "data/README.md": "data",
    ROOT / "findings/README.md": "findings",
}


class Rule(NamedTuple):
    """A step of the workflow, as its file says."""

    name: str
    text: str  # its docstring
    reads: list[str]
    writes: list[str]


class Setting(NamedTuple):
    """A row of a table of settings."""

    key: str
    type: str
    unit: str
    default: str
    range: str
    of: str  # populations that have it, where not all do
    meaning: str


def write(folder: Path) -> None:
    """Write all pages below ``folder``, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = {"rules.md": rules_page(ROOT)}
    for source, page in texts().items():
        pages[f"{page}.md"] = relink(source.read_text(), source, ROOT / "docs")
    whole = yaml.safe_load((EXPERIMENTS / "configuration.schema.yaml").read_text())
    common = yaml.safe_load((ROOT / "config.yaml").read_text())
    pages["settings.md"] = "\n".join(table(rows(whole, whole, common)))
    for name in experiments.NAMES:
        pages[f"settings/{name}.md"] = settings_page(name, experiments.schema(name))
        pages[f"figures/{name}.md"] = figures_page(name)
    for path in sorted((ROOT / "docs/measured").glob("*.csv")):
        pages[f"measured/{path.stem}.md"] = measured_table(path)
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.rstrip() + "\n")


def texts() -> dict[Path, str]:
    """Map the texts that stand elsewhere to the pages that show them."""
    own = {EXPERIMENTS / name / "README.md": f"experiments/{name}" for name in experiments.NAMES}
    return OTHERS | {path: page for path, page in own.items() if path.exists()}


def relink(text: str, source: Path, docs: Path) -> str:
    """Point links between files at pages; what has none is named without a link.

    Parameters
    ----------
    text : str
        Markdown of the file ``source``.
    source : Path
        Where its links start from.
    docs : Path
        The folder of the documentation.
    """
    pages = texts() | {folder.parent: page for folder, page in texts().items()}

    def target(match: re.Match) -> str:
        shown, link, anchor = match[1], match[2], match[3] or ""
        if ":" in link or not link:
            return match[0]
        path = (source.parent / link).resolve()
        if path in pages:
            return f"[{shown}](/{FOLDER}/{pages[path]}.md{anchor})"
        if path.suffix == ".md" and path.is_relative_to(docs):
            return f"[{shown}](/{path.relative_to(docs)}{anchor})"
        if path.suffix in (".png", ".svg"):
            return match[0]
        return shown

    return re.sub(r"\[([^\]\[]*)\]\(([^)#\s]*)(#[^)\s]*)?\)", target, text)


# Rules


def rules_page(root: Path) -> str:
    """Return the steps of the workflow, by the file that they stand in."""
    functions = {}
    snakefile = root / "Snakefile"
    included = re.findall(r'^include: "(.*)"', snakefile.read_text(), re.MULTILINE)
    own = sorted(root.glob("src/lensmill/experiments/*/rules.smk"))
    sources = [snakefile, *(root / name for name in included), *own]
    for path in sources:
        functions |= docstrings(path.read_text())
    lines = []
    for path in sources:
        text = path.read_text()
        found = list(rules_of(text, functions))
        if not found:
            continue
        own = path.is_relative_to(root / "src")
        title = f"Only of `{path.parent.name}`" if own else f"`{path.name}`"
        lines += [f"## {title}", ""]
        if said := re.match(r'"""(.*?)(?:"""|\n)', text):
            lines += [f"{said[1]} (`{path.relative_to(root)}`)", ""]
        for rule in found:
            lines += [f"### `{rule.name}`", "", rule.text, ""]
            lines += [f"- reads {name}" for name in rule.reads]
            lines += [f"- writes {name}" for name in rule.writes]
            lines.append("")
    return "\n".join(lines)


def docstrings(text: str) -> dict[str, str]:
    """Return the first line of the docstring of every function in a file of rules."""
    found = re.findall(r'^def (\w+)\([^)]*\):\n    """(.*?)(?:"""|\n)', text, re.MULTILINE)
    return {name: line.rstrip(".") for name, line in found}


def rules_of(text: str, functions: Mapping[str, str]) -> Iterator[Rule]:
    """Find the rules of a file.

    Parameters
    ----------
    text : str
        The file, of which every rule begins with ``rule NAME:`` at any indentation.
    functions : mapping
        What the functions give that an input may be.
    """
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if not (found := re.fullmatch(r"(\s*)(?:rule|checkpoint) (\w+):\s*", line)):
            continue
        inner = len(found[1]) + 4
        body = []
        for below in lines[i + 1 :]:
            if below.strip() and len(below) - len(below.lstrip()) < inner:
                break
            body.append(below[inner:])
        block = "\n".join(body)
        said = re.match(r'\s*"""(.*?)"""', block, re.DOTALL)
        parts = dict(re.findall(r"^(\w+):(.*(?:\n(?: .*)?)*)", block, re.MULTILINE))
        yield Rule(
            found[2],
            " ".join(said[1].split()) if said else "",
            files(parts.get("input", ""), functions),
            files(parts.get("output", ""), functions),
        )


def files(arguments: str, functions: Mapping[str, str]) -> list[str]:
    """Say what an ``input`` or ``output`` names: paths, or the functions that list them."""
    call = ast.parse(f"f({arguments.strip()}\n)", mode="eval").body
    named = [(None, value) for value in call.args] + [(k.arg, k.value) for k in call.keywords]
    found = []
    for name, value in named:
        for shown in paths(value, functions):
            found.append(f"*{name}*: {shown}" if name else shown)
    return list(dict.fromkeys(found))


def paths(node: ast.expr, functions: Mapping[str, str]) -> list[str]:
    """Return the paths in an expression; where there are none, what its functions say of them."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("report", "unpack"):
        return paths(node.args[0], functions)
    if isinstance(node, ast.Constant):
        return [f"`{node.value}`"]
    if found := re.fullmatch(r"rules\.(\w+)\.(input|output)\.(\w+)", ast.unparse(node)):
        return [f"`{found[3]}` of `{found[1]}`"]
    whole = [text for text in strings(node) if text.startswith("results/")]
    if whole:
        return [f"`{text}`" for text in whole]
    names = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
    known = [name for name in names if name in functions]  # the outermost first
    # one that only hands its wildcards to another says less than that other
    known.sort(key=lambda name: functions[name].startswith("Return an input function"))
    if known:
        return [f"`{known[0]}`: {functions[known[0]]}"]
    return [f"`{ast.unparse(node)}`"]


def strings(node: ast.AST) -> Iterator[str]:
    """Yield the texts in an expression; of one with braces, those with names in them."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(map(piece, node.values))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        for part in ast.iter_child_nodes(node):
            yield from strings(part)


def piece(node: ast.expr) -> str:
    """Return a piece of a path; what is put into it by the name that it goes by."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    name = re.findall(r"\w+", ast.unparse(node))[-1]
    return f"{{{name}}}"


# Settings


def settings_page(name: str, schema: Mapping) -> str:
    """Return the settings of an experiment, and the choices of its study."""
    text = (EXPERIMENTS / name / "defaults.yaml").read_text()
    chosen = experiments.choices(name)
    lines = [f"# Settings of `{name}`", ""]
    lines += [f"Keys below `experiments.{name}`. [What it is](/{FOLDER}/experiments/{name}.md)."]
    lines += ["", *sections(schema, schema, chosen, "", {})]
    lines += ["## The choices of the study", "", "Its `defaults.yaml`:", ""]
    lines += ["```yaml", text.rstrip(), "```"]
    presets = yaml.safe_load(text)["experiments"][name].get("priors", {}).values()
    for shared in dict.fromkeys(preset["from"] for preset in presets if "from" in preset):
        lines += ["", f"## The priors `{shared}`", "", "```yaml"]
        lines += [(EXPERIMENTS / f"priors/{shared}.yaml").read_text().rstrip(), "```"]
    return "\n".join(lines)


def sections(
    schema: Mapping, root: Mapping, chosen: Any, path: str, shown: dict[str, Mapping]
) -> Iterator[str]:
    """Yield a table for every mapping of settings, with those inside it behind.

    ``shown`` holds the mappings that have a table already: those like it refer to that.
    """
    own = properties(schema, root)
    title = f"## `{path}`" if path else "## Of the whole experiment"
    for before, same in shown.items():
        if own == same:
            yield from [title, "", f"As `{before}`.", ""]
            return
    if own:
        shown[path] = own
        yield from [title, "", *table(rows(schema, root, chosen)), ""]
    for key, about in own.items():
        at = f"{path}.{key}" if path else key
        value = chosen.get(key, {}) if isinstance(chosen, Mapping) else {}
        if properties(about, root):
            yield from sections(about, root, value, at, shown)
        elif isinstance(about.get("additionalProperties"), Mapping):
            named = resolved(about["additionalProperties"], root)
            if properties(named, root):
                yield from sections(named, root, {}, f"{at}.NAME", shown)


def rows(schema: Mapping, root: Mapping, chosen: Any) -> list[Setting]:
    """Return the settings of one mapping.

    Parameters
    ----------
    schema, root : mapping
        The mapping's schema, and the whole, in which ``$ref`` and ``include`` are looked up.
    chosen : mapping
        Values shown as defaults where the schema has none.
    """
    chosen = chosen if isinstance(chosen, Mapping) else {}
    required = schema.get("required", [])
    return [
        Setting(
            f"`{key}`",
            type_of(about, root),
            str(about.get("unit", "")),
            default_of(key, about, root, chosen, key in required),
            range_of(about),
            str(about.get("kind", "")),
            meaning_of(about),
        )
        for key, about in properties(schema, root).items()
    ]


def properties(schema: Mapping, root: Mapping) -> dict[str, Mapping]:
    """Return the keys of a mapping, those of the fragments that it includes among them."""
    schema = resolved(schema, root)
    fragments = root.get("fragments", {})
    found: dict[str, Mapping] = {}
    for name in schema.get("include", []):
        found |= fragments.get(name, {})
    found |= schema.get("properties", {})
    return {key: resolved(about, root) for key, about in found.items()}


def resolved(schema: Mapping, root: Mapping) -> Mapping:
    """Follow a ``$ref``; what stands beside it wins."""
    while "$ref" in schema:
        own = {key: value for key, value in schema.items() if key != "$ref"}
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]] | own
    return schema


def type_of(about: Mapping, root: Mapping) -> str:
    """Say what kind of value a key takes."""
    if "support" in about:
        return "prior"
    if "enum" in about:
        return "one of"
    kinds = about.get("type", "")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    items = about.get("items")
    words = {"object": "mapping", "array": "list", "null": "`null`", "string": "text"}
    words["boolean"] = "`true` or `false`"
    if isinstance(items, Mapping) and isinstance(items.get("type"), str):
        words["array"] = f"list of {words.get(items['type'], items['type'])}s"
    return " or ".join(words.get(kind, kind) for kind in kinds)


def default_of(key: str, about: Mapping, root: Mapping, chosen: Mapping, required: bool) -> str:
    """Say what holds where a key is left out."""
    if "default_by" in about:
        return "; ".join(
            f"by `{other}`: " + ", ".join(f"{value} {code(d)}" for value, d in by.items())
            for other, by in about["default_by"].items()
        )
    value = about["default"] if "default" in about else chosen.get(key)
    simple = not isinstance(value, Mapping) and len(str(value)) < 60
    if ("default" in about or key in chosen) and simple:
        return code(value)
    if properties(about, root) or isinstance(about.get("additionalProperties"), Mapping):
        return ""
    return "must be given" if required else ""


def code(value: Any) -> str:
    """Return a value as YAML writes it."""
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def range_of(about: Mapping) -> str:
    """Say which values are permitted."""
    if "enum" in about:
        return ", ".join(code(value) for value in about["enum"])
    if "support" in about:
        return "{:g} to {:g}".format(*about["support"])
    parts = []
    low, high = about.get("minimum"), about.get("maximum")
    above, below = about.get("exclusiveMinimum"), about.get("exclusiveMaximum")
    if low is not None and high is not None:
        parts.append(f"{low:,} to {high:,}")
    elif low is not None:
        parts.append(f"at least {low:,}")
    elif high is not None:
        parts.append(f"at most {high:,}")
    parts += [f"above {above:,}"] if above is not None else []
    parts += [f"below {below:,}"] if below is not None else []
    parts += [f"a multiple of {about['multipleOf']}"] if "multipleOf" in about else []
    few, many = about.get("minItems"), about.get("maxItems")
    if few is not None:
        parts.append(f"{few} items" if few == many else f"{few} items or more")
    return ", ".join(parts)


def meaning_of(about: Mapping) -> str:
    """Say what a key means and what it hangs on."""
    parts = [str(about.get("description", "")).strip()]
    for other, values in about.get("used_with", {}).items():
        values = values if isinstance(values, list) else [values]
        parts.append(f"Only with `{other}`: {', '.join(code(value) for value in values)}.")
    text = " ".join(" ".join(parts).split()).replace("|", "\\|")
    # `<name>` would be taken for HTML, but for what stands between backticks
    outside = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else p.replace("<", "&lt;") for p in outside)


def table(rows: list[Setting]) -> list[str]:
    """Return a table; columns in which nothing stands are left out."""
    names = Setting._fields
    kept = [i for i in range(len(names)) if any(row[i] for row in rows)]
    lines = [[names[i] for i in kept], ["---"] * len(kept)]
    lines += [[row[i] for i in kept] for row in rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


# Figures


def figures_page(name: str) -> str:
    """Return the figures of an experiment with their captions, and pictures where there are any."""
    lines = [f"# Figures of `{name}`", ""]
    for module in sorted((EXPERIMENTS / name / "figures").glob("[!_]*.py")):
        picture = ROOT / "docs/images" / name / f"{module.stem}.png"
        lines += [f"## `{module.stem}`", ""]
        if picture.exists():
            lines += [f"![{module.stem}](/images/{name}/{picture.name})", ""]
        lines += [ast.get_docstring(ast.parse(module.read_text())), ""]
    return "\n".join(lines)


# Measurements


def measured_table(path: Path) -> str:
    """Return a table of measurements; where and when they were made stands below it, once."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    lines = [header[:-2], ["---"] * (len(header) - 2), *(row[:-2] for row in rows)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{table}\n\n*{'; '.join(dict.fromkeys(', '.join(row[-2:]) for row in rows))}*"
