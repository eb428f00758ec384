"""What gives a class away without its substructure being seen: brightness, size, moments, mass.

In a population that compensates, none of these may: the substructure has taken its mass from the
smooth lens. Where it is added to the lens, as in the public benchmark, how much gives it away is
measured and said, and nothing is refused.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from lensmill.cutouts import checks as image_checks
from lensmill.experiments.substructure import observer, simulate, sky
from lensmill.experiments.substructure.systems import CLASSES
from lensmill.imaging import quality
from lensmill.pipeline import checks, store
from lensmill.pipeline.streams import uniforms

MAX_AUROC = 0.55  # by brightness, size and moments
MAX_CHANGE = 0.01  # of the mean of a class, relative
PAIRS = 600  # systems rendered with and without their substructure
PIECE = 64  # of them at a time
SEEN = 3.0  # sigma above the sky, from which a pixel counts in a moment


def check(dataset: str, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Check a simulated population; ``settings`` is what fixes it."""
    systems = store.read(dataset, "systems", ["index", "label", "theta_e"])
    compensated = bool(settings["prior"]["compensate"])
    classes = [c for c in range(1, len(CLASSES)) if (systems["label"] == c).any()]
    if not classes or not (systems["label"] == sky.NONE).any():
        return [checks.skipped("leaks", "there is one class only")]
    numbers = moments(store.memmap(dataset, "cutouts", "pixels"))
    found = []
    for c in classes:
        found.append(_separable(numbers, systems["label"], c, compensated))
        found.append(_mean(systems["theta_e"], systems["label"], c))
    return found + _pairs(dataset, settings, systems, classes, compensated)


def moments(pixels: NDArray) -> dict[str, NDArray]:
    """Return brightness, size and moments of images, each of shape (n,).

    Moments are of the light above `SEEN` sigma, about its centroid: radius and ellipticity of
    second order, lopsidedness of third, concentration of fourth.

    Parameters
    ----------
    pixels : array, shape (n, height, width, 1)
    """
    parts = [_moments(np.asarray(pixels[i : i + 512, ..., 0])) for i in range(0, len(pixels), 512)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _moments(images: NDArray) -> dict[str, NDArray]:
    sigma = quality.sky_sigma(images[..., None])[:, 0]
    light = np.where(images > SEEN * sigma[:, None, None], images, 0.0).astype(float)
    total = np.maximum(light.sum(axis=(1, 2)), 1e-30)
    y, x = np.indices(images.shape[1:], dtype=float)

    def mean(values: NDArray) -> NDArray:
        return (light * values).sum(axis=(1, 2)) / total

    cx, cy = mean(x)[:, None, None], mean(y)[:, None, None]
    dx, dy = x - cx, y - cy
    r2 = dx**2 + dy**2
    xx, yy, xy, size = mean(dx**2), mean(dy**2), mean(dx * dy), mean(r2)
    size = np.maximum(size, 1e-30)
    return {
        "flux": images.sum(axis=(1, 2), dtype=float),
        "peak": images.max(axis=(1, 2)).astype(float),
        "area": (light > 0).sum(axis=(1, 2)).astype(float),
        "radius": np.sqrt(size),
        "ellipticity": np.hypot(xx - yy, 2 * xy) / size,
        "lopsidedness": np.hypot(mean(r2 * dx), mean(r2 * dy)) / size**1.5,
        "concentration": mean(r2**2) / size**2,
        "off_centre": np.hypot(cx - x.mean(), cy - y.mean())[:, 0, 0],
    }


def _separable(
    numbers: Mapping[str, NDArray], label: NDArray, c: int, compensated: bool
) -> dict[str, Any]:
    """Check that trivial classifiers do not tell a class from none by brightness and shape."""
    name = CLASSES[c]
    is_lens = (label == c).astype(np.uint8)
    known = ((label == c) | (label == sky.NONE)).astype(np.uint8)
    systems = {"is_lens": is_lens, "label_known": known}
    title, source = f"{name} by moments", "brightness, size and moments"
    found = image_checks.separable(title, source, numbers, systems, MAX_AUROC)
    found["sentence"] = found["sentence"].replace("tell lenses", f"tell {name} from none")
    return found if compensated else _measured(found)


def _mean(theta_e: NDArray, label: NDArray, c: int) -> dict[str, Any]:
    """Check that the smooth Einstein radii of a class are those of none, but for chance."""
    one, none = theta_e[label == c], theta_e[label == sky.NONE]
    change = one.mean() / none.mean() - 1
    error = np.sqrt(one.var() / len(one) + none.var() / len(none)) / none.mean()
    p = float(2 * ndtr(-max(abs(change) - MAX_CHANGE, 0.0) / error)) if error > 0 else 1.0
    sentence = (
        f"the mean theta_E of {CLASSES[c]} is {change:+.2%} of that of none away from it "
        f"(limit {MAX_CHANGE:.0%} beyond chance, 1 sigma = {error:.2%})"
    )
    name = f"theta_e of {CLASSES[c]}"
    return checks.outcome(name, p >= checks.FAIL, float(change), MAX_CHANGE, sentence)


def _pairs(
    dataset: str,
    settings: Mapping[str, Any],
    systems: Mapping[str, NDArray],
    classes: list[int],
    compensated: bool,
) -> list[dict[str, Any]]:
    """Check flux and size of the same systems with and without their substructure."""
    facts, observation = store.attributes(dataset), settings["observation"]
    stream = int(facts["seed"]), str(facts["experiment"]), str(facts["population"])
    family = simulate.FAMILIES[settings["family"]]
    prior = {**settings["prior"], **family}
    found = []
    for c in classes:
        rows = systems["index"][systems["label"] == c][:PAIRS]
        sums = []
        for i in range(0, len(rows), PIECE):
            numbers = [uniforms(*stream, int(k), 1, sky.WIDTH) for k in rows[i : i + PIECE]]
            drawn = sky.draw(np.concatenate(numbers), family, prior)
            scale = observation["pixel_scale"]
            with_, without = (
                observer.render(drawn, prior, observation, substructure)[0][..., 0]
                for substructure in (True, False)
            )
            sums.append(np.stack([_extent(image, drawn, scale) for image in (with_, without)]))
        both = np.concatenate(sums, axis=2)  # (with or without, flux or size, systems)
        for k, name in enumerate(("flux", "size")):
            change = both[0, k].mean() / both[1, k].mean() - 1
            error = (both[0, k] - both[1, k]).std() / np.sqrt(len(rows)) / both[1, k].mean()
            beyond = max(abs(change) - MAX_CHANGE, 0.0)
            p = float(2 * ndtr(-beyond / error)) if error > 0 else float(beyond == 0)
            sentence = (
                f"{CLASSES[c]} change the mean {name} of their images by {change:+.2%} (limit "
                f"{MAX_CHANGE:.0%} beyond chance, 1 sigma = {error:.2%}, {len(rows)} systems with "
                "and without)"
            )
            title = f"{name} of {CLASSES[c]}"
            one = checks.outcome(
                title, p >= checks.FAIL, float(change), MAX_CHANGE, sentence, p < checks.FLAG
            )
            found.append(one if compensated else _measured(one))
    return found


def _extent(image: NDArray, drawn: sky.Sky, scale: float) -> NDArray:
    """Return flux and mean distance of the light from the lens [arcsec], shape (2, n)."""
    side = (np.arange(image.shape[1]) - (image.shape[1] - 1) / 2) * scale
    x = side[None, None, :] - drawn.centre[0][:, None, None]
    y = side[None, :, None] - drawn.centre[1][:, None, None]
    flux = image.sum(axis=(1, 2), dtype=float)
    return np.stack([flux, (image * np.hypot(x, y)).sum(axis=(1, 2)) / flux])


def _measured(found: dict[str, Any]) -> dict[str, Any]:
    """Return a check that refuses nothing, as the mass differs by class where it is only added."""
    if found["passed"] is None:
        return found
    why = "; measured, not refused: here substructure is added to the lens"
    return {
        **found,
        "passed": True,
        "flagged": not found["passed"],
        "sentence": found["sentence"] + why,
    }
