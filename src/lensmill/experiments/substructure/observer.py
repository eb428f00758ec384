"""The ideal observer: how significant substructure is once the smooth lens and source are fitted.

An observer who knows everything but the smooth lens and its source, and whether there is
substructure: the largest difference, in units of the noise, that no smooth lens takes up.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.substructure import sky
from lensmill.imaging import camera, noise, perturbed, scenes
from lensmill.imaging.perturbed import COMPONENT, LENS

STEPS = 3  # of the fit, each linear
RIDGE = 1e-5  # of the largest eigenvalue: combinations of parameters that change nothing
# Of a change of length 1: numbers whose squares take a hundred times as long.
FAINT = np.float32(1e-12)
# Largest step of a parameter: beyond it, the model is not linear
LARGEST_LENS = np.array([0.1, 0.1, 0.2, 0.15, 0.05, 0.05, 0.05, 0.05])
LARGEST_LIGHT = np.array([0.05, 0.05, 0.3, 0.2, 0.2, 0.3, 0.4])


class Seen(NamedTuple):
    """Noise-free images of n systems, and what an ideal observer would see."""

    model: NDArray  # shape (n, size, size, 1) [electron / s]
    sigma: NDArray  # noise of every pixel, likewise
    raw_chi: NDArray  # shape (n,), before the fit
    sub_chi: NDArray  # after it


def look(drawn: sky.Sky, prior: Mapping[str, Any], observation: Mapping[str, Any]) -> Seen:
    """Render systems, and measure the significance of their substructure.

    The fit minimises the squares of the difference, in units of the noise, between the image with
    substructure and that of a smooth lens, in `STEPS` linear steps from the truth; all of
    `lensmill.imaging.perturbed.LENS`, and `COMPONENT` of each component of the source, are free.
    """
    model, sigma = render(drawn, prior, observation)
    raw, after = np.zeros(len(model)), np.zeros(len(model))
    rows = np.flatnonzero(drawn.label != sky.NONE)
    if rows.size:
        scene = scenes.select(_scenes(drawn, observation), rows)
        target, weight = model[rows, ..., 0], 1 / sigma[rows, ..., 0]
        raw[rows], after[rows] = _fit(scene, target, weight, observation)
    return Seen(model, sigma, raw, after)


def render(
    drawn: sky.Sky,
    prior: Mapping[str, Any],
    observation: Mapping[str, Any],
    substructure: bool = True,
) -> tuple[NDArray, NDArray]:
    """Return images without noise and the noise of every pixel, shape (n, size, size, 1).

    Without ``substructure``, of the smooth lenses as they would be if they had none.
    """
    size, scale = observation["size"], observation["pixel_scale"]
    extra = sky.deflection(drawn, prior, size, scale) if substructure else None
    (psf,) = camera.psfs(observation)
    image = perturbed.render(_scenes(drawn, observation), extra, size, scale, psf)
    model = image.pixels[..., None]
    return model, noise.sigma(model, **camera.exposure(observation))


def _scenes(drawn: sky.Sky, observation: Mapping[str, Any]) -> scenes.Scenes:
    return camera.assemble(drawn.mass, drawn.centre, drawn.light, observation["bands"])


def _fit(
    scene: scenes.Scenes, target: NDArray, weight: NDArray, observation: Mapping[str, Any]
) -> tuple[NDArray, NDArray]:
    """Return the significance of the difference from a smooth lens before and after a fit."""
    size, scale = observation["size"], observation["pixel_scale"]
    (psf,) = camera.psfs(observation)
    n = len(target)
    raw, least = np.zeros(n), np.full(n, np.inf)
    for step in range(STEPS):
        image = perturbed.render(scene, None, size, scale, psf, changes=True)
        off = ((target - image.pixels) * weight).reshape(n, -1)
        off[np.abs(off) < FAINT] = 0.0
        chi2 = np.einsum("ij,ij->i", off, off, dtype=float)
        if step == 0:
            raw = np.sqrt(chi2)
        least = np.minimum(least, chi2)
        moves = np.zeros((n, image.changes.shape[1]))
        left = np.empty(n)
        for i in range(n):
            # as many as the system has: no number of it may hang on those it is drawn with
            own = len(LENS) + len(COMPONENT) * (scene.first[i + 1] - scene.first[i])
            changes = (image.changes[i, :own] * weight[i]).reshape(own, -1)
            moves[i, :own], left[i] = _solve(changes, off[i])
        scene = _move(scene, moves)
    return raw, np.sqrt(np.minimum(least, left))


def _solve(changes: NDArray, off: NDArray) -> tuple[NDArray, float]:
    """Return the linear step of the parameters of a system, and the chi^2 that it leaves.

    ``changes``, shape (parameters, pixels), and ``off``, shape (pixels,), in units of the noise.
    """
    length = np.sqrt(np.einsum("ij,ij->i", changes, changes, dtype=float))
    unit = changes / np.where(length > 0, length, 1.0)[:, None].astype(np.float32)
    unit[np.abs(unit) < FAINT] = 0.0
    values, vectors = np.linalg.eigh((unit @ unit.T).astype(float))
    kept = values > RIDGE * values[-1]
    amplitude = vectors.T @ (unit @ off).astype(float)
    along = np.divide(amplitude, values, out=np.zeros_like(values), where=kept)
    chi2 = np.einsum("i,i->", off, off, dtype=float)
    return vectors @ along / np.where(length > 0, length, np.inf), max(
        chi2 - amplitude @ along, 0.0
    )


def _move(scene: scenes.Scenes, moves: NDArray) -> scenes.Scenes:
    """Return scenes with their parameters changed, no parameter by more than is linear."""
    lens_moves, rest = moves[:, : len(LENS)], moves[:, len(LENS) :]
    counts = np.diff(scene.first)
    owner = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(owner)) - scene.first[owner]
    light_moves = rest.reshape(len(moves), -1, len(COMPONENT))[owner, number]
    # one factor for all parameters of a system: the direction stays
    over = np.abs(lens_moves / LARGEST_LENS).max(axis=1)
    np.maximum.at(over, owner, np.abs(light_moves / LARGEST_LIGHT).max(axis=1))
    part = 1 / np.maximum(over, 1.0)
    lens = {name: part * move for name, move in zip(LENS, lens_moves.T, strict=True)}
    light = dict(zip(COMPONENT, (light_moves * part[owner, None]).T, strict=True))
    old, shape = scene.lenses, scene.light
    lenses = old._replace(
        **{name: getattr(old, name) + move for name, move in lens.items() if name != "q"},
        q=np.clip(old.q + lens["q"], 0.1, 1.0),
    )
    lenses = lenses._replace(slope=np.clip(lenses.slope, 1.3, 2.7))
    changed = shape._replace(
        x=shape.x + light["x"],
        y=shape.y + light["y"],
        radius=shape.radius * np.exp(light["radius"]),
        q=np.clip(shape.q * np.exp(light["q"]), 0.1, 1.0),
        phi=shape.phi + light["phi"],
        index=np.clip(shape.index + light["index"], 0.3, 8.0),
        flux=shape.flux * np.maximum(1 + light["flux"], 0.1)[:, None],
    )
    return scene._replace(lenses=lenses, light=changed)
