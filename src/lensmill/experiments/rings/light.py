"""The light that a ring lays on the sensors, without noise: cones of Cherenkov light, or bands.

Lengths are in units of the distance between neighbouring sensors. Sensor (i, j) of a row j covers
``i <= x < i + 1`` and ``j <= y < j + 1``; x is to the right, y up.

A cone is that of a charged particle which goes towards the plane of the sensors. At a distance d
from it, and inclined by ``tilt`` to its normal, it lights a conic section; for the angles drawn
here that is an ellipse with the semi-axes

    a = d sin(2 c) / (2 k),   b = d sin(c) / sqrt(k),   k = cos(tilt + c) cos(tilt - c),

c being the opening angle, cos c = 1 / (n beta). At normal incidence both are d tan c. On the axis
of the tilt the ellipse ends at d tan(tilt - c) and d tan(tilt + c) from the foot of the particle.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensmill.compiling import compiler

WATER = 1.33  # refractive index n
PARAMETERS = ("x", "y", "radius", "tilt", "direction", "beta", "thickness", "deformation")

# Of the a3net images, as fitted to 600 of them whose parameters are known: layers of points for
# each unit of thickness, and the part of the thickness that they reach to either side.
_LAYERS, _SPREAD = 5.1, 0.73
_FINE = 3  # cells across a sensor, in each of which points are summed
# Where light is summed along the track and across a sensor: by Gauss and Legendre's rule.
_TRACK, _SENSOR = (np.stack(np.polynomial.legendre.leggauss(n)) / 2 for n in (4, 3))
_REACH = 5.0  # standard deviations beyond which there is no light

# Sums of doubles as they are written: a system has the same image whatever is drawn with it.
_compiled = compiler(__file__, fastmath=False)


class Cone(NamedTuple):
    """A cone of light: where the middle of the track is, and the ellipse that it lights."""

    distance: NDArray  # of the particle from the plane
    foot_x: NDArray  # the point of the plane below it
    foot_y: NDArray
    opening: NDArray  # angle c of the cone [rad]
    semi_major: NDArray
    semi_minor: NDArray
    length: NDArray  # of the track


def opening_angle(beta: ArrayLike) -> NDArray:
    """Return the angle between track and light [rad], from cos c = 1 / (n beta).

    Raises
    ------
    ValueError
        If a particle is too slow to give light.
    """
    beta = np.asarray(beta, float)
    if (beta * WATER <= 1).any():
        raise ValueError(
            f"a particle of beta = {beta.min():g} gives no Cherenkov light in a medium with "
            f"n = {WATER}; beta must be above {1 / WATER:.4f}"
        )
    return np.arccos(1 / (WATER * beta))


def cone(rings: Mapping[str, ArrayLike]) -> Cone:
    """Return the geometry of the cone that lights each ring.

    Parameters
    ----------
    rings : mapping of array, shape (n,)
        ``PARAMETERS``: centre ``x``, ``y`` and mean radius sqrt(a b) of the ellipse; ``tilt``
        against the normal and ``direction`` in the plane [rad]; ``thickness``, the width of the
        ring at normal incidence, which a track of thickness / tan c gives.

    Raises
    ------
    ValueError
        If a cone does not meet the plane in an ellipse.
    """
    x, y, radius, tilt, direction, beta, thickness, _ = (
        np.asarray(rings[name], float) for name in PARAMETERS
    )
    c = opening_angle(beta)
    k = np.cos(tilt + c) * np.cos(tilt - c)
    if (tilt + c >= np.pi / 2).any():
        worst = np.rad2deg(np.max(tilt + c))
        raise ValueError(
            f"a cone whose edge is inclined by {worst:.1f} degrees lights no ellipse; tilt and "
            "opening angle together must be below 90 degrees: lower the prior of tilt"
        )
    ratio = np.cos(c) / np.sqrt(k)  # of the axes
    minor = radius / np.sqrt(ratio)
    distance = minor * np.sqrt(k) / np.sin(c)
    away = distance * (np.tan(tilt + c) + np.tan(tilt - c)) / 2
    foot_x, foot_y = x - away * np.cos(direction), y - away * np.sin(direction)
    return Cone(distance, foot_x, foot_y, c, radius * np.sqrt(ratio), minor, thickness / np.tan(c))


def cones(rings: Mapping[str, ArrayLike], size: int) -> NDArray:
    """Return the share of a cone's light that falls on each sensor.

    A photon leaves the track at any point alike and at the angle c from it, smeared by a Gaussian
    (multiple scattering) that blurs the ring by ``deformation`` at normal incidence.

    Returns
    -------
    array, shape (n, size, size)
        The sum is 1 where no light misses the sensors.
    """
    found = cone(rings)
    # where a ring is d tan(c) wide, an angle of s moves it by d s / cos(c)^2
    # ASSUME: the angle scatters so that the blur is the deformation, however far the particle is
    scatter = np.asarray(rings["deformation"], float) * np.cos(found.opening) ** 2 / found.distance
    tilt, direction = (np.asarray(rings[name], float) for name in ("tilt", "direction"))
    columns = (*found[:4], tilt, direction, found.length, scatter)
    out = np.zeros((len(tilt), size, size))
    _cones(np.stack(np.broadcast_arrays(*columns), axis=1), _TRACK, _SENSOR, out)
    return out


@_compiled
def _cones(columns, track, sensor, out):
    size = out.shape[1]
    for i in range(len(columns)):
        d, foot_x, foot_y, c, tilt, direction, length, scatter = columns[i]
        nx, ny = np.sin(tilt) * np.cos(direction), np.sin(tilt) * np.sin(direction)
        nz = -np.cos(tilt)
        cos_c, sin_c = np.cos(c), np.sin(c)
        scale = 1 / (2 * np.pi * np.sqrt(2 * np.pi) * scatter)
        reach = _REACH * scatter
        for j in range(size):
            for k in range(size):
                x, y = k + 0.5 - foot_x, j + 0.5 - foot_y
                r = np.sqrt(x * x + y * y + d * d)
                cos_a = (x * nx + y * ny - d * nz) / r
                sin_a = np.sqrt(max(1 - cos_a * cos_a, 0.0))
                # angles differ across a sensor and along the track by no more than this
                margin = (0.71 + length / 2) / (r - 0.71 - length / 2)
                if cos_a <= 0 or abs(sin_a * cos_c - cos_a * sin_c) > reach + margin:
                    continue
                light = 0.0
                for m in range(track.shape[1]):
                    s = track[0, m] * length
                    h = d + s * nz
                    for p in range(sensor.shape[1]):
                        y = j + 0.5 + sensor[0, p] - foot_y - s * ny
                        for q in range(sensor.shape[1]):
                            x = k + 0.5 + sensor[0, q] - foot_x - s * nx
                            r2 = x * x + y * y + h * h
                            r = np.sqrt(r2)
                            cos_a = (x * nx + y * ny - h * nz) / r
                            sin_a = np.sqrt(max(1 - cos_a * cos_a, 1e-12))
                            off = sin_a * cos_c - cos_a * sin_c  # sine of the angle from the cone
                            off = (off + off * off * off / 6) / scatter
                            if abs(off) < _REACH and h > 0:
                                weight = track[1, m] * sensor[1, p] * sensor[1, q]
                                light += weight * np.exp(-off * off / 2) * h / (sin_a * r2 * r)
                out[i, j, k] = light * scale


def bands(rings: Mapping[str, ArrayLike], size: int) -> NDArray:
    """Return the expected number of points of an a3net ring on each sensor, per layer of points.

    Points lie at all angles alike. They leave the radius by up to the spread of their layers, which
    goes with the thickness, and each for itself by up to the deformation. So the deformation is
    an amplitude of noise, not a shape.

    Returns
    -------
    array, shape (n, size, size)
    """
    columns = [np.asarray(rings[name], float) for name in PARAMETERS]
    x, y, radius, _, _, _, thickness, deformation = np.broadcast_arrays(*columns)
    out = np.zeros((len(x), size, size))
    _bands(np.stack([x, y, radius, thickness, deformation], axis=1), out)
    return out


@_compiled
def _ramp(r, radius, wide, narrow):
    """Share of the points within ``r``: two boxes of these half-widths folded, summed up."""
    total = 0.0
    for sign_wide in (-1.0, 1.0):
        for sign_narrow in (-1.0, 1.0):
            away = max(r - radius - sign_wide * wide - sign_narrow * narrow, 0.0)
            total += sign_wide * sign_narrow * away * away / 2
    return total / (4 * wide * narrow)


@_compiled
def _bands(columns, out):
    size = out.shape[1]
    step = 1.0 / _FINE
    for i in range(len(columns)):
        x, y, radius, thickness, deformation = columns[i]
        wide, narrow = max(deformation, 1e-3), _SPREAD * thickness
        for j in range(size):
            for k in range(size):
                r = np.hypot(k + 0.5 - x, j + 0.5 - y)
                if abs(r - radius) > wide + narrow + 1.5:
                    continue
                points = 0.0
                for p in range(_FINE):
                    for q in range(_FINE):
                        r = np.hypot(k + (q + 0.5) * step - x, j + (p + 0.5) * step - y)
                        inside = _ramp(r + step / 2, radius, wide, narrow)
                        inside -= _ramp(r - step / 2, radius, wide, narrow)
                        points += inside / step / max(r, step / 2)
                out[i, j, k] = _LAYERS * thickness * points * step * step / (2 * np.pi)


LIGHT = {"cone": cones, "cone_matched": cones, "a3net": bands}


def expected(rings: Mapping[str, NDArray], family: str, size: int) -> NDArray:
    """Return the light of every ring on every sensor, for one photon or one point per layer.

    Parameters
    ----------
    rings : mapping of array, shape (n,)
        ``PARAMETERS``.
    family : str
        A key of ``LIGHT``.
    size : int
        Sensors across.

    Returns
    -------
    array, shape (n, size, size)
    """
    return LIGHT[family](rings, size)
