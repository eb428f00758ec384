"""Shrink the figures that the README shows: of the last run, into docs/images/.

python docs/gallery.py
"""

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
WIDTH = 1000  # pixels; a README shows no more
COLOURS = 256  # of a palette: enough for line drawings, and the files are half as large

SHOWN = (ROOT / "README.md").read_text()

for path in sorted((ROOT / "results").glob("*/figures/*.png")):
    if f"docs/images/{path.name}" not in SHOWN:
        continue
    image = Image.open(path).convert("RGB")
    scale = min(1.0, WIDTH / image.width)
    image = image.resize((int(image.width * scale), int(image.height * scale)), Image.LANCZOS)
    small = image.quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(ROOT / "docs/images" / path.name, optimize=True)
