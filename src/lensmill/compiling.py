"""How the kernels of a package are compiled, and where the result is kept.

numba caches a compiled function by the file it stands in, not by the files it calls into; an edit
of one kernel would leave stale callers behind. The cache of a package therefore lies in a folder
named after the content of the package (inside NUMBA_CACHE_DIR where that is set). The folder is set
for each kernel by itself, so that it does not matter which package is imported first, and so that
other packages (lenstronomy's) keep theirs.
"""

import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import config, njit


def compiler(
    file: str, contains: Sequence[str] = (), **options: Any
) -> Callable[[Callable], Callable]:
    """Return a decorator for the kernels of the package that ``file`` stands in.

    Parameters
    ----------
    file : str
        ``__file__`` of a module of the package.
    contains : sequence of str
        The same of other packages, whose kernels those of this one call.
    options
        Of `numba.njit`.
    """
    folder = Path(file).parent
    folders = [folder, *(Path(other).parent for other in contains)]
    modules = [module for each in folders for module in sorted(each.glob("*.py"))]
    digest = sha256(b"".join(module.read_bytes() for module in modules))
    cache = Path(os.environ.get("NUMBA_CACHE_DIR") or folder / "__pycache__")
    cache = cache / f"{folder.name}-{digest.hexdigest()[:12]}"

    def compiled(function: Callable) -> Callable:
        before, config.CACHE_DIR = config.CACHE_DIR, str(cache)
        try:
            return njit(cache=True, error_model="numpy", **options)(function)
        finally:
            config.CACHE_DIR = before

    return compiled
