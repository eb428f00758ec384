#!/usr/bin/env bash
# matplotlib 3.10.8: where the style asks for the constrained layout, `layout="none"` holds for the first `savefig` only.
#
# Expected: a figure made with `layout="none"` has no layout engine, so its axes stay where `subplots_adjust` has put them,
# in every file it is saved to.
# Seen: saving sets the engine to "none" for a while and then back to what it was, None; but set to None, the engine
# is taken from rcParams. From the second file on the constrained layout moves the axes: the PNG is another
# figure than the PDF. With corner 2.3.0, whose plots are made by `subplots_adjust`, the gaps between the panels differ.
# `layout=PlaceHolderLayoutEngine(True, True)` keeps the axes where they are.
#
# Output seen:
#   matplotlib layout=none: left edge 0.300 at first, 0.300 after the first file, moved after the second
#   corner layout=none: left edge 0.300 at first, 0.300 after the first file, moved after the second
#   placeholder: left edge 0.300 at first, 0.300 after the first file, 0.300 after the second
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check matplotlib==3.10.8 corner==2.3.0 numpy==2.1.3 scipy==1.16.3
cd "$folder"

"$folder/venv/bin/python" -W ignore - >seen <<'END'
import corner
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.layout_engine import PlaceHolderLayoutEngine

plt.rcParams["figure.constrained_layout.use"] = True
draws = np.random.default_rng(0).normal(size=(1000, 2))


def edges(name, layout, fill):
    figure = plt.figure(layout=layout)
    fill(figure)
    figure.subplots_adjust(left=0.3)
    seen = [figure.axes[0].get_position().x0]
    for kind in ("pdf", "png"):
        figure.savefig(f"figure.{kind}")
        seen.append(figure.axes[0].get_position().x0)
    first, then, last = (f"{x:.3f}" if abs(x - 0.3) < 5e-4 else "moved" for x in seen)
    print(f"{name}: left edge {first} at first, {then} after the first file, {last} after the second")


edges("matplotlib layout=none", "none", lambda figure: figure.subplots(2, 2))
edges("corner layout=none", "none", lambda figure: corner.corner(draws, fig=figure))
edges("placeholder", PlaceHolderLayoutEngine(True, True), lambda figure: corner.corner(draws, fig=figure))
END
cat seen
diff seen - <<'END'
matplotlib layout=none: left edge 0.300 at first, 0.300 after the first file, moved after the second
corner layout=none: left edge 0.300 at first, 0.300 after the first file, moved after the second
placeholder: left edge 0.300 at first, 0.300 after the first file, 0.300 after the second
END
