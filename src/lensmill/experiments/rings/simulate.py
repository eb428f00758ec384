"""Draw images of rings: cones of Cherenkov light on a plane of sensors, or those of a3net."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.rings import light
from lensmill.experiments.rings.settings import FAMILIES
from lensmill.imaging import noise, streams
from lensmill.pipeline.priors import inverse_cdf
from lensmill.pipeline.store import Tables

BATCH = 512  # systems drawn at a time; an image is hundreds of numbers
MOST = 6  # rings in an image, for which uniform numbers are reserved

# Which uniform number of a system becomes what; the order never changes.
SLOTS = (
    *("rings", "photons", "noise_high", "noise_low", "gain_high", "gain_low", "spare0", "spare1"),
    *(f"{name}{i}" for i in range(MOST) for name in light.PARAMETERS),
)
WIDTH = len(SLOTS)

SHAPE = {  # of a ring as it is seen
    "x": "pix",
    "y": "pix",
    "radius": "pix",
    "thickness": "pix",
    "deformation": "pix",
    "semi_major": "pix",
    "semi_minor": "pix",
    "angle": "rad",
}
UNITS = {
    "systems": {
        "index": "",
        "n_rings": "",
        "first_ring": "",
        "rings_known": "",
        "expected_charge": "",
        "charge": "",
        **SHAPE,
    },
    "rings": {
        "system": "",
        **SHAPE,
        "tilt": "rad",
        "direction": "rad",
        "beta": "",
        "distance": "pix",
        "photons": "",
    },
    "cutouts": {"system": "", "pixels": ""},
}
ROWS_OF = {"systems/first_ring": "rings"}


def draw(first: int, uniforms: NDArray, settings: Mapping[str, Any]) -> Tables:
    """Turn uniform numbers into rings, and rings into images.

    Parameters
    ----------
    first : int
        Index of the first system.
    uniforms : array, shape (n, WIDTH)
        In (0, 1); column k becomes ``SLOTS[k]``.
    settings : mapping
        ``family`` (a key of ``FAMILIES``), ``prior`` and ``observation`` (see ``defaults.yaml``).

    Returns
    -------
    dict of dict of array
        Tables ``systems`` and ``cutouts``, n rows each in the same order, and ``rings``, whose
        rows of a system begin at ``first_ring``; units in ``UNITS``. The columns of a ring in
        ``systems`` are those of its first, 0 where there is none.
    """
    owner, rings = draw_rings(uniforms, settings)
    image, rings["photons"] = illuminate(owner, rings, photons(uniforms, settings), settings)
    pixels = observe(image, uniforms, settings["observation"])
    n_rings = np.bincount(owner, minlength=len(uniforms))
    first_ring = np.cumsum(n_rings) - n_rings
    index = first + np.arange(len(uniforms))
    has = np.flatnonzero(n_rings)
    seen = {name: np.zeros(len(uniforms)) for name in SHAPE}
    for name, column in seen.items():
        column[has] = rings[name][first_ring[has]]
    return {
        "systems": {
            "index": index,
            "n_rings": n_rings,
            "first_ring": first_ring,
            "rings_known": np.ones(len(uniforms), np.uint8),
            "expected_charge": image.sum(axis=(1, 2)),
            "charge": pixels.sum(axis=(1, 2, 3), dtype=float),
            **seen,
        },
        "rings": {"system": index[owner], **{k: rings[k] for k in UNITS["rings"] if k in rings}},
        "cutouts": {"system": index, "pixels": pixels},
    }


def draw_rings(
    uniforms: NDArray, settings: Mapping[str, Any]
) -> tuple[NDArray, dict[str, NDArray]]:
    """Return the rings of all systems one behind the other, with the row that each belongs to.

    Returns
    -------
    owner : array of int, shape (rings,)
    rings : dict of array, shape (rings,)
        ``light.PARAMETERS``, ``SHAPE`` and ``distance``.
    """
    family, size = settings["family"], settings["observation"]["size"]
    prior = {**settings["prior"], **FAMILIES[family]}
    least, most = prior["rings"]
    count = least + (_column(uniforms, "rings") * (most - least + 1)).astype(int)
    owner = np.repeat(np.arange(len(uniforms)), count)
    which = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    start = len(SLOTS) - MOST * len(light.PARAMETERS)
    numbers = uniforms[:, start:].reshape(-1, MOST, len(light.PARAMETERS))[owner, which]
    rings = {
        name: inverse_cdf(prior[name], numbers[:, k]) for k, name in enumerate(light.PARAMETERS)
    }
    if family == "a3net":
        u = numbers[:, light.PARAMETERS.index("radius")]
        return owner, rings | _whole(rings["x"], rings["y"], u, prior, size)
    found = light.cone(rings)
    return owner, rings | {
        "semi_major": found.semi_major,
        "semi_minor": found.semi_minor,
        "angle": rings["direction"] % np.pi,
        "distance": found.distance,
    }


def _whole(
    x: NDArray, y: NDArray, u: NDArray, prior: Mapping[str, Any], size: int
) -> dict[str, NDArray]:
    """Return centres and radii in whole numbers, the radius bound by the edge of the image.

    All radii that leave ``margin`` to the nearest edge are alike likely, so that small ones
    abound and rings in the middle are large: a flaw of the benchmark that is kept.
    """
    x, y = np.floor(x), np.floor(y)
    least, most = (int(end) for end in inverse_cdf(prior["radius"], [0.0, 1.0]))
    margin = float(inverse_cdf(prior["margin"], 0.5))
    edge = np.minimum(np.minimum(x, size - x), np.minimum(y, size - y))
    most = np.clip(edge - margin, least, most)
    radius = np.minimum(least + np.floor(u * (most - least + 1)), most)
    nothing = np.zeros(len(x))
    return {
        **{"x": x, "y": y, "radius": radius, "semi_major": radius, "semi_minor": radius},
        **{"angle": nothing, "distance": nothing},
    }


def photons(uniforms: NDArray, settings: Mapping[str, Any]) -> NDArray:
    """Return the light that each system's prior gives it; for a3net, points per layer of a ring."""
    return inverse_cdf(settings["prior"]["photons"], _column(uniforms, "photons"))


def illuminate(
    owner: NDArray, rings: Mapping[str, NDArray], photons: NDArray, settings: Mapping[str, Any]
) -> tuple[NDArray, NDArray]:
    """Return images without noise or dark counts [photoelectron].

    Parameters
    ----------
    owner, rings
        As `draw_rings` returns them.
    photons : array, shape (n,)
        Of each system: those of every ring (``cone``, on average over its rings; they may miss
        the sensors), or those that all rings together lay on the sensors (``cone_matched``).
    settings : mapping
        As for `draw`.

    Returns
    -------
    image : array, shape (n, size, size)
    of_ring : array, shape (rings,)
        Photons (points) of each ring, those that miss the sensors included.
    """
    family, observation = settings["family"], settings["observation"]
    size, band = observation["size"], next(iter(observation["bands"].values()))
    n = len(photons)
    shares = light.expected(rings, family, size)
    if family == "a3net":
        of_ring = photons[owner]
    else:
        # Frank & Tamm (1937): light per length goes as sin^2 of the opening angle
        opening = light.opening_angle(rings["beta"])
        weight = rings["thickness"] / np.tan(opening) * np.sin(opening) ** 2
        of_all = np.bincount(owner, weight, minlength=n)[owner]
        of_ring = photons[owner] * weight / of_all
        if family == "cone":
            of_ring = of_ring * np.bincount(owner, minlength=n)[owner]
        else:
            # ASSUME: particles are so bright that the sensors get the drawn light from all rings
            # together; in nature two rings mean twice the light, and counting photons suffices.
            caught = np.bincount(owner, of_ring * shares.sum(axis=(1, 2)), minlength=n)
            of_ring = of_ring * (photons / np.where(caught > 0, caught, 1.0))[owner]
    image = np.zeros((n, size, size))
    np.add.at(image, owner, shares * of_ring[:, None, None])
    if family == "cone_matched":  # as much light where there is no ring, but everywhere alike
        none = np.bincount(owner, minlength=n) == 0
        image[none] = photons[none, None, None] / size**2
    return image * band["efficiency"], of_ring


def observe(image: NDArray, uniforms: NDArray, observation: Mapping[str, Any]) -> NDArray:
    """Return what the sensors read: charges [photoelectron], or 1 where there was any and else 0.

    Counts are Poisson numbers (Gaussian ones above `noise.FEW`), with dark counts among them; the
    charge of each photoelectron is a Gaussian number of mean 1 and scatter ``resolution``.

    Returns
    -------
    array, shape (n, size, size, 1), float32
    """
    band = next(iter(observation["bands"].values()))
    keys = _keys(uniforms, "noise")
    counts = noise.observe(image[..., None], 1.0, band["dark"], 0.0, 1, keys) + band["dark"]
    counts = np.maximum(counts, 0).astype(np.float32)
    if band["reads"] == "hits":
        return (counts > 0.5).astype(np.float32)
    gain = np.empty((4, -(-counts[0].size // 4)), np.float32)
    bits = np.empty(gain.shape, np.uint32)
    for charge, key in zip(counts, _keys(uniforms, "gain"), strict=True):
        streams.words(key, streams.NOISE, bits)
        streams.normals(bits, gain)
        scatter = gain.ravel()[: charge.size].reshape(charge.shape)
        charge += np.float32(band["resolution"]) * np.sqrt(charge) * scatter
    return counts


def _column(uniforms: NDArray, slot: str) -> NDArray:
    return uniforms[:, SLOTS.index(slot)]


def _keys(uniforms: NDArray, what: str) -> NDArray:
    """Return the two words of a stream of each system's own."""
    both = [_column(uniforms, f"{what}_{half}") for half in ("high", "low")]
    return (np.stack(both, axis=1) * 2.0**53).astype(np.uint64)
