"""Systems: a smooth lens, a source behind it, and in some subhalos or a vortex.

Everything of the smooth lens and the source is drawn before the class is looked at: classes differ
by their substructure alone. Its mass is taken from the smooth lens where the prior says
``compensate``: what subhalos or vortices add on average on every circle about the lens is taken
off, so that no class has larger Einstein rings.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import poisson

from lensmill.experiments.substructure.systems import CLASSES
from lensmill.imaging import camera, perturbed
from lensmill.imaging.light import Light
from lensmill.imaging.scenes import SERSIC
from lensmill.imaging.streams import NOISE, words
from lensmill.lensing import subhalos, vortex
from lensmill.lensing.distances import ARCSEC, distances
from lensmill.pipeline.draws import Draws
from lensmill.pipeline.priors import inverse_cdf

NONE, SUBHALOS, VORTEX = range(len(CLASSES))
MAX_CLUMPS = 8  # of a source
CLUMP_SHARE = 0.5  # of the light of a source that clumps may take
CLUMP_SIZE = 0.3  # half-light radius of a clump, in units of that of the source

H0, OMEGA_M = 70.0, 0.3  # of all systems: nothing asked for hangs on them
# ASSUME: along the line of sight subhalos lie like 1 / (1 + (z / core)^2), as in the cored halo of
# a group of 1e13 Msun (Gilman et al. 2020); it only decides where they are truncated.
HOST_CORE, HOST_REACH = 40.0, 350.0  # kpc
SCATTER = 0.16  # dex, of concentrations at one mass (Diemer & Joyce 2019)
WORDS = 8  # of 32 bits, that a subhalo takes

# Which uniform number of a system becomes what; the order never changes.
SLOTS = (
    *("noise_high", "noise_low", "subhalos_high", "subhalos_low", "label"),
    *("centre_x", "centre_y", "einstein_radius", "one_minus_q", "phi", "shear", "shear_angle"),
    *("slope", "z_lens", "z_source", "source_1", "source_2", "source_magnitude", "source_size"),
    *("source_index", "source_one_minus_q", "source_phi", "clumps"),
    *(f"clump{i}_{part}" for i in range(MAX_CLUMPS) for part in ("radius", "angle", "share")),
    *("number", "sigma_sub", "m_hm", "vortex_mass", "vortex_length", "vortex_angle"),
    *("vortex_x", "vortex_y", "vortex_softening"),
)
WIDTH = -(-len(SLOTS) // 4) * 4


class Halos(NamedTuple):
    """Subhalos of n systems, those of system i from ``first[i]`` on; columns of shape (m,)."""

    first: NDArray  # shape (n + 1,)
    x: NDArray  # from the lens [arcsec]
    y: NDArray
    mass: NDArray  # bound [Msun]
    halos: subhalos.Subhalos | None  # None: point masses


class Sky(NamedTuple):
    """``n`` systems."""

    mass: dict[str, NDArray]  # smooth, as `lensmill.imaging.camera.MASS` names it, shape (n,)
    centre: tuple[NDArray, NDArray]  # of the lens in the frame [arcsec]
    light: dict[str, NDArray]  # one entry per component: the columns of `Light`
    label: NDArray  # number of the class
    truth: dict[str, NDArray]  # what else is known of every system, shape (n,)
    critical: NDArray  # critical density [Msun / arcsec^2]
    halos: Halos
    vortices: vortex.Vortices


def draw(uniforms: NDArray, family: Mapping[str, list], prior: Mapping[str, Any]) -> Sky:
    """Turn uniform numbers into systems.

    Parameters
    ----------
    uniforms : array, shape (n, WIDTH)
        In (0, 1); column k becomes ``SLOTS[k]``.
    family : mapping
        Priors that the family of substructure fixes.
    prior : mapping
        The population's prior, see ``defaults.yaml``.
    """
    prior = {**prior, **family}
    draws = Draws(uniforms, prior, SLOTS)
    shares = np.cumsum(prior["classes"]) / np.sum(prior["classes"])
    label = np.searchsorted(shares[:-1], draws.u("label"), side="right")
    theta_e, shear, angle = draws("einstein_radius"), draws("shear"), draws("shear_angle")
    mass = {
        "theta_e": theta_e,
        "q": 1 - draws("one_minus_q"),
        "phi": draws("phi"),
        "slope": draws("slope"),
        "gamma1": shear * np.cos(2 * angle),
        "gamma2": shear * np.sin(2 * angle),
    }
    centre = draws("centre_offset", "centre_x"), draws("centre_offset", "centre_y")
    light, source = _source(draws, theta_e, centre)
    z_lens = draws("z_lens")
    above = z_lens + prior["redshift_gap"]
    z_source = inverse_cdf(prior["z_source"], draws.u("z_source"), above=above)
    critical = subhalos.critical_mass(z_lens, z_source, H0, OMEGA_M)
    kpc = distances(z_lens, z_source, H0, OMEGA_M)[0] * ARCSEC * 1e3  # to an arcsec
    within = np.pi * theta_e**2 * critical  # mass [Msun]
    sigma_sub, m_hm = (np.where(label == SUBHALOS, draws(k), 0.0) for k in ("sigma_sub", "m_hm"))
    halos = _halos(draws, label, sigma_sub, m_hm, z_lens, critical, kpc)
    strings = _strings(draws, label, theta_e)
    owner = np.repeat(np.arange(len(label)), np.diff(halos.first))
    near = np.hypot(halos.x, halos.y) < theta_e[owner]
    total = np.bincount(owner, halos.mass, minlength=len(label))
    inside = np.bincount(owner, halos.mass * near, minlength=len(label))
    string = strings.strength * np.pi * critical
    taken = total * share_within(prior["place"], theta_e)
    taken += string * vortex.share_within(strings, theta_e)
    truth = {
        "source_x": source[0],
        "source_y": source[1],
        "source_magnitude": draws("source_magnitude"),
        "source_size": draws("source_size"),
        "z_lens": z_lens,
        "z_source": z_source,
        "sigma_sub": sigma_sub,
        "f_sub": inside / within,
        "n_subhalos": np.diff(halos.first),
        "m_sub": total + string,
        "m_hm": m_hm,
        "vortex_mass": string / within,
        "vortex_length": np.where(label == VORTEX, strings.length / theta_e, 0.0),
        "kappa_sheet": taken / within * prior["compensate"],
    }
    return Sky(mass, centre, light, label, truth, critical, halos, strings)


def deflection(drawn: Sky, prior: Mapping[str, Any], size: int, pixel_scale: float) -> NDArray:
    """Return the deflection by substructure, less what the smooth lens has given up for it.

    Parameters
    ----------
    drawn : Sky
        n systems.
    prior : mapping
        Of their population.
    size : int
        Pixels on a side of the frame.
    pixel_scale : float
        [arcsec]

    Returns
    -------
    array, shape (n, 2, side, side), float32
        At `lensmill.imaging.perturbed.rays` [arcsec].
    """
    first, x, y, mass, halos = drawn.halos
    owner = np.repeat(np.arange(len(drawn.label)), np.diff(first))
    x, y = x + drawn.centre[0][owner], y + drawn.centre[1][owner]
    rays = perturbed.rays(size, pixel_scale)
    if halos is None:
        points = subhalos.strength(mass, drawn.critical[owner])
        out = subhalos.points_deflection(x, y, points, first, rays, rays)
    else:
        nodes = perturbed.nodes(size, pixel_scale)
        coarse = subhalos.deflection(halos._replace(x=x, y=y), nodes, nodes)
        out = perturbed.interpolate(coarse)
    for i in np.flatnonzero(drawn.label == VORTEX):
        one = vortex.Vortices(*(column[i : i + 1] for column in drawn.vortices))
        from_lens = rays - drawn.centre[0][i], rays - drawn.centre[1][i]
        out[i] = vortex.deflection(one, *from_lens, balance=bool(prior["compensate"]))[0]
    if prior["compensate"]:
        some = np.flatnonzero(drawn.label == SUBHALOS)
        x = (rays - drawn.centre[0][some, None])[:, None, :]
        y = (rays - drawn.centre[1][some, None])[:, :, None]
        r = np.hypot(x, y)
        total = subhalos.strength(drawn.truth["m_sub"][some], drawn.critical[some])
        share = share_within(prior["place"], r) / np.maximum(r, 1e-6) ** 2
        out[some, 0] -= total[:, None, None] * share * x
        out[some, 1] -= total[:, None, None] * share * y
    return out


def share_within(place: list, radius: NDArray) -> NDArray:
    """Return the share of subhalos that lie within a radius [arcsec] of the lens, on average.

    ``place`` is ``[disc, r]``, alike likely everywhere within r, or ``[ring, r1, r2]``, at all
    radii between the two.
    """
    kind, *p = place
    if kind == "disc":
        return np.minimum(radius / p[0], 1.0) ** 2
    return np.clip((radius - p[0]) / (p[1] - p[0]), 0.0, 1.0)


def _radius(place: list, u: NDArray) -> NDArray:
    kind, *p = place
    return p[0] * np.sqrt(u) if kind == "disc" else p[0] + (p[1] - p[0]) * u


def _halos(
    draws: Draws,
    label: NDArray,
    sigma_sub: NDArray,
    m_hm: NDArray,
    z: NDArray,
    critical: NDArray,
    kpc: NDArray,
) -> Halos:
    """Draw the subhalos of those systems that have some; ``kpc`` are those to an arcsec."""
    prior = draws.prior
    low, high, index = prior["subhalo_mass"]
    cold = prior["points"] == 0
    if cold:
        area = np.pi * (prior["place"][-1] * kpc) ** 2
        mean = sigma_sub * area * subhalos.abundance(low, high, index)
        count = poisson.ppf(draws.u("number"), mean).astype(np.int64)
    else:
        count = np.full(len(label), prior["points"])
    count[label != SUBHALOS] = 0
    keys = camera.keys(np.stack([draws.u("subhalos_high"), draws.u("subhalos_low")], axis=1))
    u = _numbers(keys, count)
    owner = np.repeat(np.arange(len(label)), count)
    m = subhalos.masses(u[0], low, high, index)
    if cold:
        kept = u[1] < subhalos.warm(m, m_hm[owner])
        u, owner, m = u[:, kept], owner[kept], m[kept]
    r, angle = _radius(prior["place"], u[2]), 2 * np.pi * u[3]
    x, y = r * np.cos(angle), r * np.sin(angle)
    first = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(label)))])
    if not cold:
        return Halos(first, x, y, m, None)
    z, kpc, m_hm = z[owner], kpc[owner], m_hm[owner]
    c = subhalos.concentration(m, z, m_hm) * 10 ** (SCATTER * ndtri(u[4]))
    depth = HOST_CORE * np.tan(u[5] * np.arctan(HOST_REACH / HOST_CORE))
    scale = subhalos.scale_radius(m, c, z)
    tau = subhalos.truncation(m, np.hypot(r * kpc, depth)) / scale
    tau = np.clip(tau, subhalos.LEAST_TAU, subhalos.MOST_TAU)
    central = subhalos.central_mass(m, c)
    strength = subhalos.strength(central, critical[owner])
    halos = subhalos.Subhalos(x, y, strength, scale / kpc, tau, first)
    return Halos(first, x, y, central * subhalos.bound_share(tau), halos)


def _numbers(keys: NDArray, count: NDArray) -> NDArray:
    """Return uniform numbers of the subhalos of each system, shape (WORDS, all subhalos)."""
    found = np.empty((WORDS, int(count.sum())))
    begin = 0
    for key, n in zip(keys, count, strict=True):
        if n:
            bits = np.empty((4, WORDS // 4 * n), np.uint32)
            words(key, NOISE, bits)
            own = bits.T.reshape(n, WORDS)  # of a subhalo, whatever their number
            found[:, begin : begin + n] = ((own + 0.5) / 2.0**32).T
            begin += n
    return found


def _strings(draws: Draws, label: NDArray, theta_e: NDArray) -> vortex.Vortices:
    """Draw the strings, in units of the Einstein radius; their mass is 0 in other classes."""
    strength = np.where(label == VORTEX, draws("vortex_mass"), 0.0) * theta_e**2
    return vortex.Vortices(
        x=draws("vortex_offset", "vortex_x") * theta_e,
        y=draws("vortex_offset", "vortex_y") * theta_e,
        angle=np.pi * draws.u("vortex_angle"),
        length=draws("vortex_length") * theta_e,
        softening=draws("vortex_softening"),
        strength=strength,
    )


def _source(
    draws: Draws, theta_e: NDArray, centre: tuple[NDArray, NDArray]
) -> tuple[dict[str, NDArray], tuple[NDArray, NDArray]]:
    """Return the light of the sources, smooth and with clumps, and their places from the lens."""
    kind, size = draws.prior["source"]
    u, v = draws.u("source_1"), draws.u("source_2")
    if kind == "disc":
        r, angle = size * theta_e * np.sqrt(u), 2 * np.pi * v
        x, y = r * np.cos(angle), r * np.sin(angle)
    else:
        x, y = (size * theta_e * (2 * number - 1) for number in (u, v))
    light, rows = Light(), np.arange(len(theta_e))
    radius, magnitude = draws("source_size"), draws("source_magnitude")
    most = draws.prior["clumps"]
    clumps = np.floor((most + 1) * draws.u("clumps"))
    share = [
        np.where(clumps > i, CLUMP_SHARE / most * draws.u(f"clump{i}_share"), 0.0)
        for i in range(most)
    ]
    left = 1 - sum(share, np.zeros(len(theta_e)))
    light.add(
        rows,
        SERSIC,
        lensed=True,
        x=x + centre[0],
        y=y + centre[1],
        radius=radius,
        index=draws("source_index"),
        q=1 - draws("source_one_minus_q"),
        phi=draws("source_phi"),
        magnitude=magnitude - 2.5 * np.log10(left),
    )
    for i in range(most):
        some = np.flatnonzero(share[i] > 0)
        r = radius[some] * np.sqrt(draws.u(f"clump{i}_radius")[some])
        angle = 2 * np.pi * draws.u(f"clump{i}_angle")[some]
        light.add(
            rows[some],
            SERSIC,
            lensed=True,
            x=x[some] + centre[0][some] + r * np.cos(angle),
            y=y[some] + centre[1][some] + r * np.sin(angle),
            radius=CLUMP_SIZE * radius[some],
            index=1.0,
            magnitude=magnitude[some] - 2.5 * np.log10(share[i][some]),
        )
    return light.joined(), (x, y)
