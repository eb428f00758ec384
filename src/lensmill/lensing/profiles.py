"""Deflection, potential and Hessian of the lens models.

One family: an elliptical power law (``slope`` 2 is the singular isothermal ellipsoid, ``q`` 1 the
sphere) with an external shear about its centre and a uniform sheet. In the frame of the lens

    kappa = (3 - slope) / 2 * (b / R)**(slope - 1),   R**2 = q**2 x**2 + y**2,
    b = theta_e * sqrt(q),

so that ``theta_e`` is the Einstein radius on the intermediate axis and the major axis of the mass
is x. The deflection of a power law is ``r**s * a(p)`` with ``s = 2 - slope`` and polar angle
``p``; the kernels here give ``a(p)``, from which everything else follows without derivatives:

    h = e.a,  t = e'.a,  h' = (1 + s) t,  t' = 2 k - (1 + s) h,

where ``e`` and ``e'`` are the radial and tangential unit vectors and ``kappa = k(p) r**(s - 1)``.
(``h`` is ``1 + s`` times the angular part of the potential; the second identity is Poisson's
equation.) All recorded quantities include shear and sheet, so ``beta = theta - alpha`` exactly.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .compiling import kernel

MAX_TERMS = 4096  # enough for q = 0.01 at full precision
ROUND_LIMIT = 1e-9  # eccentricity below which an isothermal ellipsoid is treated as a sphere


@kernel
def isothermal_angular(theta_e, q, c, s):
    """Deflection of a singular isothermal ellipsoid at the direction ``(c, s)``.

    Independent of radius. Returns its x and y components [arcsec], in the frame of the lens, and
    ``K = 2 kappa r`` [arcsec].
    """
    eccentricity = np.sqrt((1.0 - q) * (1.0 + q))
    psi = np.sqrt(q * q * c * c + s * s)
    k = theta_e * np.sqrt(q) / psi
    if eccentricity < ROUND_LIMIT:
        return theta_e * c, theta_e * s, k
    scale = theta_e * np.sqrt(q) / eccentricity
    z = eccentricity * s / psi
    # atanh by log1p of a difference that does not cancel: 1 - z = (psi - eccentricity s) / psi
    return (
        scale * np.arctan(eccentricity * c / psi),
        scale * 0.5 * np.log1p(2.0 * z / (1.0 - z))
        if z >= 0
        else -scale * 0.5 * np.log1p(-2.0 * z / (1.0 + z)),
        k,
    )


@kernel
def series(q, t, tolerance, terms):
    """Fill ``terms`` with the coefficients of the angular series; return how many matter.

    The hypergeometric function of Tessore & Metcalf (2015) as a power series in ``exp(2 i u)``:
    ``a ~ exp(i u) sum_n terms[n] exp(2 i n u)`` with elliptical angle ``u``.
    """
    f = (1.0 - q) / (1.0 + q)
    term = 1.0
    terms[0] = 1.0
    n = 1
    # the tail is at most term / (1 - f)
    while abs(term) * f > tolerance * (1.0 - f) and n < terms.size:
        term *= -f * (2.0 * n - 2.0 + t) / (2.0 * n + 2.0 - t)
        terms[n] = term
        n += 1
    return n


@kernel
def powerlaw_angular(theta_e, q, s, c, sn, terms, n_terms):
    """Angular deflection ``a`` of a power law at the direction ``(c, sn)``, frame of the lens.

    Returns its x and y components and ``2 k``, all [arcsec^(1 - s)]: the deflection is
    ``r**s * a`` and the convergence ``k * r**(s - 1)``.
    """
    rho = np.sqrt(q * q * c * c + sn * sn)
    cu = q * c / rho
    su = sn / rho
    c2 = (cu - su) * (cu + su)
    s2 = 2.0 * cu * su
    re = terms[n_terms - 1]
    im = 0.0
    for n in range(n_terms - 2, -1, -1):
        re, im = re * c2 - im * s2 + terms[n], re * s2 + im * c2
    b = theta_e * np.sqrt(q)
    radial = np.exp(s * np.log(rho / b))
    scale = 2.0 * b / (1.0 + q) * radial
    return (
        scale * (re * cu - im * su),
        scale * (re * su + im * cu),
        (1.0 + s) * b / rho * radial,
    )


class Fields(NamedTuple):
    """Potential, deflection and Hessian, shear and sheet included; sky frame."""

    potential: NDArray  # arcsec^2
    alpha_x: NDArray  # arcsec
    alpha_y: NDArray
    psi_xx: NDArray
    psi_yy: NDArray
    psi_xy: NDArray


@kernel
def _fields(x, y, theta_e, q, phi, slope, gamma1, gamma2, kappa_ext):
    n = x.size
    potential, alpha_x, alpha_y = np.zeros(n), np.zeros(n), np.zeros(n)
    psi_xx, psi_yy, psi_xy = np.zeros(n), np.zeros(n), np.zeros(n)
    terms = np.empty(MAX_TERMS)
    last_q = last_slope = -1.0
    n_terms = 0
    for i in range(n):
        s = 2.0 - slope[i]
        if s != 0.0 and (q[i] != last_q or slope[i] != last_slope):
            n_terms = series(q[i], 1.0 - s, 1e-17, terms)
            last_q, last_slope = q[i], slope[i]
        r = np.hypot(x[i], y[i])
        # potential, deflection, Hessian of shear and sheet
        xx, yy, xy = kappa_ext[i] + gamma1[i], kappa_ext[i] - gamma1[i], gamma2[i]
        alpha_x[i] = xx * x[i] + xy * y[i]
        alpha_y[i] = xy * x[i] + yy * y[i]
        potential[i] = 0.5 * (x[i] * alpha_x[i] + y[i] * alpha_y[i])
        if r == 0.0:  # deflection 0 by symmetry; the Hessian of a cusp is not defined
            psi_xx[i], psi_yy[i], psi_xy[i] = np.inf, np.inf, 0.0
            continue
        cp, sp = np.cos(phi[i]), np.sin(phi[i])
        ex, ey = x[i] / r, y[i] / r
        c, sn = cp * ex + sp * ey, cp * ey - sp * ex
        if s == 0.0:
            a1, a2, k2 = isothermal_angular(theta_e[i], q[i], c, sn)
            power = 1.0
        else:
            a1, a2, k2 = powerlaw_angular(theta_e[i], q[i], s, c, sn, terms, n_terms)
            power = np.exp(s * np.log(r))
        h, t = c * a1 + sn * a2, c * a2 - sn * a1
        ax, ay = cp * a1 - sp * a2, sp * a1 + cp * a2
        alpha_x[i] += power * ax
        alpha_y[i] += power * ay
        potential[i] += power * r * h / (1.0 + s)
        # second derivatives along e and e': s h, s t and k2 - s h, times r**(s - 1)
        rr, rt, tt = s * h * power / r, s * t * power / r, (k2 - s * h) * power / r
        psi_xx[i] = xx + rr * ex * ex - 2.0 * rt * ex * ey + tt * ey * ey
        psi_yy[i] = yy + rr * ey * ey + 2.0 * rt * ex * ey + tt * ex * ex
        psi_xy[i] = xy + (rr - tt) * ex * ey + rt * (ex * ex - ey * ey)
    return Fields(potential, alpha_x, alpha_y, psi_xx, psi_yy, psi_xy)


def potential(
    x: ArrayLike,
    y: ArrayLike,
    theta_e: ArrayLike,
    q: ArrayLike,
    phi: ArrayLike,
    slope: ArrayLike = 2.0,
    gamma1: ArrayLike = 0.0,
    gamma2: ArrayLike = 0.0,
    kappa_ext: ArrayLike = 0.0,
) -> NDArray:
    """Lensing potential [arcsec^2], zero at the lens centre, in the sky frame.

    Parameters
    ----------
    x, y : array
        Position relative to the lens centre [arcsec]; all arguments broadcast.
    theta_e : array
        Einstein radius on the intermediate axis [arcsec].
    q, phi : array
        Axis ratio of the mass, and position angle of its major axis, counter-clockwise from
        +x [rad].
    slope : array
        Logarithmic slope of the three-dimensional density; 2 is isothermal.
    gamma1, gamma2 : array
        External shear; potential ``(gamma1 (x^2 - y^2) + 2 gamma2 x y) / 2``.
    kappa_ext : array
        Convergence of an external uniform sheet.
    """
    return fields(x, y, theta_e, q, phi, slope, gamma1, gamma2, kappa_ext).potential


def deflection(
    x: ArrayLike,
    y: ArrayLike,
    theta_e: ArrayLike,
    q: ArrayLike,
    phi: ArrayLike,
    slope: ArrayLike = 2.0,
    gamma1: ArrayLike = 0.0,
    gamma2: ArrayLike = 0.0,
    kappa_ext: ArrayLike = 0.0,
) -> tuple[NDArray, NDArray]:
    """Deflection ``alpha_x, alpha_y`` [arcsec] in the sky frame; arguments as `potential`."""
    every = fields(x, y, theta_e, q, phi, slope, gamma1, gamma2, kappa_ext)
    return every.alpha_x, every.alpha_y


def hessian(
    x: ArrayLike,
    y: ArrayLike,
    theta_e: ArrayLike,
    q: ArrayLike,
    phi: ArrayLike,
    slope: ArrayLike = 2.0,
    gamma1: ArrayLike = 0.0,
    gamma2: ArrayLike = 0.0,
    kappa_ext: ArrayLike = 0.0,
) -> tuple[NDArray, NDArray, NDArray]:
    """Second derivatives ``psi_xx, psi_yy, psi_xy`` of the potential; arguments as `potential`."""
    every = fields(x, y, theta_e, q, phi, slope, gamma1, gamma2, kappa_ext)
    return every.psi_xx, every.psi_yy, every.psi_xy


def fields(
    x: ArrayLike,
    y: ArrayLike,
    theta_e: ArrayLike,
    q: ArrayLike,
    phi: ArrayLike,
    slope: ArrayLike = 2.0,
    gamma1: ArrayLike = 0.0,
    gamma2: ArrayLike = 0.0,
    kappa_ext: ArrayLike = 0.0,
) -> Fields:
    """Potential, deflection and Hessian in one pass; arguments as `potential`."""
    arguments = (x, y, theta_e, q, phi, slope, gamma1, gamma2, kappa_ext)
    arrays = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in arguments))
    flat = [np.ascontiguousarray(a).ravel() for a in arrays]
    return Fields(*(field.reshape(np.shape(arrays[0])) for field in _fields(*flat)))
