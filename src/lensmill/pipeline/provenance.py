"""Provenance: which code, settings and machine a result was made with."""

import ast
import functools
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lensmill

PACKAGE = Path(lensmill.__file__).parent


def sources(module: Path) -> set[Path]:
    """Return the file of a module and those it imports from this package, in turn.

    A file that is no module, such as a template, stands for itself.
    """
    files: set[Path] = set()
    to_read = [module]
    while to_read:
        path = to_read.pop()
        if path in files or not path.is_file():
            continue
        files.add(path)
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            for name in _import_paths(node, path):
                to_read += [name.with_suffix(".py"), name / "__init__.py"]
    return files


def _import_paths(node: ast.AST, path: Path) -> list[Path]:
    """Return where an import leads to in this package, without suffixes."""
    if isinstance(node, ast.Import):
        names = [alias.name.split(".") for alias in node.names]
        return [PACKAGE.parent.joinpath(*parts) for parts in names if parts[0] == PACKAGE.name]
    if not isinstance(node, ast.ImportFrom):
        return []
    parts = (node.module or "").split(".") if node.module else []
    if node.level:
        base = path.parents[node.level - 1].joinpath(*parts)
    elif parts and parts[0] == PACKAGE.name:
        base = PACKAGE.parent.joinpath(*parts)
    else:
        return []
    return [base, *(base / alias.name for alias in node.names)]


@functools.cache
def digest(*modules: str) -> str:
    """Return one SHA-256 of the given files of the package and of everything of ours they import.

    Raises
    ------
    ValueError
        If a file does not exist: the digest of nothing would never change.
    """
    for module in modules:
        if not (PACKAGE / module).is_file():
            raise ValueError(f"there is no {module} in {PACKAGE.name}, of which a digest is asked")
    files = sorted(set().union(*(sources(PACKAGE / module) for module in modules)))
    whole = hashlib.sha256()
    for file in files:
        if file != PACKAGE / "__init__.py":  # a new version number is not new science
            whole.update(file.relative_to(PACKAGE).as_posix().encode() + file.read_bytes())
    return whole.hexdigest()


def source(path: Path) -> dict[str, str]:
    """Return what a data set says of its table or folder: the name, and the SHA-256 of a table."""
    if path.is_dir():
        return {"source": path.name}
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    return {"source": path.name, "source_digest": content}


def git_commit() -> str:
    """Return the commit of the checkout, with ``-dirty`` if it was edited, or ``""``."""
    git = ["git", "-C", str(PACKAGE), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        answer = subprocess.run(git, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()


def attributes(settings: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
    """Return the attributes every data file carries: version, code, settings, machine.

    ``settings`` is stored as JSON with sorted keys, so that equal settings are equal text.
    """
    return {
        "lensmill_version": lensmill.__version__,
        "git_commit": git_commit(),
        "settings": json.dumps(settings, sort_keys=True),
        "cpu": platform.processor() or platform.machine(),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        **facts,
    }
