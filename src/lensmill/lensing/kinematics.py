"""Stellar velocity dispersion of a power-law lens, by the spherical Jeans equation.

The galaxy of `profiles` made round: its mass within a sphere of radius r [arcsec] gives a circular
velocity

    v_c**2 = c**2 (D_s / D_ls) theta_e (r / theta_e)**(2 - slope) g / (2 sqrt(pi)),
    g = Gamma(slope / 2) / Gamma((slope - 1) / 2),

with theta_e in radian. So the dispersion that a spectrograph sees is

    sigma**2 = c**2 (D_s / D_ls) theta_e J,
    J = (r_eff / theta_e)**(2 - slope) g / (2 sqrt(pi)) F(slope),

where ``F`` is a mean of ``(r / r_eff)**(2 - slope)`` over the stars, with weights that depend on
their light, orbits, aperture and seeing, and on neither ``slope`` nor ``theta_e``. Hence one table
of ``ln F`` along ``slope`` serves all lenses that are seen the same way.

Which ``theta_e``: that of the galaxy's own mass, as everywhere in this package, where ``kappa_ext``
is a sheet of its own; ``sigma**2`` has then no factor of ``kappa_ext``. An Einstein radius fitted
without the sheet contains it: then ``sigma**2`` is to be multiplied by ``1 - kappa_ext``, which is
the same as ``theta_e * (1 - kappa_ext)**(1 / (slope - 1))``. For an internal sheet,
``kappa = lambda * power law + 1 - lambda``, multiply by ``lambda`` (the mass of the sheet within
the galaxy is neglected).
"""

from functools import lru_cache

import numpy as np
from numpy.polynomial.chebyshev import Chebyshev
from numpy.typing import ArrayLike, NDArray
from scipy import special

from .distances import ARCSEC, SPEED_OF_LIGHT

SLOPES = (1.1, 2.9)  # the mass in a sphere or in a cylinder is infinite at 3 and at 1

# ASSUME: round galaxies of Hernquist stars that do not rotate; a disc, a companion, or light that
# falls otherwise changes sigma by per cents, which belong into the error of the measurement
HERNQUIST = 0.551  # scale radius in units of the half-light radius

# nodes of the sums, for 1e-5 in sigma; steps at the edges of a slit (no seeing) cost 1e-3 at worst
_TABLE = 16  # slopes of the table
_PANEL = 12  # projected radii in each interval between edges of the aperture
_RATIO = 2.0  # ln of the longest interval
_DEPTH = 64  # radii along each line of sight
_BLUR = 60  # radii within the seeing
_EDGE = 8.0  # beyond so many sigma the seeing carries nothing
_ANGLES = (64, 1024)  # azimuths across a slit: least and most
_INSIDE, _OUTSIDE = 1e-6, 1e6  # smallest and largest radius, of the scale of the problem


def jeans_factor(
    theta_e: ArrayLike,
    slope: ArrayLike,
    r_eff: float,
    aperture: float | tuple[float, float],
    seeing: float,
    anisotropy: float = np.inf,
) -> NDArray:
    """Luminosity-weighted dispersion within an aperture, ``sigma**2 D_ls / (c**2 D_s theta_e)``.

    Stars of a Hernquist (1990) profile with orbits of Osipkov and Merritt,
    ``beta = r**2 / (r**2 + r_ani**2)``, in the potential of a round power law; integrated along the
    line of sight by the kernel of Mamon & Lokas (2005, appendix), then over the aperture with
    the light that the seeing brings into it. What is averaged is ``sigma**2``, not ``sigma``.
    The first call for a galaxy makes its table (4 ms; a slit up to 40 ms), which later calls
    share. Good to 1e-5 (a slit without seeing: 1e-3).

    Parameters
    ----------
    theta_e : array
        Einstein radius of the galaxy [arcsec]: its own mass, without sheets (see the module).
    slope : array
        Logarithmic slope of the three-dimensional density of the mass, between 1.1 and 2.9.
    r_eff : float
        Half-light radius of the stars in projection [arcsec].
    aperture : float, or pair of floats
        Radius of a circle, or width and length of a slit [arcsec]; centred on the galaxy.
    seeing : float
        FWHM of a Gaussian [arcsec]; 0: none.
    anisotropy : float, optional
        ``r_ani / r_eff``; infinite (the default): isotropic orbits.

    Returns
    -------
    array
        Dimensionless; ``theta_e`` and ``slope`` broadcast.

    Raises
    ------
    ValueError
        If a length is not positive, or a slope out of range.
    """
    theta_e, slope = np.asarray(theta_e, float), np.asarray(slope, float)
    wrong = ~((slope >= SLOPES[0]) & (slope <= SLOPES[1]))
    if wrong.any():
        raise ValueError(
            f"no velocity dispersion for slope = {slope[wrong].flat[0]:g}: it must be between "
            f"{SLOPES[0]:g} and {SLOPES[1]:g}"
        )
    shape = np.ravel(aperture).tolist()
    for name, value in [("r_eff", r_eff), *(("aperture", side) for side in shape)]:
        if not 0 < value < np.inf:
            raise ValueError(
                f"no velocity dispersion: {name} = {value:g} arcsec must be above 0 and finite"
            )
    if not 0 <= seeing < np.inf:
        raise ValueError(
            f"no velocity dispersion: seeing = {seeing:g} arcsec must be 0 or above, and finite"
        )
    if not anisotropy > 0:
        raise ValueError(
            f"no velocity dispersion: anisotropy = r_ani / r_eff = {anisotropy:g} must be above 0; "
            "isotropic orbits have an infinite one"
        )
    table = _table(tuple(side / r_eff for side in shape), seeing / r_eff, float(anisotropy))
    return (
        (r_eff / theta_e) ** (2 - slope)
        * special.gamma(slope / 2)
        / special.gamma((slope - 1) / 2)
        / (2 * np.sqrt(np.pi))
        * np.exp(table(slope))
    )


def velocity_dispersion(
    theta_e: ArrayLike,
    slope: ArrayLike,
    d_s_over_d_ls: ArrayLike,
    r_eff: float,
    aperture: float | tuple[float, float],
    seeing: float,
    anisotropy: float = np.inf,
) -> NDArray:
    """Luminosity-weighted velocity dispersion of the stars within an aperture [km / s].

    Parameters
    ----------
    d_s_over_d_ls : array
        Angular-diameter distance of the source over that from lens to source: all of the
        cosmology that enters. The other arguments as in `jeans_factor`.

    Returns
    -------
    array
        [km / s]; ``theta_e``, ``slope`` and ``d_s_over_d_ls`` broadcast. An external or internal
        sheet multiplies its square (see the module).
    """
    factor = jeans_factor(theta_e, slope, r_eff, aperture, seeing, anisotropy)
    scale = np.asarray(d_s_over_d_ls) * np.asarray(theta_e) * ARCSEC
    return SPEED_OF_LIGHT * np.sqrt(scale * factor)


@lru_cache(maxsize=1024)
def _table(aperture: tuple[float, ...], seeing: float, anisotropy: float) -> Chebyshev:
    """Table of ``ln F`` along the slope; all lengths in units of the half-light radius."""
    radius, radius_weight = _radii(aperture, seeing)
    radius_weight = radius_weight * radius * _seen(radius, aperture, seeing)
    # r = R cosh(y) along each line of sight
    node, weight = np.polynomial.legendre.leggauss(_DEPTH)
    deepest = np.log(2 * _OUTSIDE * np.maximum(radius, HERNQUIST) / radius)[:, None]
    y, y_weight = 0.5 * deepest * (1 + node), 0.5 * deepest * weight
    radius, cosh, sinh = radius[:, None], np.cosh(y), np.sinh(y)
    r = radius * cosh
    stars = 1 / (r * (r + HERNQUIST) ** 3)
    stars *= radius_weight[:, None] * y_weight * radius
    light = np.sum(stars * cosh)  # of a surface brightness
    motion = stars * sinh * _orbits(y, radius, anisotropy)  # of surface brightness times sigma**2
    logarithm = np.log(r)

    def mean(slope: NDArray) -> NDArray:
        return np.array(
            [np.log(np.sum(motion * np.exp((2 - s) * logarithm)) / light) for s in slope]
        )

    return Chebyshev.interpolate(mean, _TABLE - 1, domain=SLOPES)


def _orbits(y: NDArray, radius: NDArray, anisotropy: float) -> NDArray:
    """Weight of the pull at ``r = R cosh(y)`` on the line of sight (Mamon & Lokas 2005)."""
    straight = np.tanh(y)  # sqrt(1 - R**2 / r**2)
    if np.isinf(anisotropy):
        return straight
    a = (anisotropy / radius) ** 2
    cosh, sinh = np.cosh(y), np.sinh(y)
    bent = (a + 0.5) / (a + 1) ** 1.5 * (cosh + a / cosh) * np.arctan(sinh / np.sqrt(a + 1))
    return bent - 0.5 * straight / (a + 1)


def _radii(aperture: tuple[float, ...], seeing: float) -> tuple[NDArray, NDArray]:
    """Projected radii and weights of an integral over the aperture and what lies around."""
    edges = np.array(aperture if len(aperture) == 1 else (*aperture, np.hypot(*aperture)))
    edges = edges if len(aperture) == 1 else edges / 2
    first = _INSIDE * min(edges.min(), HERNQUIST)
    reach = _EDGE * _sigma(seeing)
    edges = np.concatenate([edges - reach, edges, edges + reach])
    # in logarithms, since light and pull have a cusp; intervals as short as they are smooth
    edges = np.log(np.unique([first, *edges[edges > first]]))
    parts = np.maximum(np.ceil(np.diff(edges) / _RATIO), 1).astype(int)
    edges = np.concatenate(
        [
            np.linspace(*ends, n, endpoint=False)
            for *ends, n in zip(edges[:-1], edges[1:], parts, strict=True)
        ]
        + [edges[-1:]]
    )
    node, weight = np.polynomial.legendre.leggauss(_PANEL)
    width = np.diff(edges)[:, None] / 2
    radius = np.exp(edges[:-1, None] + width * (1 + node))
    return radius.ravel(), (width * weight * radius).ravel()


def _sigma(seeing: float) -> float:
    """Return the standard deviation of the seeing; never 0: the steps there would divide by it."""
    return max(seeing / np.sqrt(8 * np.log(2)), 1e-9)


def _seen(radius: NDArray, aperture: tuple[float, ...], seeing: float) -> NDArray:
    """Part of the light at a projected radius that the seeing brings into the aperture."""
    sigma = _sigma(seeing)
    if len(aperture) == 1:
        low = np.clip(radius - _EDGE * sigma, 0, aperture[0])
        high = np.clip(radius + _EDGE * sigma, 0, aperture[0])
        node, weight = np.polynomial.legendre.leggauss(_BLUR)
        width = 0.5 * (high - low)[:, None]
        to = low[:, None] + width * (1 + node)
        at = radius[:, None]
        spread = np.exp(-0.5 * ((to - at) / sigma) ** 2) * special.i0e(to * at / sigma**2)
        return np.sum(width * weight * to * spread, axis=1) / sigma**2
    # mean over the azimuth of one quarter; steps of the angle that resolve the seeing
    steps = int(np.clip(8 * radius.max() / sigma, *_ANGLES))
    angle = (np.arange(steps) + 0.5) * np.pi / 2 / steps
    part = 1.0
    for side, along in zip(aperture, (np.cos(angle), np.sin(angle)), strict=True):
        offset = radius[:, None] * along
        scale = np.sqrt(2) * sigma
        part = (
            part
            * 0.5
            * (special.erf((side / 2 - offset) / scale) + special.erf((side / 2 + offset) / scale))
        )
    return part.mean(axis=1)
