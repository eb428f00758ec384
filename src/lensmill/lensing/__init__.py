"""The physics of lensing: pure functions of arrays on top of numba kernels.

numba caches a compiled function by the file it stands in, not by the files it calls into; an edit
of one kernel would leave stale callers behind. The cache therefore lies in a folder named after
the content of this package (inside NUMBA_CACHE_DIR where that is set).
"""

from hashlib import sha256
from pathlib import Path

from numba import config

_folder = Path(__file__).parent
_digest = sha256(b"".join(file.read_bytes() for file in sorted(_folder.glob("*.py"))))
config.CACHE_DIR = str(
    Path(config.CACHE_DIR or _folder / "__pycache__") / f"lensmill-{_digest.hexdigest()[:12]}"
)
