"""Draw clusters of galaxies and count their X-ray photons."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

from lensmill.clusters import emission, gas, images, mass_function
from lensmill.experiments.cluster_mass.families import FAMILIES
from lensmill.imaging import camera
from lensmill.lensing.distances import distances
from lensmill.pipeline.draws import Draws
from lensmill.pipeline.priors import inverse_cdf
from lensmill.pipeline.store import Tables

__all__ = ["BATCH", "FAMILIES", "ROWS_OF", "UNITS", "WIDTH", "draw", "objects", "turned"]

BATCH = 256  # systems drawn at a time; an image is thousands of numbers
MOST = 4  # infalling groups, for which uniform numbers are reserved
KPC = 1000.0  # in a Mpc
ARCMIN = np.pi / 10800.0  # rad
LIGHTEST, MASS_BIN = 13.0, 0.15  # log M500 of the lower end of the first bin, width of all
FAR = 3.0  # redshift of a source that `distances` wants and nothing here hangs on

GROUP = ("ratio", "distance", "height", "azimuth", "gas", "core", "alpha", "beta")
# Which uniform number of a system becomes what; the order never changes. Those of the cluster come
# first: all images of one cluster share them.
OF_CLUSTER = (
    *("mass", "redshift", "gas_fraction", "temperature", "metallicity", "clumping"),
    *("cool", "alpha", "core", "beta", "epsilon", "steepening", "second_axis", "third_axis"),
    *("slosh", "slosh_radius", "slosh_phase", "slosh_sense", "groups", "spare0"),
    *(f"{name}{i}" for i in range(MOST) for name in GROUP),
)
OF_VIEW = (
    *("height", "azimuth", "turn", "offset_x", "offset_y", "exposure", "background", "points"),
    *("points_high", "points_low", "noise_high", "noise_low"),
)
SLOTS = (*OF_CLUSTER, *OF_VIEW)
WIDTH = len(SLOTS)

UNITS = {
    "systems": {
        "index": "",
        "group": "",
        "ln_m500": "",
        "mass_bin": "",
        "redshift": "",
        "r500": "arcmin",
        "r500_kpc": "kpc",
        "m_gas": "solMass",
        "temperature": "keV",
        "l_x": "erg / s",
        "l_x_excised": "erg / s",
        "counts": "",
        "counts_excised": "",
        "expected_counts": "",
        "area": "pix",
        "area_excised": "pix",
        "x": "pix",
        "y": "pix",
        "cool_core": "",
        "core_radius": "",
        "axis_ratio": "",
        "n_groups": "",
        "exposure": "s",
        "background": "",
        "turn": "rad",
    },
    "cutouts": {"system": "", "pixels": ""},
}
ROWS_OF: dict[str, str] = {}


def objects(settings: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many systems in a row are of one cluster, and the uniform numbers they share."""
    return int(settings.get("views", 1)), len(OF_CLUSTER)


class Clusters(NamedTuple):
    """Clusters and what falls into them; lengths in kpc, as seen from no direction yet."""

    ln_m500: NDArray
    redshift: NDArray
    r500: NDArray  # kpc
    shape: NDArray  # (n, 5), radii in units of r500
    matrix: NDArray  # (n, 3, 3)
    m_gas: NDArray  # Msun
    temperature: NDArray  # keV
    metallicity: NDArray
    density2: NDArray  # n_e n_H of the profile's n_0 = 1 [cm^-6]
    cool: NDArray
    axis_ratios: NDArray  # (n, 2) second and third over first
    slosh: NDArray  # (n, 3): strength, radius over r500 (its sign the sense), phase
    number: NDArray  # of groups
    groups: dict[str, NDArray]  # (n, MOST): shape, place (x, y, z) in kpc, density2, ...


def draw(first: int, uniforms: NDArray, settings: Mapping[str, Any]) -> Tables:
    """Turn uniform numbers into clusters, and clusters into counts of photons.

    Parameters
    ----------
    first : int
        Index of the first system.
    uniforms : array, shape (n, WIDTH)
        In (0, 1); column k becomes ``SLOTS[k]``. Views of one cluster share ``OF_CLUSTER``.
    settings : mapping
        ``family`` (a key of ``FAMILIES``), ``prior``, ``observation`` and ``views``.

    Returns
    -------
    dict of dict of array
        Tables ``systems`` and ``cutouts``, n rows each in the same order; units in ``UNITS``.
    """
    pixels, systems = turned(uniforms, settings, 0.0)
    index = first + np.arange(len(uniforms))
    return {
        "systems": {"index": index, **systems},
        "cutouts": {"system": index, "pixels": pixels},
    }


def turned(
    uniforms: NDArray, settings: Mapping[str, Any], angle: float
) -> tuple[NDArray, dict[str, NDArray]]:
    """Return images of systems whose sky is turned counter-clockwise by ``angle`` [deg], and truth.

    The scene is drawn anew and its photons are counted anew: nothing is interpolated and nothing is
    padded. A system keeps its noise, which turns with it by whole quarters: so a quarter turn is
    exactly the turned image.

    Returns
    -------
    pixels : array, shape (n, size, size, 1), float32
    systems : dict of array
        The columns of ``UNITS``, without ``index`` and ``group``.
    """
    prior = {**settings["prior"], **FAMILIES[settings["family"]]}
    observation = settings["observation"]
    draws = Draws(uniforms, prior, SLOTS)
    clusters = draw_clusters(draws, settings["family"], prior)
    quarters, rest = divmod(angle, 90.0)
    turn = 2 * np.pi * draws.u("turn") + np.deg2rad(rest)
    expected, facts = expect(clusters, draws, turn, observation)
    pixels = images.photons(expected, _keys(draws, "noise"))
    # rows run upwards, so turning the array from rows to columns turns the sky clockwise
    pixels = np.ascontiguousarray(np.rot90(pixels, -int(quarters) % 4, axes=(1, 2)))
    for _ in range(int(quarters) % 4):
        facts["x"], facts["y"] = observation["size"] - 1 - facts["y"], facts["x"]
    systems = {
        "ln_m500": clusters.ln_m500,
        "mass_bin": mass_bin(clusters.ln_m500),
        "redshift": clusters.redshift,
        "r500_kpc": clusters.r500,
        "m_gas": clusters.m_gas,
        "temperature": clusters.temperature,
        **luminosities(clusters),
        **facts,
        **measure(pixels, clusters.redshift, observation),
        "expected_counts": expected.sum(axis=(1, 2)),
        "cool_core": clusters.cool.astype(np.uint8),
        "core_radius": clusters.shape[:, gas.CORE],
        "n_groups": clusters.number,
        "turn": (turn + np.pi / 2 * quarters) % (2 * np.pi),
    }
    return pixels[..., None], systems


def mass_bin(ln_m500: NDArray) -> NDArray:
    """Return the bin of ln M500 [Msun], by which clusters are divided alike."""
    place = (ln_m500 / np.log(10) - LIGHTEST) / MASS_BIN
    return np.maximum(place, 0).astype(np.uint8)


def draw_clusters(draws: Draws, family: str, prior: Mapping[str, Any]) -> Clusters:
    """Return clusters with their gas, from their own uniform numbers."""
    low, high = prior["mass"]
    redshift = draws("redshift")
    if family == "flat":
        ln_m500 = draws.between("mass", np.log(low), np.log(high))
    else:
        ln_m500 = mass_function.draw(draws.u("mass"), redshift, low, high)
    mass = np.exp(ln_m500)
    r500 = mass_function.radius(mass, redshift) * KPC
    m_gas = mass * _gas_fraction(draws("gas_fraction"), mass, prior)
    temperature = _temperature(draws("temperature"), mass, redshift, prior)
    cool = draws.u("cool") < prior["cool_cores"]
    alpha = np.where(cool, draws("cool_alpha", "alpha"), draws("alpha"))
    core = np.where(cool, draws("cool_core_radius", "core"), draws("core_radius", "core"))
    columns = (alpha, draws("beta"), draws("epsilon"), core, draws("steepening"))
    shape = np.stack(columns, axis=1)
    density2 = _density2(shape, m_gas, r500) * draws("clumping")
    ratios = np.stack([draws("second_axis"), draws("third_axis")], axis=1)
    ratios = np.sort(ratios, axis=1)[:, ::-1]
    axes = np.concatenate([np.ones((len(mass), 1)), ratios], axis=1)
    axes /= np.prod(axes, axis=1, keepdims=True) ** (1 / 3)
    matrix = np.zeros((len(mass), 3, 3))
    matrix[:, range(3), range(3)] = axes**-2.0
    sense = np.where(draws.u("slosh_sense") < 0.5, -1.0, 1.0)
    slosh = np.stack(
        [
            draws("slosh"),
            draws("slosh_radius") * sense,
            2 * np.pi * draws.u("slosh_phase"),
        ],
        axis=1,
    )
    number = np.minimum(poisson.ppf(draws.u("groups"), prior["groups"]), MOST).astype(int)
    metallicity = draws("metallicity")
    return Clusters(
        ln_m500=ln_m500,
        redshift=redshift,
        r500=r500,
        shape=shape,
        matrix=matrix,
        m_gas=m_gas,
        temperature=temperature,
        metallicity=metallicity,
        density2=density2,
        cool=cool,
        axis_ratios=ratios,
        slosh=slosh,
        number=number,
        groups=_draw_groups(draws, mass, r500, redshift, metallicity, prior),
    )


def _draw_groups(
    draws: Draws,
    mass: NDArray,
    r500: NDArray,
    redshift: NDArray,
    metallicity: NDArray,
    prior: Mapping[str, Any],
) -> dict[str, NDArray]:
    """Return the groups that may fall into each cluster, arrays of shape (n, MOST, ...)."""
    of_each = [_draw_group(draws, i, mass, r500, redshift, prior) for i in range(MOST)]
    return {name: np.stack([one[name] for one in of_each], axis=1) for name in of_each[0]}


def _draw_group(
    draws: Draws,
    i: int,
    mass: NDArray,
    r500: NDArray,
    redshift: NDArray,
    prior: Mapping[str, Any],
) -> dict[str, NDArray]:
    own = mass * draws("group_ratio", f"ratio{i}")
    radius = mass_function.radius(own, redshift) * KPC
    shape = np.stack(
        [
            draws("alpha", f"alpha{i}"),
            draws("beta", f"beta{i}"),
            np.full(len(mass), 2.5),
            draws("core_radius", f"core{i}"),
            np.ones(len(mass)),
        ],
        axis=1,
    )
    m_gas = own * _gas_fraction(draws("gas_fraction", f"gas{i}"), own, prior)
    away = draws("group_distance", f"distance{i}") * r500
    kt = _temperature(np.ones(len(mass)), own, redshift, prior)
    return {
        "shape": shape,
        "r500": radius,
        "density2": _density2(shape, m_gas, radius),
        "place": away[:, None] * _direction(draws.u(f"height{i}"), draws.u(f"azimuth{i}")),
        "temperature": kt,
    }


def _gas_fraction(drawn: NDArray, mass: NDArray, prior: Mapping[str, Any]) -> NDArray:
    """Gas within r500 over M500, ``drawn`` at the pivot."""
    return drawn * (mass / prior["pivot"]) ** prior["gas_slope"]


def _temperature(
    drawn: NDArray, mass: NDArray, redshift: NDArray, prior: Mapping[str, Any]
) -> NDArray:
    """Temperature [keV]: ``drawn`` over the relation of Arnaud et al. (2007, A&A 474, L37)."""
    kt = 5.0 * (mass_function.hubble(redshift) * mass / 10**14.580) ** (1 / 1.71)
    return np.clip(drawn * kt, *emission.TEMPERATURES)


def _density2(shape: NDArray, m_gas: NDArray, r500: NDArray) -> NDArray:
    """Return n_e n_H where the profile is 1 [cm^-6], of gas that weighs ``m_gas`` within r500."""
    volume = gas.mass_integral(shape) * (r500 * emission.KPC) ** 3
    electrons = m_gas * emission.SOLAR_MASS / (emission.MASS_PER_ELECTRON * emission.PROTON)
    return (electrons / volume) ** 2 / emission.ELECTRONS_PER_HYDROGEN


def _direction(height: NDArray, azimuth: NDArray) -> NDArray:
    """Return unit vectors, alike likely in all directions, shape (n, 3)."""
    z, angle = 2 * height - 1, 2 * np.pi * azimuth
    across = np.sqrt(1 - z**2)
    return np.stack([across * np.cos(angle), across * np.sin(angle), z], axis=1)


def luminosities(clusters: Clusters) -> dict[str, NDArray]:
    """Return what the cluster itself sends out in 0.5-2 keV within the projected r500 [erg / s].

    ``l_x_excised`` leaves out the core, 0.15 r500. Groups that fall in are not counted.
    """
    size = (clusters.r500 * emission.KPC) ** 3
    bright = clusters.density2 * size * emission.power(clusters.temperature, clusters.metallicity)
    outer = gas.aperture_integral(clusters.shape, 0.15, 1.0)
    inner = gas.aperture_integral(clusters.shape, 1e-4, 0.15)
    return {"l_x": bright * (outer + inner), "l_x_excised": bright * outer}


def frames(draws: Draws, turn: NDArray) -> NDArray:
    """Return the axes of the sky (right, up, away) in the frame of each cluster, (n, 3, 3)."""
    away = _direction(draws.u("height"), draws.u("azimuth"))
    across = np.stack([-away[:, 1], away[:, 0], np.zeros(len(away))], axis=1)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    up = np.cross(away, across)
    c, s = np.cos(turn)[:, None], np.sin(turn)[:, None]
    # turning the sky counter-clockwise turns its axes the other way
    return np.stack([c * across - s * up, s * across + c * up, away], axis=1)


def expect(
    clusters: Clusters, draws: Draws, turn: NDArray, observation: Mapping[str, Any]
) -> tuple[NDArray, dict[str, NDArray]]:
    """Return the counts expected in every pixel, shape (n, size, size), and facts of the views."""
    n = len(turn)
    size, scale = observation["size"], observation["pixel_scale"] / 60  # arcmin
    kpc = kpc_per_arcmin(clusters.redshift)
    pixel = scale * kpc
    exposure = inverse_cdf(observation["exposure"], draws.u("exposure"))
    sky = inverse_cdf(observation["background"], draws.u("background")) * exposure * scale**2
    distance = kpc * 1e-3 / ARCMIN * (1 + clusters.redshift) ** 2 * emission.MPC
    # photons of an emission measure [cm^-3] that are counted
    received = exposure * observation["area"] / (4 * np.pi * distance**2)
    received *= (1 + clusters.redshift) * emission.shifted(clusters.redshift)
    per_column = received * pixel**2 * emission.KPC**3

    axes = frames(draws, turn)
    # the centre that is found is not that of the gas; it moves with the sky
    c, s = np.cos(turn), np.sin(turn)
    dx = inverse_cdf(observation["offset"], draws.u("offset_x")) * pixel
    dy = inverse_cdf(observation["offset"], draws.u("offset_y")) * pixel
    centre = np.stack([c * dx - s * dy, s * dx + c * dy], axis=1)

    ellipse, boost = gas.project(clusters.matrix, axes)
    main = np.zeros((n, images.COLUMNS))
    main[:, [images.X, images.Y]] = centre
    main[:, [images.Q_XX, images.Q_XY, images.Q_YY]] = ellipse
    light = emission.photons(clusters.temperature, clusters.metallicity)
    main[:, images.COUNTS_PER_COLUMN] = per_column * clusters.density2 * boost * light
    main[:, images.SLOSH] = clusters.slosh[:, 0] * np.abs(axes[:, 2, 2])
    main[:, images.SLOSH_RADIUS] = clusters.slosh[:, 1] * clusters.r500
    main[:, images.SLOSH_PHASE] = clusters.slosh[:, 2] + turn
    bodies, shapes = [main], [_in_kpc(clusters.shape, clusters.r500)]
    groups = clusters.groups
    for i in range(MOST):
        place = np.einsum("nij,nj->ni", axes, groups["place"][:, i])
        body = np.zeros((n, images.COLUMNS))
        body[:, [images.X, images.Y]] = centre + place[:, :2]
        body[:, [images.Q_XX, images.Q_YY]] = 1.0
        light = emission.photons(groups["temperature"][:, i], clusters.metallicity)
        body[:, images.COUNTS_PER_COLUMN] = per_column * groups["density2"][:, i] * light
        body[:, images.SLOSH_RADIUS] = 1.0
        bodies.append(body)
        shapes.append(_in_kpc(groups["shape"][:, i], groups["r500"][:, i]))
    here = np.arange(MOST + 1) <= clusters.number[:, None]
    first = np.concatenate([[0], np.cumsum(here.sum(axis=1))])
    law, dense = point_law(observation["points"])
    wide = (size * np.sqrt(0.5) + 4 * observation["psf"]) * scale / 60  # deg
    points = poisson.ppf(draws.u("points"), dense * np.pi * wide**2).astype(np.int64)
    image = images.expected(
        size,
        pixel,
        observation["psf"],
        first,
        np.stack(bodies, axis=1)[here],
        np.stack(shapes, axis=1)[here],
        points,
        law,
        _keys(draws, "points"),
        exposure * observation["area"] / (POINT_ENERGY * emission.KEV),
        sky,
        turn,
    )
    trace, product = (
        ellipse[:, 0] + ellipse[:, 2],
        ellipse[:, 0] * ellipse[:, 2] - ellipse[:, 1] ** 2,
    )
    root = np.sqrt(np.maximum(trace**2 / 4 - product, 0.0))
    facts = {
        "r500": clusters.r500 / kpc,
        "x": centre[:, 0] / pixel + (size - 1) / 2,
        "y": centre[:, 1] / pixel + (size - 1) / 2,
        "axis_ratio": np.sqrt((trace / 2 - root) / (trace / 2 + root)),
        "exposure": exposure,
        "background": sky,
    }
    return image, facts


# mean energy of a photon of a power law of index 1.9 between 0.5 and 2 keV [keV]
POINT_ENERGY = 0.939


def point_law(least: float) -> tuple[NDArray, float]:
    """Return the law of the fluxes of active galaxies, and how many there are above ``least``.

    Returns
    -------
    law : array, shape (5,)
        As `images.expected` takes it [erg / cm^2 / s].
    dense : float
        [1 / deg^2]
    """
    # ASSUME: 110 in a square degree above the knee, about as counts of XMM-Newton and Chandra have
    # it: in all they then make 3.1e-12 erg / s / cm2 / deg2 of the 7.5e-12 of the X-ray background.
    # Brighter ones than the last would be masked.
    knee, most, steep, flat, at_knee = 7e-15, 3e-13, 1.5, 0.6, 110.0
    law = np.array([least, knee, most, steep, flat])
    numbers = [images.number_above(flux, knee, steep, flat) for flux in (least, most)]
    return law, at_knee * max(numbers[0] - numbers[1], 0.0)


def _in_kpc(shape: NDArray, r500: NDArray) -> NDArray:
    """Return profiles whose radii are in kpc."""
    out = shape.copy()
    out[:, [gas.CORE, gas.STEEP]] *= r500[:, None]
    return out


def kpc_per_arcmin(redshift: NDArray) -> NDArray:
    """Return how many kpc an arcmin is."""
    d_a, *_ = distances(redshift, FAR, mass_function.H0, mass_function.OMEGA_M)
    return d_a * KPC * ARCMIN


def measure(
    pixels: NDArray, redshift: NDArray, observation: Mapping[str, Any]
) -> dict[str, NDArray]:
    """Return what an observer counts who knows no mass: in all, and without core and background.

    ``counts_excised`` are those between the radii of ``aperture`` [kpc] from the middle of the
    image: fixed ones, as r500 is not known. ``area`` and ``area_excised`` are the pixels that
    both are from, for taking the background off.
    """
    size, scale = observation["size"], observation["pixel_scale"] / 60
    pixel = scale * kpc_per_arcmin(redshift)
    middle = np.full(len(pixels), (size - 1) / 2)
    low, high = observation["aperture"]
    excised, area = images.in_ring(pixels, middle, middle, low / pixel, high / pixel)
    return {
        "counts": pixels.sum(axis=(1, 2), dtype=float),
        "counts_excised": excised,
        "area": np.full(len(pixels), float(size**2)),
        "area_excised": area,
    }


def _keys(draws: Draws, what: str) -> NDArray:
    return camera.keys(np.stack([draws.u(f"{what}_high"), draws.u(f"{what}_low")], axis=1))
