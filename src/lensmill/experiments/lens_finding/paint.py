"""Lenses painted on real galaxies: each system has a host, a real image as it is.

The host's light is the light of the lens; its velocity dispersion and redshift, with the redshift
of a source, give the Einstein radius, its shape that of the mass. The arcs of lensed light are
convolved with the host's own point-spread function and laid on, with the noise of their photons
and no other. Unpainted hosts are the other class, drawn alike: what a lens is required to have
(arcs that can be seen), the arcs that an unpainted one would have had must have, too.

A system that lacks what is required is drawn again, up to so many times, from a stream of random
numbers of its own: what it becomes depends on its index alone. See docs/painted_lenses.md.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from scipy.stats import binom

from lensmill.cutouts import background
from lensmill.experiments.lens_finding import sky
from lensmill.experiments.lens_finding.families import FAMILIES
from lensmill.imaging import camera, noise, pixel_sources, psf, quality, scenes
from lensmill.imaging import light as lights
from lensmill.imaging.convolution import add_star
from lensmill.imaging.light import MAX_CLUMPS, Light
from lensmill.imaging.render import render
from lensmill.lensing.distances import ARCSEC, SPEED_OF_LIGHT, distances
from lensmill.pipeline import store
from lensmill.pipeline.draws import Draws
from lensmill.pipeline.priors import inverse_cdf

UNPAINTED = sky.KINDS.index("unpainted")
MOST_UNFILLED = 0.001  # of the systems, that may lack what is required after all their redraws
SURE = 1e-4  # probability of as many by chance, below which a batch is refused
# ASSUME: flat LambdaCDM with this matter density for the ratio of distances D_ls / D_s; the Hubble
# constant drops out. 0.25 or 0.35 would change Einstein radii by one per cent.
OMEGA_M = 0.3
BANDS = 6  # that draw a width of their own; further ones have those of the first again
POINT_LIKE = psf.pixels(np.pad([[1.0]], 1))  # a kernel that changes nothing
REDRAWS = 200  # where nothing is required, for hosts with masks and for sources in front of them
FAULTS = {  # in the order in which they are looked for
    "behind": "a source behind the host",
    "mask": "a host without masked pixels within two Einstein radii",
    "theta_e_over_seeing": "theta_e_over_seeing",
    "magnification": "magnification",
    "arc_snr": "arc_snr",
}

# Which random number of one attempt at a system becomes what.
SLOTS = (
    *("host", "host_turn", "mass", "source_redshift", "shear", "shear_angle", "slope"),
    *("light_q", "light_turn", "mass_x", "mass_y", "source_radius", "source_angle"),
    *("source_magnitude", "source_size", "source_index", "source_one_minus_q", "source_phi"),
    *("source_colour", "clumps", "quasar", "quasar_magnitude", "source", "source_turn"),
    *(f"clump{i}_{part}" for i in range(MAX_CLUMPS) for part in ("radius", "angle", "share")),
    *(f"seeing{i}" for i in range(BANDS)),
)
WIDTH = -(-len(SLOTS) // 4) * 4


class Painted(NamedTuple):
    """``n`` systems with what was drawn for each, lens or not."""

    kind: NDArray  # index into `sky.KINDS`
    columns: dict[str, NDArray]  # of shape (n,), of the arcs that a system has or would have
    host: NDArray  # (n, size, size, bands) [electron / s], turned
    arcs: NDArray  # the same, without noise, not masked pixels alone
    exposure: NDArray  # (n, bands) [s]
    sigma: NDArray  # (n, bands) noise of the host's sky [electron / s]


class Hosts:
    """The galaxies of a population that may be hosts of another."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        path, bands = settings["host"], settings["observation"]["bands"]
        self.pixels = store.memmap(path, "cutouts", "pixels")
        self.mask = store.memmap(path, "cutouts", "mask")
        self.systems = store.read(path, "systems")
        masses = store.read(path, "masses")
        self.sigma_v, self.z = (
            masses[name].reshape(len(self.systems["index"]), -1) for name in ("sigma_v", "z")
        )
        self.exposure = np.stack([self.systems[f"exposure_{b}"] for b in bands], axis=1)
        self.fwhm = np.stack([self.systems[f"psf_fwhm_{b}"] for b in bands], axis=1)
        self.group = background.group_of_each(path)
        self.rows = self._allowed(settings)

    def _allowed(self, settings: Mapping[str, Any]) -> NDArray:
        """Return the rows of the hosts that the population's limits let through."""
        good = np.ones(len(self.systems["index"]), bool)
        counts = []
        for name, (low, high) in settings.get("host_limits", {}).items():
            if name not in self.systems or self.systems[name].dtype.kind not in "fiu":
                numbers = [k for k, v in self.systems.items() if v.dtype.kind in "fiu"]
                raise ValueError(
                    f"host_limits: {name!r} is no column of numbers of the hosts; there are: "
                    f"{', '.join(numbers)}"
                )
            values = self.systems[name]
            inside = (values >= low) & (values <= high)
            inside &= self.systems.get(f"{name}_known", np.ones(len(good))) == 1
            counts.append(f"{name} {inside.sum()}")
            good &= inside
        if not good.any():
            raise ValueError(
                f"host_limits let none of {len(good)} hosts through (by themselves: "
                f"{', '.join(counts)}); widen them"
            )
        return np.flatnonzero(good)


def draw(uniforms: NDArray, settings: Mapping[str, Any]) -> Painted:
    """Draw painted and unpainted hosts.

    Parameters
    ----------
    uniforms : array, shape (n, sky.WIDTH)
        In (0, 1). Of these only the kind is used, and the two that stand for a background: they
        are the key of the system's stream, of which each attempt takes `WIDTH` numbers.
    settings : mapping
        ``host``, ``observation``, ``prior``, ``family``, and maybe ``host_limits``, ``sources``,
        ``source_columns``, ``require``.

    Raises
    ------
    ValueError
        If more than `MOST_UNFILLED` of the systems lack what is required after all their redraws,
        more than chance lets a batch have: what fails most is named.
    """
    n = len(uniforms)
    hosts = Hosts(settings)
    sources = Sources(settings) if "sources" in settings else None
    prior = {**settings["prior"], **FAMILIES[settings["family"]]}
    require = settings.get("require", {})
    redraws = require.get("redraws", REDRAWS)
    keys = camera.keys(np.stack([_u(uniforms, "background"), _u(uniforms, "background_turn")], 1))
    kept: dict[str, NDArray] = {}
    failed = dict.fromkeys(FAULTS, 0)
    pending, attempts = np.arange(n), 0
    for attempt in range(redraws + 1):
        draws = Draws(_numbers(keys[pending], attempt), prior, SLOTS)
        trial = _geometry(draws, hosts, settings)
        last = attempt == redraws
        early = _early_faults(trial, require)
        whole = np.flatnonzero(~early.any(axis=0) | last)
        trial |= _arcs(trial, draws, whole, hosts, sources, settings)
        late = np.zeros((2, len(pending)), bool)
        late[:, whole] = _late_faults(trial, require)[:, whole]
        faults = np.concatenate([early, late])
        for name, wrong in zip(FAULTS, faults, strict=True):
            failed[name] += int(wrong.sum())
        attempts += len(pending)
        unfilled = faults.any(axis=0)
        trial |= {"redraws": np.full(len(pending), attempt), "unfilled": unfilled.astype(np.uint8)}
        done = ~unfilled | last
        for name, values in trial.items():
            if name not in kept:
                kept[name] = np.zeros((n, *values.shape[1:]), values.dtype)
            kept[name][pending[done]] = values[done]
        pending = pending[~done]
        if not pending.size:
            break
    _refuse_unfilled(int(kept["unfilled"].sum()), n, failed, attempts, redraws)
    kind = np.where(_u(uniforms, "kind") < prior["lens_fraction"], 0, UNPAINTED).astype(np.uint8)
    images = [kept.pop(name) for name in ("pixels", "arcs", "exposure", "sky_sigma")]
    return Painted(kind, kept, *images)


def observe(painted: Painted, keys: NDArray) -> NDArray:
    """Return images: hosts as they are, and on those of lenses their arcs with photon noise.

    ``keys``, shape (n, 2), are those of the streams of the noise.
    """
    arcs = np.where((painted.kind == 0)[:, None, None, None], painted.arcs, 0.0)
    dark = {"sky": 0.0, "read_noise": 0.0, "exposures": 1}
    return noise.observe(arcs, painted.exposure, **dark, keys=keys) + painted.host


def einstein_radius(sigma_v: NDArray, z_lens: NDArray, z_source: NDArray) -> NDArray:
    """Return the Einstein radius [arcsec] of a singular isothermal sphere.

    ``4 pi (sigma / c)^2 D_ls / D_s`` of the velocity dispersion [km / s]; 0 where the source is
    not behind the lens.
    """
    theta_e = np.zeros(np.shape(sigma_v))
    behind = z_source > z_lens
    _, d_s, d_ls, _ = distances(z_lens[behind], z_source[behind], 70.0, OMEGA_M)
    theta_e[behind] = 4 * np.pi * (sigma_v[behind] / SPEED_OF_LIGHT) ** 2 * d_ls / d_s / ARCSEC
    return theta_e


def turned_shape(x: NDArray, y: NDArray, phi: NDArray, orientation: NDArray) -> tuple:
    """Return place and position angle of what was turned as `background.turned` turns images."""
    angle = -np.pi / 2 * (orientation % 4)
    c, s = np.cos(angle), np.sin(angle)
    x, y, phi = c * x - s * y, s * x + c * y, phi + angle
    mirrored = orientation >= 4
    return np.where(mirrored, -x, x), y, np.where(mirrored, np.pi - phi, phi) % np.pi


def _numbers(keys: NDArray, attempt: int) -> NDArray:
    """Return the uniform numbers of one attempt at some systems, shape (systems, `WIDTH`)."""
    tiny = np.finfo(float).tiny
    first = attempt * WIDTH // 4
    rows = [np.random.Generator(np.random.Philox(key=k).advance(first)).random(WIDTH) for k in keys]
    return np.maximum(np.array(rows).reshape(-1, WIDTH), tiny)


def _geometry(draws: Draws, hosts: Hosts, settings: Mapping[str, Any]) -> dict[str, NDArray]:
    """Choose a host for each system, and draw its mass and the place of its source."""
    prior = draws.prior
    row = hosts.rows[_choose(draws.u("host"), len(hosts.rows))]
    orientation = _choose(draws.u("host_turn"), background.ORIENTATIONS)
    at = row, _choose(draws.u("mass"), hosts.z.shape[1])
    sigma_v, z = hosts.sigma_v[at], hosts.z[at]
    z_source = inverse_cdf(prior["source_redshift"], draws.u("source_redshift"), z)
    theta_e = einstein_radius(sigma_v, z, z_source)
    of = {k: hosts.systems[f"host_{k}"][row] for k in ("x", "y", "phi", "q", "magnitude")}
    x, y, phi = turned_shape(of["x"], of["y"], of["phi"], orientation)
    shear, angle = draws("shear"), draws("shear_angle")
    offset = draws("mass_offset", "mass_x"), draws("mass_offset", "mass_y")
    fwhm = _widths(draws, hosts.fwhm[row], settings["observation"])
    source_x, source_y = sky.source_position(draws, theta_e)
    return {
        "theta_e": theta_e,
        "q": np.clip(of["q"] - draws("light_q"), 0.2, 1.0),
        "phi": (phi - draws("light_turn")) % np.pi,
        "slope": draws("slope"),
        "gamma1": shear * np.cos(2 * angle),
        "gamma2": shear * np.sin(2 * angle),
        "lens_x": x + offset[0],
        "lens_y": y + offset[1],
        "source_x": source_x,
        "source_y": source_y,
        "lens_magnitude": of["magnitude"],
        "host": row,
        "host_turn": orientation,
        "sigma_v": sigma_v,
        "z_lens": z,
        "z_source": z_source,
        "psf_fwhm": fwhm.mean(axis=1),
        "fwhms": fwhm,
        "theta_e_over_seeing": theta_e / fwhm.mean(axis=1),
        "masked_fraction": hosts.systems["masked_fraction"][row],
        "room": hosts.systems["mask_distance"][row] - np.hypot(*offset) - 2 * theta_e,
        "group": hosts.group[row],
    }


def _arcs(
    trial: Mapping[str, NDArray],
    draws: Draws,
    whole: NDArray,
    hosts: Hosts,
    sources: "Sources | None",
    settings: Mapping[str, Any],
) -> dict[str, NDArray]:
    """Return the arcs of the systems ``whole``, and what is known of them; of others 0."""
    observation, n = settings["observation"], len(draws.numbers)
    bands, size = [*observation["bands"].values()], observation["size"]
    own, draws = {k: v[whole] for k, v in trial.items()}, draws.where(whole)
    rows = np.arange(len(whole))
    mass = {name: own[name] for name in camera.MASS}
    # the solver wants a lens
    mass["theta_e"] = np.maximum(mass["theta_e"], 1e-3)
    centre, place = (own["lens_x"], own["lens_y"]), (own["source_x"], own["source_y"])
    light = Light()
    source = np.full(len(rows), -1)
    colour = draws("source_colour")
    if sources is None:
        lights.add_source(light, rows, draws, place)
    else:
        source = _choose(draws.u("source"), len(sources.sigma))
        colour = sources.colours(source, colour)
    kappa = np.zeros(len(rows))
    counts = sky.add_quasar(light, rows, draws, {**mass, "kappa_ext": kappa}, place)
    drawn = lights.shift(light.joined(), centre)
    magnitude = draws("source_magnitude")
    flux = np.stack(
        [camera.flux({"magnitude": magnitude, "colour": colour}, band) for band in bands], axis=1
    )
    pixels = np.zeros((len(rows), size, size, len(bands)), np.float32)
    arcs = np.zeros_like(pixels)
    scale = observation["pixel_scale"]
    # every system has a point-spread function of its own: what is extended is convolved afterwards
    extended = drawn["kind"] != scenes.POINT
    scene = camera.assemble(mass, centre, _select(drawn, extended), observation["bands"])
    sharp = render(scene, size, scale, [POINT_LIKE] * len(bands), lensed=False)[0]
    points = _select(drawn, ~extended)
    brightness = np.stack([camera.flux(points, band) for band in bands], axis=1)
    for i in rows:
        orientation = int(own["host_turn"][i])
        pixels[i] = background.turned(hosts.pixels[own["host"][i]], orientation)
        if sources is not None:
            turn = 2 * np.pi * draws.u("source_turn")[i]
            at = centre[0][i] + place[0][i], centre[1][i] + place[1][i]
            lens = scenes.Lenses(*(column[i : i + 1] for column in scene.lenses))
            image = sources.image(int(source[i]))
            traced = pixel_sources.trace(image, at, turn, lens, size, scale)
            sharp[i] += flux[i] * traced[..., None]
        stars = np.flatnonzero(points["owner"] == i)
        for k, (band, fwhm) in enumerate(zip(bands, own["fwhms"][i], strict=True)):
            one = _psf(band, fwhm, observation)
            plane = fftconvolve(sharp[i, ..., k], one.kernel, mode="same").astype(np.float32)
            kernel, middle = one.kernel.astype(np.float32), (size - 1) / 2
            for j in stars:
                x, y = points["x"][j] / scale + middle, points["y"][j] / scale + middle
                star = np.float32(brightness[j, k]), kernel, one.kind, one.width, one.beta
                add_star(plane, x, y, *star)
            arcs[i, ..., k] = plane
        arcs[i][background.turned(hosts.mask[own["host"][i]], orientation) > 0] = 0.0
    quasar = camera.rate(draws("quasar_magnitude") + 0.3 * camera.redness(bands[0]), bands[0])
    intrinsic = flux[:, 0]
    if sources is None:  # clumps have colours of their own
        parts = _select(drawn, extended)
        intrinsic = np.bincount(parts["owner"], camera.flux(parts, bands[0]), minlength=len(rows))
    intrinsic = intrinsic + np.where(counts["has_quasar"], quasar, 0.0)
    sigma = quality.sky_sigma(pixels)
    exposure = hosts.exposure[own["host"]]
    noises = pixel_noise(pixels + arcs, sigma, exposure)
    found = {
        "pixels": pixels,
        "arcs": arcs,
        "exposure": exposure,
        "sky_sigma": sigma,
        "source": source,
        "source_magnitude": magnitude,
        "source_colour": colour,
        "magnification": arcs[..., 0].sum(axis=(1, 2)) / intrinsic,
        "arc_snr": quality.arc_snr(arcs, noises),
        "arc_length": quality.arc_length(arcs, noises, observation["pixel_scale"]),
        **counts,
    }
    if len(whole) == n:
        return found
    return {name: _spread(values, whole, n) for name, values in found.items()}


def pixel_noise(light: NDArray, sigma: NDArray, exposure: NDArray) -> NDArray:
    """Return the noise of every pixel: of the host's own sky, and of the photons of all light.

    ``light`` has shape (n, size, size, bands), ``sigma`` and ``exposure`` (n, bands).
    """
    photons = np.maximum(light, 0) / exposure[:, None, None]
    return np.sqrt(sigma[:, None, None] ** 2 + photons)


def _early_faults(trial: Mapping[str, NDArray], require: Mapping[str, float]) -> NDArray:
    """Return what each system lacks before its arcs are known, shape (3, n)."""
    behind = trial["theta_e"] > 0
    wide = trial["theta_e_over_seeing"] >= require.get("theta_e_over_seeing", 0.0)
    return ~np.stack([behind, trial["room"] > 0, wide])


def _late_faults(trial: Mapping[str, NDArray], require: Mapping[str, float]) -> NDArray:
    """Return what the arcs of each system lack, shape (2, n)."""
    return np.stack([trial[name] < require.get(name, 0.0) for name in ("magnification", "arc_snr")])


def _refuse_unfilled(
    unfilled: int, n: int, failed: Mapping[str, int], attempts: int, redraws: int
) -> None:
    """Raise if more systems lack what is required than may, by more than chance."""
    if unfilled <= MOST_UNFILLED * n or binom.sf(unfilled - 1, n, MOST_UNFILLED) > SURE:
        return
    worst = max(failed, key=failed.__getitem__)
    shares = ", ".join(f"{FAULTS[k]} {v / attempts:.1%}" for k, v in failed.items() if v)
    raise ValueError(
        f"require: {unfilled} of the {n} systems of a batch ({unfilled / n:.1%}; permitted: "
        f"{MOST_UNFILLED:.1%}) lack what is required after {redraws} redraws each. What fails most "
        f"is {FAULTS[worst]} (attempts that failed, of {attempts}: {shares}; magnification and "
        "arc_snr are looked at where all else is there). Ask for less of it, choose hosts that "
        "have more of it (host_limits), brighten the prior of the sources, or raise redraws"
    )


class Sources:
    """The galaxies of a population whose images are lensed."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        path = settings["sources"]
        observation = json.loads(str(store.attributes(path)["settings"]))["observation"]
        bands = observation["bands"]
        # ASSUME: a galaxy looks alike in all bands: as in the one that is nearest to i
        apart = {b: abs(v["wavelength"] - camera.WAVELENGTH_I) for b, v in bands.items()}
        band = min(apart, key=apart.__getitem__)
        self.plane, self.pixel_scale = [*bands].index(band), observation["pixel_scale"]
        self.pixels = store.memmap(path, "cutouts", "pixels")
        systems = store.read(path, "systems")
        self.sigma = quality.sky_sigma(np.array(self.pixels[..., self.plane, None]))[:, 0]
        self.colour = self._colours(systems, settings.get("source_columns"))
        self.found: dict[int, pixel_sources.Source] = {}

    def _colours(self, systems: Mapping[str, NDArray], names: list[str] | None) -> NDArray:
        """Return the colour g - i of each; NaN where it is not known."""
        if names is None:
            return np.full(len(self.sigma), np.nan)
        if missing := [name for name in names if name not in systems]:
            raise ValueError(
                f"source_columns: {', '.join(missing)} is no column of the sources; there are: "
                f"{', '.join(systems)}"
            )
        every = np.ones(len(self.sigma))
        known = [systems.get(f"{name}_known", every) == 1 for name in names]
        blue, red = (systems[name].astype(float) for name in names)
        return np.where(known[0] & known[1], blue - red, np.nan)

    def colours(self, rows: NDArray, otherwise: NDArray) -> NDArray:
        """Return colours of some sources, others for those of which it is not known."""
        own = self.colour[rows]
        return np.where(np.isfinite(own), own, otherwise)

    def image(self, row: int) -> pixel_sources.Source:
        """Return a source cut out of its noise."""
        if row not in self.found:
            image = np.asarray(self.pixels[row, ..., self.plane], np.float64)
            cut = pixel_sources.cut_out(image, self.sigma[row], self.pixel_scale)
            if cut is None:
                raise ValueError(
                    f"sources: no galaxy is seen in the middle of image {row} (counted from 0 in "
                    "the table of the sources that were used); take it out of the table"
                )
            self.found[row] = cut
        return self.found[row]


def _select(light: Mapping[str, NDArray], which: NDArray) -> dict[str, NDArray]:
    return {name: values[which] for name, values in light.items()}


def _psf(band: Mapping[str, Any], fwhm: float, observation: Mapping[str, Any]) -> psf.Psf:
    """Return the profile of the observation's point-spread function with another width."""
    (kind,) = {"gaussian", "moffat"} & {*band["psf"]}
    return psf.from_settings({**band["psf"], kind: float(fwhm)}, observation["pixel_scale"])


def _widths(draws: Draws, known: NDArray, observation: Mapping[str, Any]) -> NDArray:
    """Return the width of the point-spread function in each band [arcsec], drawn if not known."""
    widths = []
    for k, band in enumerate(observation["bands"].values()):
        ours = band["psf"].get("gaussian") or band["psf"].get("moffat")
        drawn = ours * draws("seeing", f"seeing{k % BANDS}")
        widths.append(np.where(known[:, k] > 0, known[:, k], drawn))
    return np.stack(widths, axis=1)


def _spread(values: NDArray, rows: NDArray, n: int) -> NDArray:
    """Return values of some rows among n, the others 0."""
    whole = np.zeros((n, *values.shape[1:]), values.dtype)
    whole[rows] = values
    return whole


def _choose(u: NDArray, count: int) -> NDArray:
    return (u * count).astype(int)


def _u(uniforms: NDArray, slot: str) -> NDArray:
    return uniforms[:, sky.SLOTS.index(slot)]
