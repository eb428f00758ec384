"""The parameters that an image is asked for, and how they turn with it.

Ellipticity and shear are components, as in `lensmill.inference.point_images`: (1 - q) times cosine
and sine of twice the position angle, gamma1 and gamma2. An image does not know a sheet of mass
(Falco, Gorenstein & Shapiro 1985): what it shows is the lens with 1 - kappa divided out.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lensmill.inference import image_places

PARAMETERS = {
    "theta_e": "arcsec",
    "ellipticity_1": "",
    "ellipticity_2": "",
    "slope": "",
    "gamma1": "",
    "gamma2": "",
    "lens_x": "arcsec",  # from the centre of the frame
    "lens_y": "arcsec",
    "source_x": "arcsec",  # from the lens
    "source_y": "arcsec",
}
SPINS = (0, 2, 0, 2, 1, 1)  # see lensmill.learning.steerable
THETA_E, SLOPE = 0, 3
# What networks give is the lens (`SPINS`), or the places of its first two images in place of
# strength, shear and source: `lensmill.inference.image_places`. The centre is in either.
TARGETS = {"lens": SPINS, "images": (0, 2, 0, 1, 1, 1)}
CENTRE = {"lens": 6, "images": 4}  # first column of the centre among the targets
# Columns of systems that they are made of, with their units: what a table may say of real ones.
TRUTH = {name: unit for name, unit in PARAMETERS.items() if not name.startswith("ellipticity")}
TRUTH |= {"q": "", "phi": "rad"}


def from_systems(systems: Mapping[str, NDArray]) -> NDArray:
    """Return `PARAMETERS` of systems, (n, 10); NaN where a real one's are not known."""
    nothing = np.full(len(systems["index"]), np.nan)

    def known(name: str) -> NDArray:
        values = np.asarray(systems.get(name, nothing), float)
        return np.where(systems.get(f"{name}_known", 1) == 0, np.nan, values)

    e, turn = 1 - known("q"), 2 * known("phi")
    places = [known(name) for name in ("lens_x", "lens_y", "source_x", "source_y")]
    return np.column_stack(
        [
            *(known("theta_e"), e * np.cos(turn), e * np.sin(turn), known("slope")),
            *(known("gamma1"), known("gamma2"), *places),
        ]
    )


def targets_of(about: Mapping) -> str:
    """Return which of `TARGETS` a network gives, by its settings or its predictions' attributes."""
    return str(about.get("targets", "lens"))


def to_targets(parameters: NDArray, kind: str = "lens") -> NDArray:
    """Return what a network learns, (n, 10); NaN where a lens has not the two images."""
    targets = np.array(parameters, float)
    targets[..., THETA_E] = np.log(targets[..., THETA_E])
    if kind == "lens":
        return targets
    lens, centre = _apart(targets, "lens")
    places = image_places.find(lens)
    two = np.isfinite(places).all(axis=(1, 2))
    coordinates = np.full(lens.shape, np.nan)
    coordinates[two] = image_places.from_lens(lens[two], places[two])[0]
    return _joined(coordinates, centre, kind)


def from_targets(targets: NDArray, kind: str = "lens") -> NDArray:
    """Undo `to_targets`, (..., 10)."""
    parameters = np.array(targets, float)
    if kind == "images":
        coordinates, centre = _apart(parameters.reshape(-1, len(PARAMETERS)), kind)
        lens = _joined(image_places.to_lens(coordinates), centre, "lens")
        parameters = lens.reshape(parameters.shape)
    parameters[..., THETA_E] = np.exp(parameters[..., THETA_E])
    return parameters


def without_centre(kind: str) -> list[int]:
    """Return the columns of the targets that the centre is not among."""
    return [i for i in range(len(PARAMETERS)) if i - CENTRE[kind] not in (0, 1)]


def _apart(targets: NDArray, kind: str) -> tuple[NDArray, NDArray]:
    first = CENTRE[kind]
    return targets[:, without_centre(kind)], targets[:, first : first + 2]


def _joined(rest: NDArray, centre: NDArray, kind: str) -> NDArray:
    first = CENTRE[kind]
    return np.concatenate([rest[:, :first], centre, rest[:, first:]], axis=1)
