"""The README, the pages, and what is made of the code for them."""

import ast
import doctest
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from lensmill import experiments

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
HAND_WRITTEN = [README, *sorted((ROOT / "docs").glob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def load_pages():
    spec = importlib.util.spec_from_file_location("pages", ROOT / "docs/pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages = load_pages()


def blocks(path: Path, language: str) -> list[str]:
    """Return the blocks of one language in a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def commands(path: Path) -> list[str]:
    """Return what is typed in a page: lines of shell, without comments and continuations."""
    text = "\n".join(blocks(path, "bash")).replace("\\\n", " ")
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in text.splitlines()]
    return [line for line in lines if line] + re.findall(r"`(make [^`]+)`", path.read_text())


def test_the_readme_is_short():
    assert README.stat().st_size <= 6000


@pytest.mark.parametrize("path", HAND_WRITTEN, ids=lambda path: path.name)
def test_every_target_of_make_that_a_page_names_is_there(path):
    makefiles = (ROOT / "Makefile").read_text() + (ROOT / "cluster.mk").read_text()
    targets = re.findall(r"^([a-z-]+):(?!=)", makefiles, re.MULTILINE)
    named = [line.split()[1] for line in commands(path) if line.startswith("make ")]
    assert path != README or named, "the README says how to run it"
    assert [name for name in named if name not in targets] == []


@pytest.mark.parametrize("path", HAND_WRITTEN, ids=lambda path: path.name)
def test_every_file_that_a_page_links_to_is_there(path):
    links = re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", path.read_text())
    here = [link for link in links if not link.startswith(pages.FOLDER)]
    assert [link for link in here if not (path.parent / link).exists()] == []


def test_the_readme_shows_a_figure_and_where_to_read_on():
    links = re.findall(r"\]\(([^)]+)\)", README.read_text())
    assert [link for link in links if link.endswith(".png")]
    assert len([link for link in links if link.startswith("docs/") and link.endswith(".md")]) >= 5


def test_every_picture_is_shown_and_is_that_of_a_figure():
    texts = "".join(path.read_text() for path in HAND_WRITTEN)
    texts += "".join(pages.figures_page(name) for name in experiments.NAMES)
    pictures = [p for p in (ROOT / "docs/images").rglob("*") if p.is_file()]
    assert pictures
    names = [str(path.relative_to(ROOT / "docs")) for path in pictures]
    assert [name for name in names if name not in texts] == []


def dry_run(tmp_path, *arguments):
    """Ask Snakemake for a plan in an empty folder; nothing is made."""
    snakemake = Path(sys.executable).with_name("snakemake")
    words = [snakemake, "--snakefile", ROOT / "Snakefile", "--directory", tmp_path, "-n"]
    return subprocess.run([*map(str, words), *arguments], capture_output=True, text=True)


def test_snakemake_can_make_every_file_of_the_readme_and_the_quick_start(tmp_path):
    typed = commands(README) + commands(ROOT / "docs/quickstart.md")
    targets = {word for line in typed for word in line.split() if word.startswith("results/")}
    assert len(targets) >= 3
    done = dry_run(tmp_path, *sorted(targets))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_settings_of_the_tutorial_are_refused_and_accepted_as_it_says(tmp_path):
    tutorial = ROOT / "docs/tutorial.md"
    first, wrong, whole = blocks(tutorial, "yaml")
    (said,) = [text for text in blocks(tutorial, "text") if "use a narrower" in text]
    target = "results/time_delay/figures/population_distributions.png"
    settings = tmp_path / "tutorial.yaml"

    settings.write_text(first + wrong)
    done = dry_run(tmp_path, "--configfile", str(settings), "--", target)
    assert done.returncode != 0
    assert " ".join(said.split()) in " ".join((done.stdout + done.stderr).split())

    settings.write_text(whole)
    done = dry_run(tmp_path, "--configfile", str(settings), "--", target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "strong_shear/dataset.h5" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("page", "least"), [("python.md", 12), ("galaxies.md", 7), ("clusters.md", 9)]
)
def test_what_a_page_calls_in_python_says_what_stands_there(page, least):
    session = "\n".join(blocks(ROOT / "docs" / page, "python"))
    parsed = doctest.DocTestParser().get_doctest(session, {}, page, None, 0)
    assert len(parsed.examples) >= least
    assert doctest.DocTestRunner().run(parsed).failed == 0


FORM = r"^\s*(?:rule|checkpoint) (\w+):"


def test_there_is_an_entry_for_every_rule():
    text = pages.rules_page(ROOT)
    files = [ROOT / "Snakefile", *ROOT.glob("workflow/rules/*.smk")]
    files += ROOT.glob("src/lensmill/experiments/*/rules.smk")
    names = [name for path in files for name in re.findall(FORM, path.read_text(), re.M)]
    assert sorted(re.findall(r"^### `(\w+)`", text, re.MULTILINE)) == sorted(names)
    assert "simulate_shard" in names
    assert "writes `results/{experiment}/data/{population}/shards/{shard}.h5`" in text


RULES = '''
def files_of(wildcards):
    """List the files of one population."""

def asked(function):
    """Return an input function that asks for something."""

if PART:

    rule weigh:
        """Weigh a galaxy,
        and its halo."""
        input:
            unpack(asked(files_of)),
            scale=[f"results/{HOUSE['scale']}/s.json" for s in SCALES],
            light="results/{galaxy}/light.h5",
        output:
            report("results/{galaxy}/mass.json", caption="mass.rst"),
        params:
            output="not an output",
'''


def test_a_rule_is_read_with_what_its_functions_say():
    (rule,) = pages.rules_of(RULES, pages.docstrings(RULES))
    assert rule.name == "weigh"
    assert rule.text == "Weigh a galaxy, and its halo."
    assert rule.reads == [
        "`files_of`: List the files of one population",
        "*scale*: `results/{scale}/s.json`",
        "*light*: `results/{galaxy}/light.h5`",
    ]
    assert rule.writes == ["`results/{galaxy}/mass.json`"]


def test_there_is_a_row_for_every_setting():
    for name in experiments.NAMES:
        schema = experiments.schema(name)
        text = pages.settings_page(name, schema)
        for key in pages.properties(schema, schema):
            assert f"| `{key}` |" in text
        for table in ("network", "population"):
            for key in pages.properties(schema["$defs"][table], schema):
                assert f"| `{key}` |" in text


SCHEMA = """
required: [mass, halos]
properties:
  mass: {type: number, exclusiveMinimum: 0, unit: kg, description: Of the galaxy.}
  width: {type: integer, minimum: 1, maximum: 9000, default_by: {shape: {disc: 8, bulge: 2}}}
  arms: {type: integer, used_with: {shape: [disc]}, description: "a | b, below results/<galaxy>/"}
  shear: {type: array, support: [0.0, 0.5], default: [fixed, 0.1]}
  files: {type: [string, "null"], kind: ingested, default: null}
  halos: {type: object, additionalProperties: {$ref: "#/$defs/halo"}}
  subhalos: {type: object, additionalProperties: {$ref: "#/$defs/halo"}}
$defs:
  halo: {include: [sizes], properties: {shape: {enum: [disc, bulge], default: disc}}}
fragments:
  sizes: {radius: {type: number, unit: kpc, default: 2.0}}
"""


def test_settings_are_told_with_unit_default_range_and_what_they_hang_on():
    schema = yaml.safe_load(SCHEMA)
    rows = {row.key: row for row in pages.rows(schema, schema, {"mass": 3})}
    assert rows["`mass`"][1:] == ("number", "kg", "`3`", "above 0", "", "Of the galaxy.")
    assert rows["`width`"].default == "by `shape`: disc `8`, bulge `2`"
    assert rows["`width`"].range == "1 to 9,000"
    assert rows["`arms`"].meaning == (
        "a \\| b, below results/&lt;galaxy>/ Only with `shape`: `disc`."
    )
    assert rows["`shear`"][1:5] == ("prior", "", "`[fixed, 0.1]`", "0 to 0.5")
    assert rows["`files`"][1:6] == ("text or `null`", "", "`null`", "", "ingested")
    assert {row.key: row for row in pages.rows(schema, schema, {})}["`mass`"].default == (
        "must be given"
    )
    text = "\n".join(pages.sections(schema, schema, {}, "", {}))
    assert "## `halos.NAME`\n\n| key | type | unit | default | range |" in text
    assert "| `radius` | number | kpc | `2.0` |" in text
    assert "## `subhalos.NAME`\n\nAs `halos.NAME`." in text


def test_links_of_texts_that_lie_elsewhere_lead_to_pages(tmp_path):
    source = ROOT / "data/README.md"
    docs = ROOT / "docs"
    text = "[a](../docs/own_lens.md#2-name-it) [b](tdlmc.ecsv) [c](http://x.org) [d](../findings/)"
    assert pages.relink(text, source, docs) == (
        f"[a](/own_lens.md#2-name-it) b [c](http://x.org) [d](/{pages.FOLDER}/findings.md)"
    )


def test_the_package_depends_on_what_solver_and_renderer_import_and_no_more():
    source = ROOT / "src/lensmill"
    files = [*source.glob("*.py"), *source.glob("lensing/*.py"), *source.glob("imaging/*.py")]
    found = set()
    for node in (node for path in files for node in ast.walk(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    asked = {Requirement(text).name for text in PROJECT["dependencies"]}
    assert found - set(sys.stdlib_module_names) - {"lensmill"} == asked


def test_the_package_takes_along_every_file_that_its_modules_read():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = project["package-data"]["*"]
    left_out = {"README.md", "rules.smk"}  # for people, and for the Snakefile of a clone
    source = ROOT / "src/lensmill"
    files = [path for path in source.rglob("*") if path.is_file() and path.suffix != ".py"]
    files = [p for p in files if not {"tests", "__pycache__"} & {*p.relative_to(source).parts}]
    data = [path for path in files if path.name not in left_out]
    assert {"schema.yaml", "paper.mplstyle"} <= {path.name for path in data}
    assert [p for p in data if not any(p.match(pattern) for pattern in patterns)] == []


def test_the_extras_hold_what_the_lock_has_in_versions_that_it_permits():
    text = (ROOT / "requirements.in").read_text()
    locked = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)$", text, flags=re.MULTILINE))
    every = [*PROJECT["dependencies"]]
    every += [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
    asked = [Requirement(text) for text in every]
    assert {r.name for r in asked} - {"lensmill"} == set(locked)
    assert [str(r) for r in asked if r.name in locked and locked[r.name] not in r.specifier] == []


def test_a_table_of_measurements_says_where_and_when():
    tables = sorted((ROOT / "docs/measured").glob("*.csv"))
    shown = (ROOT / "docs/measured.md").read_text()
    assert {path.stem for path in tables} == set(re.findall(r"\/measured/(\w+)\.md", shown))
    for path in tables:
        header, *rows = path.read_text().splitlines()
        assert header.endswith(",machine,date") and rows
        assert all(re.search(r",20\d\d-\d\d-\d\d$", row) for row in rows)
        told = pages.measured_table(path).splitlines()
        assert len(told) == len(rows) + 4
        assert re.fullmatch(r"\*.+, 20\d\d-\d\d-\d\d\*", told[-1])
