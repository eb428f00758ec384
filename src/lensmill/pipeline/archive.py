"""One file with what another needs to reproduce a run, and the comparison of a run with it.

    python -m lensmill.pipeline.archive make BUNDLE      # make archive
    python -m lensmill.pipeline.archive verify BUNDLE    # make verify BUNDLE=...

The bundle holds the configuration, the locked packages, the commit (and the patch, if the checkout
was edited), the digests of all data, the networks, the scores and the figures. Data themselves are
left out: the digests say whether a new run has made the same.
"""

import hashlib
import io
import json
import math
import platform
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lensmill.pipeline import provenance, store

ROOT = provenance.PACKAGE.parents[1]
MANIFEST = "manifest.json"

# Copied whole, from the checkout and from the results.
SOURCES = ("config.yaml", "configs/*.yaml", "requirements.txt", "envs/*.yaml")
SOURCES += ("profiles/*/config.yaml", "src/lensmill/experiments/*/defaults.yaml")
SOURCES += ("data/*.ecsv", "data/*.md")
RESULTS = ("*/scores/*.csv", "*/scores/*/*/scores.json", "*/data/*/checks.json", "*/figures/*")
RESULTS += ("*/networks/*/training.json", "*/networks/*/history.csv", "*/networks/*/model.keras")
RESULTS += ("*/hubble/*/*.json", "*/hubble/*/*.ecsv", "*/scores/*/*/rotation.json")
RESULTS += ("*/searches/*/trials.csv", "*/searches/*/best.yaml")
DATA = ("*/data/*/dataset.h5", "*/data/*/split.h5")  # compared by digest

# How far the score of a network may lie from the archived one. Data are equal or they are not;
# training on another processor rounds differently, and so ends elsewhere in the same valley.
RELATIVE = 0.10  # of errors (mse, mae, scatter) and of the scatter, for a bias
COVERAGE = 0.02  # absolute, of a coverage and its error; for few systems 1.5 of them
NO_SCORE = ("network", "population", "images", "systems", "seconds")
# Of a lens finder, what does not hang on the few false alarms that a threshold lets through: one
# network, trained with its sums in another order, found 0.28 instead of 0.44 of the lenses at ten
# false alarms, and its AUROC was 0.008 lower.
FINDER = ("auroc", "calibration_error", "ideal_auroc", "ideal_completeness")
AUROC = 0.02  # absolute, of these; where there are few systems, the error of the AUROC


def _found(folder: Path, patterns: tuple[str, ...]) -> list[str]:
    paths = (path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    return sorted({path.relative_to(folder).as_posix() for path in paths})


def manifest(root: Path, results: Path) -> dict[str, Any]:
    """Describe a run: commit, machine, packages, and the digest of every data set."""
    data = {}
    for name in _found(results, DATA):
        facts = store.attributes(results / name)
        data[name] = {
            key: facts[key].item() if hasattr(facts[key], "item") else facts[key]
            for key in ("content_digest", "seed", "settings", "code", "git_commit")
            if key in facts
        }
    return {
        "commit": provenance.git_commit(),
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "lock": hashlib.sha256((root / "requirements.txt").read_bytes()).hexdigest(),
        "data": data,
    }


def make(bundle: Path, root: Path = ROOT, results: Path = Path("results")) -> dict[str, Any]:
    """Write the bundle; equal runs give equal bytes.

    Raises
    ------
    FileNotFoundError
        If there are no results.
    """
    about = manifest(root, results)
    files = {f"checkout/{name}": root / name for name in _found(root, SOURCES)}
    files |= {f"results/{name}": results / name for name in _found(results, RESULTS)}
    if not about["data"]:
        raise FileNotFoundError(f"no data sets below {results.resolve()}: run the workflow first")
    part = bundle.with_name(bundle.name + ".part")
    with tarfile.open(part, "w:gz") as tar:
        _add(tar, MANIFEST, json.dumps(about, indent=1, sort_keys=True).encode())
        if about["commit"].endswith("-dirty"):
            _add(tar, "checkout/uncommitted.patch", _patch(root))
        for name, path in files.items():
            _add(tar, name, path.read_bytes())
    part.replace(bundle)
    return about


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
    with tarfile.open(bundle) as tar:
        files = {
            entry.name.split("/", 1)[1]: tar.extractfile(entry).read() for entry in tar.getmembers()
        }
    then, now = json.loads(files[MANIFEST]), manifest(root, results)
    differences = [*_data(then["data"], now["data"]), *_scores(files, results)]
    differences += [
        f"{name}: missing"
        for name in files
        if name.startswith("results/") and "/figures/" in name
        if not (results / name.removeprefix("results/")).exists()
    ]
    yield from differences
    if differences:
        yield from _reasons(then, now, files, root)


def _data(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name, facts in then.items():
        if name not in now:
            yield f"{name}: missing"
        elif now[name]["content_digest"] != facts["content_digest"]:
            why = [
                f"{key} {facts.get(key)} -> {now[name].get(key)}"
                for key in ("seed", "settings", "code")
                if facts.get(key) != now[name].get(key)
            ]
            yield f"{name}: other numbers ({'; '.join(why) or 'same seed, settings and code'})"


def _scores(files: Mapping[str, bytes], results: Path) -> Iterator[str]:
    for name, content in files.items():
        if not name.endswith("/scores.json"):
            continue
        path = results / name.removeprefix("results/")
        if not path.exists():
            yield f"{name}: missing"
            continue
        yield from _compare(json.loads(content), json.loads(path.read_text()), name)


def _compare(then: Mapping[str, Any], now: Mapping[str, Any], name: str) -> Iterator[str]:
    few = 1.5 / max(then.get("systems", 1), 1)
    whole = {key: then.get(key) for key in FINDER} if "auroc" in then else then
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
            if key in FINDER:
                allowed = max(AUROC, then.get("auroc_error") or 0.0)
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
        yield f"[requirements.txt: {_changed(files['checkout/requirements.txt'], root)}]"
    for name, content in files.items():
        short = name.removeprefix("checkout/")
        if name == short or not name.endswith(("config.yaml", "defaults.yaml")):
            continue
        if not (root / short).exists() or (root / short).read_bytes() != content:
            yield f"[{short} has other settings]"


def _changed(lock: bytes, root: Path) -> str:
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
            about = make(bundle)
            size = bundle.stat().st_size / 1e6
            sys.stdout.write(f"{bundle}: {len(about['data'])} data sets, {size:.1f} MB\n")
            return 0
        lines = list(verify(bundle))
    except (OSError, tarfile.TarError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("\n".join(lines or [f"reproduced: everything in {bundle}"]) + "\n")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
