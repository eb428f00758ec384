"""Renew the pictures of the documentation from the figures of the last run.

python docs/gallery.py [EXPERIMENT/FIGURE ...]

Those that are in docs/images/ are made again, and those that are named are made too.
"""

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs/images"
WIDTH = 1000  # pixels; a page shows no more
COLOURS = 256  # of a palette: enough for line drawings, and the files are half as large


def shrink(source: Path, target: Path) -> None:
    """Write a smaller copy of a figure."""
    image = Image.open(source).convert("RGB")
    scale = min(1.0, WIDTH / image.width)
    image = image.resize((int(image.width * scale), int(image.height * scale)), Image.LANCZOS)
    small = image.quantize(COLOURS, dither=Image.Dither.NONE)
    target.parent.mkdir(parents=True, exist_ok=True)
    small.save(target, optimize=True)


if __name__ == "__main__":
    for source in sorted((ROOT / "results").glob("*/figures/*.png")):
        target = IMAGES / source.parts[-3] / source.name
        if target.exists() or f"{source.parts[-3]}/{source.stem}" in sys.argv[1:]:
            shrink(source, target)
