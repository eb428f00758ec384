"""Archive of a run in one file, for others to reproduce it, and the comparison with it.

    python -m lensmill.cluster.archive make BUNDLE      # make archive
    python -m lensmill.cluster.archive verify BUNDLE    # make verify BUNDLE=...

The bundle holds the configurations that made the results, with the tables that they name and the
digests of their images, the locked packages, the commit (and the patch, if the checkout was
edited), the digests of all data, the networks, the scores and the figures. Data themselves are left
out: the digests say whether a new run has made the same. Both commands work them out from the
content.
"""

import gzip
import hashlib
import io
import json
import math
import platform
import re
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lensmill import experiments
from lensmill.pipeline import intact, names, provenance, settings, sources, store

ROOT = provenance.PACKAGE.parents[1]
MANIFEST = "manifest.json"

# Copied whole, from the checkout and from the results.
SOURCES = ("config.yaml", "configs/*.yaml", "requirements.txt", "envs/*.yaml")
SOURCES += ("profiles/*/config.yaml", "src/lensmill/experiments/*/defaults.yaml")
SOURCES += ("src/lensmill/experiments/priors/*.yaml",)
SOURCES += ("data/*.ecsv", "data/*.md")
KEPT = (".json", ".csv", ".ecsv", ".md", ".yaml", ".pdf", ".png", ".keras", ".skops")
# Parts of what is in a results folder that say nothing of the result, or hang on the machine.
LEFT_OUT = {
    "configurations",
    "logs",
    "benchmarks",
    "shards",
    "checkpoints",
    "tensorboard",
    "workers",
}
LEFT_OUT |= {"export", "files.json"}
CONFIGURATIONS = "configurations/*.yaml"  # what `settings.keep` wrote, in the folder of results
DATA = ("*/data/*/dataset.h5", "*/data/*/split.h5")  # compared by digest

# How far the score of a network may lie from the archived one. Data are equal or they are not;
# training on another processor rounds differently, and so ends elsewhere in the same valley.
RELATIVE = 0.10  # of errors (mse, mae, scatter) and of the scatter, for a bias
COVERAGE = 0.02  # absolute, of a coverage and its error; for few systems 1.5 of them
NO_SCORE = ("network", "population", "images", "systems", "seconds")


def _list(folder: Path, patterns: tuple[str, ...]) -> list[str]:
    paths = (path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    return sorted({path.relative_to(folder).as_posix() for path in paths})


def _results(folder: Path) -> list[str]:
    """List the results that are copied: of every experiment all tables, figures and models."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix in KEPT)
    return sorted(p.as_posix() for p in paths if p.parts[1:] and not LEFT_OUT & {*p.parts})


def manifest(root: Path, results: Path) -> dict[str, Any]:
    """Describe a run: commit, machine, packages, and the digest of every data set.

    ``content_digest`` is that of the content as it is now; ``stored_digest`` what the file says.
    """
    data = {}
    for name in _list(results, DATA):
        try:
            content = intact.digest(results / name)
            with intact.reading(results / name):
                facts = store.attributes(results / name)
        except ValueError as error:
            data[name] = {"content_digest": "", "stored_digest": "", "error": str(error)}
            continue
        data[name] = {
            key: facts[key].item() if hasattr(facts[key], "item") else facts[key]
            for key in ("seed", "settings", "code", "git_commit", "source", "source_digest", "last")
            if key in facts
        }
        data[name]["content_digest"] = content
        data[name]["stored_digest"] = str(facts.get("content_digest", ""))
    return {
        "commit": provenance.git_commit(),
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "lock": hashlib.sha256((root / "requirements.txt").read_bytes()).hexdigest(),
        "data": data,
    }


def make(bundle: Path, root: Path = ROOT, results: Path = Path("results")) -> dict[str, Any]:
    """Write the bundle; equal runs give equal bytes.

    Returns
    -------
    dict
        The manifest. ``unexplained`` names the results that no configuration in
        ``results/configurations`` would make, with the reason.

    Raises
    ------
    FileNotFoundError
        If there are no results.
    ValueError
        If a data set, a network or a JSON file of the results is damaged.
    """
    contents = manifest(root, results)
    if not contents["data"]:
        raise FileNotFoundError(f"no data sets below {results.resolve()}: run the workflow first")
    if damaged := [*_find_damage(contents["data"])]:
        raise ValueError("\n".join(damaged))
    files = {f"results/{name}": results / name for name in _results(results)}
    intact.verify(files.values())
    files |= {f"checkout/{name}": root / name for name in _list(root, SOURCES)}
    files |= _explain(contents, root, results)
    part = bundle.with_name(bundle.name + ".part")
    with (
        part.open("wb") as out,
        gzip.GzipFile("", "wb", fileobj=out, mtime=0) as packed,  # no name, no time: equal bytes
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        _add(tar, MANIFEST, json.dumps(contents, indent=1, sort_keys=True).encode())
        if contents["commit"].endswith("-dirty"):
            _add(tar, "checkout/uncommitted.patch", _patch(root))
        for name, path in files.items():
            _add(tar, name, path.read_bytes())
    part.replace(bundle)
    return contents


def _explain(contents: dict[str, Any], root: Path, results: Path) -> dict[str, Path]:
    """Find the configuration behind each result; return it and the tables that it names.

    Adds ``configurations``, ``images`` and ``unexplained`` to the manifest.
    """
    kept = sorted(results.glob(CONFIGURATIONS), key=lambda path: path.stat().st_mtime, reverse=True)
    configurations = {
        path: names.text_keys(yaml.safe_load(path.read_text()), path.name) for path in kept
    }
    files: dict[str, Path] = {}
    images, unexplained, by_result = {}, {}, {}
    for name, facts in contents["data"].items():
        experiment, _, population, kind = name.split("/")
        if kind != "dataset.h5":
            continue
        makers = [p for p, c in configurations.items() if _makes(c, experiment, population, facts)]
        if not makers:
            unexplained[name] = "no configuration has this population with these settings"
            continue
        path = makers[0]
        by_result[name] = path.name
        files[f"configurations/{path.name}"] = path
        chosen = configurations[path]["experiments"][experiment]["populations"][population]
        if "ingest" not in chosen:
            continue
        given = chosen["ingest"]
        source = Path(sources.find(given, root))
        look_up = experiments.look_up(experiment, "source_files")
        others = [Path(path) for path in look_up(chosen, str(source))[1:]]
        if source.is_file():
            files[f"inputs/{_inside(given)}"] = source
            there = provenance.source(source)["source_digest"]
            if facts.get("source_digest", there) != there:  # an older data set does not say it
                unexplained[name] = f"{given} has changed since it was read; run again"
        elif not source.exists():
            unexplained[name] = f"{given}, which it was read from, is not there any more"
        for path in filter(Path.is_file, others):  # a table among the images
            within = path.relative_to(source).as_posix() if path.is_relative_to(source) else path
            files[f"inputs/{_inside(given)}/{_inside(str(within))}"] = path
        listed = (results / name).with_name("files.json")
        if listed.exists():
            images[name] = _images(json.loads(listed.read_text()), source)
    for training in sorted(results.glob("*/networks/*/training.json")):
        name = training.parent.relative_to(results).as_posix()
        experiment, network = training.parts[-4], training.parts[-2]
        intact.verify([training])
        facts = json.loads(training.read_text())
        makers = [p for p, c in configurations.items() if _trains(c, experiment, network, facts)]
        if makers:
            by_result[name] = makers[0].name
            files[f"configurations/{makers[0].name}"] = makers[0]
        else:
            unexplained[name] = "no configuration has this network with these settings"
    contents |= {"configurations": by_result, "images": images, "unexplained": unexplained}
    return files


def _makes(whole: Mapping, experiment: str, population: str, facts: Mapping) -> bool:
    """Say whether a run with this configuration makes a data set with these facts."""
    chosen = whole["experiments"].get(experiment, {})
    try:
        wanted = settings.population(chosen, population)
    except KeyError:
        return False
    if experiment in experiments.NAMES and "ingest" not in wanted:
        inputs = experiments.look_up(experiment, "simulation_inputs")(chosen, population)
        wanted |= {name: f"results/{experiment}/{path}" for name, path in inputs.items()}
    stored = json.loads(facts["settings"])
    if "ingest" in wanted and Path(wanted["ingest"]).name != facts.get("source"):
        return False
    if systems := chosen["populations"][population].get("systems"):
        if (facts.get("seed"), facts.get("last")) != (whole["seed"], systems - 1):
            return False
    # a table of systems is stored with its columns, which no setting says
    return "columns" in stored or all(stored.get(key) == value for key, value in wanted.items())


def _trains(whole: Mapping, experiment: str, network: str, facts: Mapping) -> bool:
    """Say whether a run with this configuration trains a network with these facts."""
    chosen = whole["experiments"].get(experiment, {})
    name, _ = names.member(network)
    networks = chosen.get("networks", {})
    wanted = networks.get(network) or networks.get(name)
    wanted = {k: v for k, v in (wanted or {}).items() if v is not None}  # null: left out
    if not wanted or (settings.own(wanted), whole["seed"]) != (facts["population"], facts["seed"]):
        return False
    if "observation" in wanted:
        if chosen["observations"][wanted["observation"]] != facts["observation"]:
            return False
    named = {"train_on", "test_on", "observation", "seeds", "seed", "fold", "folds"}
    return all(facts["settings"].get(k) == v for k, v in wanted.items() if k not in named)


def _inside(path: str) -> str:
    """Return where a file of the user lies in the bundle, each in a place of its own."""
    return "/".join({"/": "root", "..": "up"}.get(part, part) for part in Path(path).parts)


def _images(files: list[str], source: Path) -> dict[str, Any]:
    """Describe the images of a population: how many, how large, and one digest of all."""
    folder = source if source.is_dir() else source.parent
    whole, size, missing = hashlib.sha256(), 0, 0
    for name in files:
        path = Path(name)
        if not path.is_file():
            missing += 1
            continue
        size += path.stat().st_size
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        within = path.relative_to(folder) if path.is_relative_to(folder) else path
        whole.update(f"{within.as_posix()} {content}\n".encode(errors="surrogateescape"))
    return {"files": len(files), "missing": missing, "bytes": size, "digest": whole.hexdigest()}


def _find_damage(data: Mapping[str, Any]) -> Iterator[str]:
    """Name the data sets whose content is not what their own digest says."""
    for name, facts in data.items():
        if "error" in facts:
            yield f"{name}: {facts['error']}"
        elif facts["content_digest"] != facts["stored_digest"]:
            state = "damaged or edited: its content does not match its digest"
            yield f"{name}: {state}; {intact.REMEDY}"


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(f"lensmill-bundle/{name}")
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _patch(root: Path) -> bytes:
    return subprocess.run(["git", "-C", str(root), "diff", "HEAD"], capture_output=True).stdout


def verify(bundle: Path, root: Path = ROOT, results: Path = Path("results")) -> Iterator[str]:
    """Compare the results here with a bundle.

    Yields
    ------
    str
        One line for each thing that differs: a data set, a score beyond its tolerance, a file that
        is missing; nothing at all if the run was reproduced. Lines in brackets are not failures:
        they say what may be the reason.
    """
    files = _read(bundle)
    then, now = json.loads(files[MANIFEST]), manifest(root, results)
    differences = [*_find_damage(now["data"]), *_data(then["data"], now["data"])]
    unlike = dict(_find_losses(files, results))
    differences += [f"{name}: {state}" for name, state in unlike.items()]
    differences += _scores({n: c for n, c in files.items() if n not in unlike}, results)
    yield from differences
    if differences:
        yield from _reasons(then, now, files, root)


def _read(bundle: Path) -> dict[str, bytes]:
    """Return the files in a bundle by name, or raise if it is damaged or something else."""
    try:
        with tarfile.open(bundle) as tar:
            files = {
                entry.name.removeprefix("lensmill-bundle/"): tar.extractfile(entry).read()
                for entry in tar.getmembers()
                if entry.isfile()
            }
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(f"{bundle} cannot be read ({error}); get it anew") from error
    if MANIFEST not in files:
        raise ValueError(f"{bundle} holds no {MANIFEST}: it was not made by make archive")
    return files


def _data(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name, facts in then.items():
        if name not in now:
            yield f"{name}: missing"
        elif "error" not in now[name] and now[name]["content_digest"] != facts["content_digest"]:
            why = [
                f"{key} {facts.get(key)} -> {now[name].get(key)}"
                for key in ("seed", "settings", "code")
                if facts.get(key) != now[name].get(key)
            ]
            yield f"{name}: other numbers ({'; '.join(why) or 'same seed, settings and code'})"


def _find_losses(files: Mapping[str, bytes], results: Path) -> Iterator[tuple[str, str]]:
    """Yield the results in a bundle that are missing or damaged here, and which of the two."""
    for name in files:
        if not name.startswith("results/"):
            continue
        path = results / name.removeprefix("results/")
        if not path.exists():
            yield name, "missing"
            continue
        try:
            intact.verify([path])
        except ValueError as error:
            yield name, str(error)


def _scores(files: Mapping[str, bytes], results: Path) -> Iterator[str]:
    for name, content in files.items():
        if not name.endswith("/scores.json"):
            continue
        now = json.loads((results / name.removeprefix("results/")).read_text())
        experiment = name.split("/")[1]
        known = experiment in experiments.NAMES
        absolute = experiments.look_up(experiment, "TOLERANCES") if known else {}
        yield from _compare(json.loads(content), now, name, absolute)


def _compare(
    then: Mapping[str, Any], now: Mapping[str, Any], name: str, absolute: Mapping[str, float]
) -> Iterator[str]:
    few = 1.5 / max(then.get("systems", 1), 1)
    whole = {key: then.get(key) for key in absolute} if absolute else then
    groups = {"": whole, **{f"{name}: ": t for name, t in then.get("targets", {}).items() if t}}
    for label, numbers in groups.items():
        others = now if not label else now.get("targets", {}).get(label[:-2]) or {}
        for key, value in numbers.items():
            if key in NO_SCORE or not isinstance(value, int | float):
                continue
            other = others.get(key)
            if not isinstance(other, int | float):
                yield f"{name}: {label}{key} was {value:.4g} and is missing"
                continue
            if key in absolute:
                allowed = max(absolute[key], then.get(f"{key}_error") or 0.0)
            elif key.startswith(("coverage", "calibration")):
                allowed = max(COVERAGE, few)
            elif key == "bias":
                allowed = RELATIVE * abs(numbers.get("robust_scatter", value))
            else:
                allowed = RELATIVE * abs(value)
            if not abs(other - value) <= allowed and not (math.isnan(other) and math.isnan(value)):
                yield f"{name}: {label}{key} was {value:.4g}, is {other:.4g} (+- {allowed:.2g})"


def _reasons(
    then: Mapping[str, Any], now: Mapping[str, Any], files: Mapping[str, bytes], root: Path
) -> Iterator[str]:
    if then["commit"] != now["commit"]:
        yield f"[commit {then['commit']} -> {now['commit']}]"
    if then["python"] != now["python"] or then["processor"] != now["processor"]:
        machines = (f"Python {run['python']} on {run['processor']}" for run in (then, now))
        yield f"[{' -> '.join(machines)}]"
    if then["lock"] != now["lock"]:
        yield f"[requirements.txt: {_compare_locks(files['checkout/requirements.txt'], root)}]"
    for name, content in files.items():
        short = name.removeprefix("checkout/")
        is_setting = name.endswith(("config.yaml", "defaults.yaml")) or "/priors/" in name
        if name == short or not is_setting:
            continue
        if not (root / short).exists() or (root / short).read_bytes() != content:
            yield f"[{short} has other settings]"


def _compare_locks(lock: bytes, root: Path) -> str:
    """Name the packages whose locked versions differ."""
    then, now = (
        dict(re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==([^\s;\\]+)", text, re.MULTILINE))
        for text in (lock.decode(), (root / "requirements.txt").read_text())
    )
    names = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    return ", ".join(f"{name} {then.get(name)} -> {now.get(name)}" for name in names)


def main() -> int:
    """Do what the command line says."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("make", "verify"):
        sys.stderr.write(__doc__)
        return 2
    bundle = Path(sys.argv[2])
    try:
        if sys.argv[1] == "make":
            contents = make(bundle)
            size = bundle.stat().st_size / 1e6
            sys.stdout.write(f"{bundle}: {len(contents['data'])} data sets, {size:.1f} MB\n")
            for name, why in contents["unexplained"].items():
                sys.stdout.write(f"not explained: {name}: {why}\n")
            return 0
        lines = list(verify(bundle))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("\n".join(lines or [f"reproduced: everything in {bundle}"]) + "\n")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
