"""Which painted lenses can be told from galaxies at all: observers that know less and less.

All know the shape of the arcs and the noise, and decide by a matched filter. They differ in what
they know of the galaxy beneath. The arcs speak for a lens only by what cannot be light of a galaxy
as well: what is left of them when galaxies of all kinds have been fitted to them.

- `arc_snr`: the galaxy is known, pixel by pixel.
- `snr_one_colour`: light of the galaxy's own colour may be added or taken away as a galaxy can
  have it: any sum of Gaussians about its centre, the narrowest a star, each shifted (a dipole) and
  flattened (a quadrupole) at will.
- `snr_any_colour`: the same in each band by itself. What is blue in the middle may be the galaxy's.

No network knows the arcs' shape, so that even the last is more than any finder can do.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.lens_finding import paint, simulate
from lensmill.experiments.lens_finding.simulate import WIDTH
from lensmill.imaging import photometry
from lensmill.learning import classification
from lensmill.pipeline import provenance, store
from lensmill.pipeline.streams import uniforms

WIDTHS = (1.0, 1.4, 2.0, 2.8, 4.0)  # of the Gaussians [standard deviation of a star]
TO_SIGMA = 2 * np.sqrt(2 * np.log(2))
FPR = 0.01
UNITS = {
    "systems": {
        "theta_e": "arcsec",
        "theta_e_over_seeing": "",
        "host_magnitude": "mag",
        "host_colour": "mag",
        "arc_snr": "",
        "snr_one_colour": "",
        "snr_any_colour": "",
        "found_known": "",
        "found_one_colour": "",
        "found_any_colour": "",
    }
}


def measure(
    settings: Mapping[str, Any],
    seed: int,
    population: str,
    systems: int,
    output: str,
) -> None:
    """Measure what is left of the arcs of painted lenses for observers that know less and less.

    Nothing is required of the lenses: they are as wide and as bright as nature makes them.

    Parameters
    ----------
    settings : mapping
        What fixes the population, with the data sets of hosts and sources.
    seed : int
        Of the run.
    population : str
        Its random numbers are used.
    systems : int
        How many; each is taken as a lens.
    output : path
        Written (HDF5): the table ``systems`` with what is known of each, the signal to noise for
        each observer and how likely it finds the lens at a false-positive rate of 1 %.
    """
    free = {key: value for key, value in settings.items() if key != "require"}
    batches = [
        _measure(uniforms(seed, "lens_finding", population, first, count, WIDTH), free)
        for first in range(0, systems, simulate.BATCH)
        for count in [min(simulate.BATCH, systems - first)]
    ]
    table = {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}
    for name, column in (
        ("known", "arc_snr"),
        ("one_colour", "snr_one_colour"),
        ("any_colour", "snr_any_colour"),
    ):
        table[f"found_{name}"] = classification.ideal_completeness(table[column], FPR)
    facts = provenance.attributes(
        {}, population=population, experiment="lens_finding", seed=seed, systems_asked=systems
    )
    store.write(output, {"systems": table}, UNITS, facts)


def _measure(numbers: NDArray, settings: Mapping[str, Any]) -> dict[str, NDArray]:
    painted, observation = paint.draw(numbers, settings), settings["observation"]
    noises = paint.pixel_noise(painted.host + painted.arcs, painted.sigma, painted.exposure)
    known = painted.columns
    left = np.array(
        [
            beyond_galaxies(
                painted.arcs[i],
                noises[i],
                painted.host[i],
                (known["lens_x"][i], known["lens_y"][i]),
                known["psf_fwhm"][i],
                observation["pixel_scale"],
            )
            for i in range(len(numbers))
        ]
    ).reshape(-1, 2)
    seen = photometry.measure(painted.host + painted.arcs, observation)
    found = {
        "theta_e": known["theta_e"],
        "theta_e_over_seeing": known["theta_e_over_seeing"],
        "host_magnitude": seen["host_magnitude"],
        "host_colour": seen["host_colour"],
        "arc_snr": known["arc_snr"],
        "snr_one_colour": left[:, 0],
        "snr_any_colour": left[:, 1],
    }
    lens = known["theta_e"] > 0  # a host behind its source is none
    return {name: values[lens] for name, values in found.items()}


def beyond_galaxies(
    arcs: NDArray,
    sigma: NDArray,
    host: NDArray,
    centre: tuple[float, float],
    fwhm: float,
    pixel_scale: float,
) -> tuple[float, float]:
    """Return the signal to noise of what no galaxy's light can stand for in arcs.

    Parameters
    ----------
    arcs, sigma, host : array, shape (size, size, bands)
        Lensed light, noise of every pixel, and the image of the galaxy, whose colour counts.
    centre : tuple of float
        Of the galaxy, from the middle of the frame [arcsec].
    fwhm : float
        Of a star [arcsec].
    pixel_scale : float
        [arcsec]

    Returns
    -------
    one_colour, any_colour : float
        Light is added with the colour of the galaxy, or in each band by itself.
    """
    size, bands = arcs.shape[0], arcs.shape[2]
    shapes = galaxy_light(size, centre, fwhm, pixel_scale)  # (size, size, K)
    place = (np.arange(size) - (size - 1) / 2) * pixel_scale
    inside = np.hypot(place - centre[0], place[:, None] - centre[1]) < photometry.APERTURE
    colour = np.maximum(host[inside].sum(axis=0), 0.0)
    signal = (arcs / sigma).reshape(-1)
    alike = (shapes[:, :, None, :] * colour[:, None] / sigma[..., None]).reshape(len(signal), -1)
    one = _left(signal, alike)
    each = [
        _left(
            (arcs[..., b] / sigma[..., b]).ravel(),
            (shapes / sigma[..., b, None]).reshape(size * size, -1),
        )
        for b in range(bands)
    ]
    return one, float(np.sqrt(np.square(each).sum()))


def galaxy_light(
    size: int, centre: tuple[float, float], fwhm: float, pixel_scale: float
) -> NDArray:
    """Return what the light of a galaxy about a centre is made of, shape (size, size, K).

    Gaussians of `WIDTHS`, each also times x, y, x^2 - y^2 and 2 x y.
    """
    place = (np.arange(size) - (size - 1) / 2) * pixel_scale
    x, y = np.meshgrid(place - centre[0], place - centre[1])
    parts = []
    for width in WIDTHS:
        s = width * fwhm / TO_SIGMA
        u, v = x / s, y / s
        light = np.exp(-0.5 * (u**2 + v**2))
        parts += [light * m for m in (1.0, u, v, u**2 - v**2, 2 * u * v)]
    return np.stack(parts, axis=2)


def _left(signal: NDArray, templates: NDArray) -> float:
    """Return the length of what is left of a signal beyond the span of templates."""
    scale = np.linalg.norm(templates, axis=0)
    basis, _ = np.linalg.qr(templates / np.where(scale > 0, scale, 1.0))
    return float(np.linalg.norm(signal - basis @ (basis.T @ signal)))
