"""All methods against a random forest, on the same galaxies.

Sigma NMAD of each method over that of the first, on the test galaxies of one population; bars are
bootstrap errors of the ratio, with the same galaxies drawn for both, and the numbers say how many
such errors the difference is. The dashed line is 10 per cent better. The circle marks the method
with the smallest NMAD on the validation part: the choice that one makes without looking at the
test galaxies. All were trained once, from one seed: what another seed would change is not in the
bars.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.experiments.photo_z import judging
from lensmill.pipeline import store

TIMES = 300


def plot(predictions: list[str]) -> Figure:
    """Draw ``predictions.h5`` of methods for one population; the first is the one to be beaten."""
    errors, validated = [], []
    for path in predictions:
        table = store.read(path, "systems", ["redshift", "redshift_known", "answer"])
        known = table["redshift_known"] == 1
        errors.append(judging.relative_error(table["answer"][known], table["redshift"][known]))
        validated.append(float(store.attributes(path)["val_nmad"]))
    names = [plotting.network(path) for path in predictions]
    figure, axis = plt.subplots(figsize=(plotting.COLUMN, 0.35 * len(names) + 0.8))
    chosen = int(np.argmin(validated))
    for y, (name, error) in enumerate(zip(names, errors, strict=True)):
        rng = np.random.Generator(np.random.Philox(1))
        found = judging.paired(error, errors[0], TIMES, rng)
        look = {"color": plotting.colour(name), "marker": "o", "ms": 4, "capsize": 2}
        axis.errorbar(found["ratio"], y, xerr=found["error"], **look)
        text = f"{judging.scatter(error):.4f}" + (f" ({found['sigma']:+.1f})" if y else "")
        axis.annotate(
            text,
            (found["ratio"], y),
            (0, 6),
            textcoords="offset points",
            fontsize=6,
            ha="center",
            bbox={"fc": "white", "ec": "none", "pad": 0.3},
        )
        if y == chosen:
            axis.plot(found["ratio"], y, "o", mfc="none", color=plotting.BLACK, ms=9, zorder=5)
    axis.axvline(1, color=plotting.BLACK, lw=0.5)
    axis.axvline(0.9, color=plotting.BLACK, lw=0.7, ls="--")
    axis.set_yticks(range(len(names)), [plotting.label(name) for name in names])
    axis.set(ylim=(len(names) - 0.4, -0.7))
    axis.set_xlabel(rf"$\sigma_\mathrm{{NMAD}}$ over that of the {plotting.label(names[0])}")
    axis.margins(x=0.15)
    return figure
