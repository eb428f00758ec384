"""How the kernels of this package are compiled.

numba caches a compiled function by the file it stands in, not by the files it calls into; an edit
of one kernel would leave stale callers behind. The cache therefore lies in a folder named after the
content of this package (inside NUMBA_CACHE_DIR where that is set). The folder is set for each
kernel by itself, so that it does not matter which package is imported first.

Kernels are inlined into their callers. One that stayed a call would be there twice, in its own
module and, optimised otherwise, in the caller's: which of the two runs depends on which was loaded
first, and with fast mathematics their last bits differ. A process that compiles would then make
other images than one that loads the compiled code.
"""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from numba import config, njit

_folder = Path(__file__).parent
_digest = sha256(b"".join(file.read_bytes() for file in sorted(_folder.glob("*.py"))))
_cache = Path(os.environ.get("NUMBA_CACHE_DIR") or _folder / "__pycache__")
CACHE = str(_cache / f"imaging-{_digest.hexdigest()[:12]}")


def fast(function: Callable) -> Callable:
    """Compile for speed: sums may be reordered, numbers must be finite."""
    return _compile(function, fastmath=True)


def exact(function: Callable) -> Callable:
    """Compile as written, for integer arithmetic and sums of doubles."""
    return _compile(function, fastmath=False)


def _compile(function: Callable, fastmath: bool) -> Callable:
    before, config.CACHE_DIR = config.CACHE_DIR, CACHE
    try:
        compile_ = njit(cache=True, fastmath=fastmath, error_model="numpy", forceinline=True)
        return compile_(function)
    finally:
        config.CACHE_DIR = before
