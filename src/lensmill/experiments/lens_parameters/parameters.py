"""The parameters that an image is asked for, and how they turn with it.

Ellipticity and shear are components, as in `lensmill.inference.point_images`: (1 - q) times cosine
and sine of twice the position angle, gamma1 and gamma2. An image does not know a sheet of mass
(Falco, Gorenstein & Shapiro 1985): what it shows is the lens with 1 - kappa divided out.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

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
# columns of what positions and delays know too: `lensmill.inference.image_posterior.SEEN`
SEEN = [i for i, name in enumerate(PARAMETERS) if not name.startswith("lens_")]
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


def to_targets(parameters: NDArray) -> NDArray:
    """Return what a network learns, (..., 10): the logarithm of the Einstein radius, the rest."""
    targets = np.array(parameters, float)
    targets[..., THETA_E] = np.log(targets[..., THETA_E])
    return targets


def from_targets(targets: NDArray) -> NDArray:
    """Undo `to_targets`."""
    parameters = np.array(targets, float)
    parameters[..., THETA_E] = np.exp(parameters[..., THETA_E])
    return parameters
