"""Angular-diameter distances in flat LambdaCDM, and time delays.

Matter and a cosmological constant only: no radiation, no neutrinos, no curvature. Each comoving
distance is one Gauss-Legendre sum, so a table of millions of systems costs a second.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .compiling import kernel

SPEED_OF_LIGHT = 299792.458  # km / s, exact
DAY = 86400.0  # s
MPC = 648000.0 / np.pi * 149597870.7 * 1e6  # km, by the IAU definition of the parsec
ARCSEC = np.pi / 648000.0  # radian

MAX_REDSHIFT = 20.0  # up to here the sum below is good to 1e-12

# In ln(1 + z) the integrand is smooth on the scale of the expansion history: 16 nodes suffice for
# the redshifts of lenses and sources (5e-15 up to 5), 24 for all.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_NODES_FAR, _WEIGHTS_FAR = np.polynomial.legendre.leggauss(24)
_FAR = 5.0


@kernel
def _comoving(z, omega_m):
    """Comoving distance in units of c / H0."""
    half = 0.5 * np.log1p(z)
    total = 0.0
    nodes, weights = (_NODES, _WEIGHTS) if z < _FAR else (_NODES_FAR, _WEIGHTS_FAR)
    for node, weight in zip(nodes, weights):  # noqa: B905  (numba has no strict)
        a = np.exp(half * (node + 1.0))  # 1 + z'
        total += weight * a / np.sqrt(omega_m * a * a * a + 1.0 - omega_m)
    return half * total


@kernel
def _distances(z_lens, z_source, h0, omega_m):
    n = z_lens.size
    d_l, d_s, d_ls, d_dt = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        hubble = SPEED_OF_LIGHT / h0[i]
        lens = hubble * _comoving(z_lens[i], omega_m[i])
        source = hubble * _comoving(z_source[i], omega_m[i])
        d_l[i] = lens / (1.0 + z_lens[i])
        d_s[i] = source / (1.0 + z_source[i])
        d_ls[i] = (source - lens) / (1.0 + z_source[i])
        d_dt[i] = (1.0 + z_lens[i]) * d_l[i] * d_s[i] / d_ls[i]
    return d_l, d_s, d_ls, d_dt


def _refuse(wrong: NDArray, values: NDArray, name: str, needs: str) -> None:
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(f"system {i} has no distances: {name} = {values[i]:g} must be {needs}")


def distances(
    z_lens: ArrayLike, z_source: ArrayLike, h0: ArrayLike, omega_m: ArrayLike
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Angular-diameter distances and the time-delay distance, flat LambdaCDM.

    Parameters
    ----------
    z_lens, z_source : array
        Redshifts, ``0 < z_lens < z_source <= 20``; all arguments broadcast.
    h0 : array
        Hubble constant [km / (Mpc s)].
    omega_m : array
        Matter density today in units of the critical density; the rest is Lambda.

    Returns
    -------
    d_l, d_s, d_ls, d_dt : arrays
        To the lens, to the source, from lens to source, and
        ``(1 + z_lens) * d_l * d_s / d_ls`` [Mpc].

    Raises
    ------
    ValueError
        Naming the first system outside these ranges.
    """
    arrays = np.broadcast_arrays(z_lens, z_source, h0, omega_m)
    shape = arrays[0].shape
    z_lens, z_source, h0, omega_m = (np.ravel(a).astype(np.float64) for a in arrays)
    _refuse(~(z_lens > 0), z_lens, "z_lens", "above 0")
    _refuse(~(z_source > z_lens), z_source, "z_source", "above that of its lens")
    _refuse(~(z_source <= MAX_REDSHIFT), z_source, "z_source", f"at most {MAX_REDSHIFT:g}")
    _refuse(~((h0 > 0) & (h0 < np.inf)), h0, "h0", "positive and finite [km / (Mpc s)]")
    _refuse(~((omega_m >= 0) & (omega_m <= 1)), omega_m, "omega_m", "between 0 and 1")
    return tuple(d.reshape(shape) for d in _distances(z_lens, z_source, h0, omega_m))


def time_delay(d_dt: ArrayLike, fermat_difference: ArrayLike) -> NDArray:
    """Time delay [day] for a time-delay distance [Mpc] and a Fermat difference [arcsec^2]."""
    days_per_mpc = MPC / SPEED_OF_LIGHT / DAY * ARCSEC**2
    return np.asarray(d_dt) * np.asarray(fermat_difference) * days_per_mpc
