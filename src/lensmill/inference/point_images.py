"""The posterior of a power-law lens with shear, given point images, delays and redshifts.

The likelihood is exact: the solver finds all images of every lens asked about, and a lens that does
not make the images that were seen, no more and no fewer, has none. The data are Gaussian; which
image of the model is which of the data is summed over, so the order of the rows plays no part.
The time-delay distance is integrated over: delays are proportional to it.
"""

from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.learning.posteriors import Mixture
from lensmill.lensing.distances import distances, time_delay
from lensmill.lensing.kinematics import velocity_dispersion
from lensmill.lensing.solver import SLOPES, Images, solve
from lensmill.pipeline.priors import inverse_cdf, log_density

from .compiling import kernel

# of a lens; the centre and the source in the frame of the data
PARAMETERS = (
    "theta_e",  # [arcsec]
    "ellipticity_1",  # (1 - q) cos 2 phi
    "ellipticity_2",  # (1 - q) sin 2 phi
    "slope",
    "gamma1",
    "gamma2",
    "kappa_ext",
    "lens_x",  # [arcsec]
    "lens_y",
    "source_x",
    "source_y",
)

DAYS = float(time_delay(1.0, 1.0))  # per Mpc arcsec^2
H0_REFERENCE = 70.0  # [km / (Mpc s)]; D_dt goes as 1 / H0
OMEGA_M_NODES = 41
TABLE = 2049  # points of the prior of ln D_dt
NODES = 64  # of the integral over D_dt
REACH = 6.0  # errors of the delays on either side that the integral covers
TINY = 1e-300
LN_2PI = float(np.log(2 * np.pi))


class PointImages(NamedTuple):
    """What is measured of one system of ``k`` images. An error of a missing value is 0."""

    position: NDArray  # (k, 2) [arcsec]
    position_error: NDArray  # (k,), of each coordinate
    delay: NDArray  # (k,) [day], after the first row
    delay_error: NDArray  # (k,); 0 in the first row
    delay_measured: NDArray  # (k,), bool
    lens_position: NDArray  # (2,)
    lens_error: float  # of each coordinate
    lens_known: bool
    flux: NDArray  # (k,), in any unit
    flux_error: NDArray  # (k,); 0: not measured


class Stars(NamedTuple):
    """Velocity dispersion of the lens galaxy's stars, and what it was measured in."""

    sigma_v: float  # [km / s]
    error: float
    r_eff: float  # half-light radius [arcsec]
    aperture: float  # radius of a circle [arcsec]
    seeing: float  # FWHM [arcsec]
    anisotropy: float  # Osipkov-Merritt radius in units of r_eff; inf: isotropic


class Distance(NamedTuple):
    """The prior of ln D_dt [Mpc] on an even grid."""

    ln_d_dt: NDArray
    density: NDArray


def distance_prior(z_lens: float, z_source: float, h0: list, omega_m: list) -> Distance:
    """Prior of ln D_dt that follows from those of H0 and Omega_m, flat LambdaCDM."""
    nodes = inverse_cdf(omega_m, (np.arange(OMEGA_M_NODES) + 0.5) / OMEGA_M_NODES)
    *_, d_dt = distances(z_lens, z_source, H0_REFERENCE, nodes)
    reference = np.log(d_dt * H0_REFERENCE)
    least, most = np.log(inverse_cdf(h0, np.array([1e-9, 1 - 1e-9])))
    margin = 1e-3 * (most - least) + 1e-6
    y = np.linspace(reference.min() - most - margin, reference.max() - least + margin, TABLE)
    h = np.exp(reference[:, None] - y)
    if h0[0] == "fixed":
        raise ValueError(f"h0: {h0} leaves nothing to infer from the delays; give it a range")
    density = (np.exp(log_density(h0, h)) * h).mean(axis=0)
    return Distance(y, density / np.trapezoid(density, y))


class Likelihood(NamedTuple):
    """Of ``n`` lenses."""

    ln: NDArray  # (n,), D_dt integrated over its prior
    d_dt: NDArray  # (n,) [Mpc]: best for the delays, given the lens; 0 without any
    d_dt_error: NDArray  # (n,) its Gaussian error; inf without delays
    ln_marginal: NDArray  # (n,) ln of int exp(-(D - d_dt)^2 / 2 d_dt_error^2) p(D) dD
    magnification: NDArray  # (n,) sum of abs over the images (`image_in_disc`: those in the disc)
    chi2: NDArray  # (n,) of all data, at the best D_dt and flux of the source


class Posterior:
    """Prior times likelihood of one system, and what samplers need of them.

    Parameters
    ----------
    data : PointImages
    prior : mapping
        Priors of a family of lenses, as in the settings of `time_delay`-like experiments:
        ``einstein_radius`` with ``einstein_radius_is``, ``one_minus_q``, ``phi``, ``shear``,
        ``shear_angle``, ``slope``, ``kappa_ext``, ``source``, ``min_magnification``, ``h0``,
        ``omega_m``.
    z_lens, z_source : float
        Redshifts.
    stars : Stars, optional
    more : callable, optional
        Logarithm of the likelihood of whatever else is known of a lens, an image for example:
        lenses (n, 11) and, where they are known, their images (n, k, 2) [arcsec], else None, to
        (n,).
    shapes : Mixture, optional
        Of one system: where that puts both components of the ellipticity and the slope. The
        posterior does not hang on it, but how well a lens with two images is sampled.

    Raises
    ------
    ValueError
        If a number is not finite or an error of a position is not above 0; if a prior has
        directions that are not all alike, or no range of H0.
    """

    def __init__(
        self,
        data: PointImages,
        prior: Mapping[str, Any],
        z_lens: float,
        z_source: float,
        stars: Stars | None = None,
        more: Callable[[NDArray, NDArray | None], NDArray] | None = None,
        shapes: Mixture | None = None,
    ):
        _refuse_data(data)
        self.data, self.prior, self.stars, self.more = data, prior, stars, more
        self.shapes = shapes
        self.k, self.z_lens, self.z_source = len(data.delay), z_lens, z_source
        for angle, size in (("phi", "one_minus_q"), ("shear_angle", "shear")):
            _refuse_direction(prior, angle, size)
        self.distance = distance_prior(z_lens, z_source, prior["h0"], prior["omega_m"])
        self.permutations = np.array(list(permutations(range(self.k))))
        # ASSUME: D_s / D_ls at the middle of the prior of Omega_m; its range moves sigma_v by 1 %
        omega_m = inverse_cdf(prior["omega_m"], 0.5)
        _, d_s, d_ls, _ = distances(z_lens, z_source, H0_REFERENCE, omega_m)
        self._d_s_over_d_ls = float(d_s / d_ls)

    def log_prior(self, p: NDArray) -> NDArray:
        """Logarithm of the prior density in `PARAMETERS`, (n, 11) to (n,).

        The galaxy's measured position counts as prior of the centre; where it was not measured the
        prior of the centre is 1 per arcsec^2. Without what a fixed value leaves out.
        """
        prior = self.prior
        theta_e, e1, e2, slope, g1, g2, kappa = p[:, :7].T
        e, g = np.hypot(e1, e2), np.hypot(g1, g2)
        if prior["einstein_radius_is"] == "b":
            root = np.sqrt(np.maximum(1 - e, TINY))
            ln = log_density(prior["einstein_radius"], theta_e * root) + np.log(root)
        else:
            ln = log_density(prior["einstein_radius"], theta_e)
        for size, name in ((e, "one_minus_q"), (g, "shear")):
            if prior[name][0] != "fixed":
                ln = ln + log_density(prior[name], size) - np.log(np.maximum(size, TINY)) - LN_2PI
        for value, name in ((slope, "slope"), (kappa, "kappa_ext")):
            if prior[name][0] != "fixed":
                ln = ln + log_density(prior[name], value)
        offset = p[:, 9:11] - p[:, 7:9]
        kind, size = prior["source"]
        if kind == "disc":
            radius = size * theta_e
            inside = (offset**2).sum(axis=1) < radius**2
            ln = ln + np.where(inside, -np.log(np.pi * radius**2), -np.inf)
        if self.data.lens_known:
            miss = (p[:, 7:9] - self.data.lens_position) / self.data.lens_error
            ln = ln - (miss**2).sum(axis=1) / 2 - 2 * np.log(self.data.lens_error) - LN_2PI
        # what the solver takes
        good = (theta_e > 0) & (e < 0.999) & (slope > SLOPES[0]) & (slope < SLOPES[1])
        good &= (g < 1 - kappa) & np.isfinite(p).all(axis=1)
        return np.where(good, ln, -np.inf)

    def from_unit(self, u: NDArray) -> NDArray:
        """Lenses that follow the prior, (n, 11), from the unit cube, (n, 11), for other samplers.

        A centre that was not measured lies within 1.5 mean radii of the images' centroid.
        """
        prior, data = self.prior, self.data
        kind, size = prior["source"]
        if kind != "disc":
            raise ValueError(f"source: {prior['source']}: only sources of a disc can be drawn so")
        names = ("one_minus_q", "slope", "shear", "kappa_ext", "einstein_radius")
        columns = (inverse_cdf(prior[name], u[:, i]) for i, name in enumerate(names))
        e, slope, shear, kappa, theta_e = columns
        if prior["einstein_radius_is"] == "b":
            theta_e = theta_e / np.sqrt(1 - e)
        along, across, place = 2 * np.pi * u[:, 5:8].T
        if data.lens_known:
            steps = inverse_cdf(["normal", 0.0, 1.0], np.clip(u[:, 9:11], 1e-15, 1 - 1e-15))
            centre = data.lens_position + data.lens_error * steps
        else:
            middle = data.position.mean(axis=0)
            box = 1.5 * np.hypot(*(data.position - middle).T).mean()
            centre = middle + box * (2 * u[:, 9:11] - 1)
        r = size * theta_e * np.sqrt(u[:, 8])
        return np.column_stack(
            [
                *(theta_e, e * np.cos(along), e * np.sin(along), slope),
                *(shear * np.cos(across), shear * np.sin(across), kappa, centre),
                *(centre[:, 0] + r * np.cos(place), centre[:, 1] + r * np.sin(place)),
            ]
        )

    def log_likelihood(self, p: NDArray) -> Likelihood:
        """Likelihood of lenses (n, 11), all of them within the support of the prior."""
        n = len(p)
        images = self._solve(p)
        d = self.data
        kind, size = self.prior["source"]
        out = Likelihood(*np.empty((6, n)))
        _match(
            *(images.n_images, images.first_image, images.x, images.y, images.fermat),
            *(images.magnification, p[:, 7:9], self.permutations),
            *(d.position, d.position_error, d.delay, d.delay_error, d.delay_measured),
            *(d.flux, d.flux_error, self.distance.ln_d_dt, self.distance.density),
            *(size if kind == "image_in_disc" else np.inf, *out),
        )
        ln = out.ln
        if kind == "image_in_disc":  # one image uniform in a disc, mapped back
            with np.errstate(divide="ignore"):
                ln = ln + np.log(out.magnification / (np.pi * size**2))
        if self.more is not None:
            ln = ln + self.more(p, None)
        stars, miss = self.dispersion(p)
        return out._replace(ln=ln + stars, chi2=out.chi2 + miss + self.galaxy_chi2(p))

    def fluxes(self, magnification: NDArray) -> tuple[NDArray, NDArray]:
        """Log-likelihood and chi^2 of fluxes of lenses whose images are the data's.

        ``magnification`` has shape (n, k), in the order of the data.
        """
        ln, chi2 = np.zeros((2, len(magnification)))
        seen = self.data.flux_error > 0
        if seen.any():
            error = self.data.flux_error[seen]
            flux, m = self.data.flux[seen] / error, np.abs(magnification[:, seen]) / error
            a, b = (m**2).sum(axis=1), m @ flux
            miss = np.maximum(flux @ flux - b**2 / a, 0.0)
            ln = ln - miss / 2 - np.log(a) / 2 - (LN_2PI / 2 + np.log(error)).sum()
            chi2 = chi2 + miss
        return ln, chi2

    def dispersion(self, p: NDArray) -> tuple[NDArray, NDArray]:
        """Log-likelihood and chi^2 of the velocity dispersion of the galaxy's stars."""
        if self.stars is None:
            return np.zeros(len(p)), np.zeros(len(p))
        sigma_v, error, *seen = self.stars
        predicted = velocity_dispersion(p[:, 0], p[:, 3], self._d_s_over_d_ls, *seen)
        miss = ((predicted - sigma_v) / error) ** 2
        return -miss / 2 - LN_2PI / 2 - np.log(error), miss

    def galaxy_chi2(self, p: NDArray) -> NDArray:
        """Squared miss of the galaxy's measured position, in errors."""
        if not self.data.lens_known:
            return np.zeros(len(p))
        return (((p[:, 7:9] - self.data.lens_position) / self.data.lens_error) ** 2).sum(axis=1)

    @property
    def n_data(self) -> int:
        """Number of data that a lens is compared with; D_dt and the source's flux take one each."""
        d = self.data
        delays = int((d.delay_measured & (d.delay_error > 0)).sum())
        fluxes = int((d.flux_error > 0).sum())
        return (
            2 * self.k
            + 2 * d.lens_known
            + max(delays - 1, 0)
            + max(fluxes - 1, 0)
            + (self.stars is not None)
        )

    def count_images(self, p: NDArray) -> NDArray:
        """Count the images of lenses (n, 11) that are bright enough to be seen."""
        return self._solve(p).n_images

    def _solve(self, p: NDArray) -> Images:
        return solve(
            p[:, 0],
            1 - np.hypot(p[:, 1], p[:, 2]),
            np.arctan2(p[:, 2], p[:, 1]) / 2,
            *p[:, 3:7].T,
            *(p[:, 9:11] - p[:, 7:9]).T,
            min_magnification=self.prior["min_magnification"],
        )

    def evaluate(self, p: NDArray, ln_prior: NDArray | None = None) -> tuple[NDArray, Likelihood]:
        """Logarithm of prior times likelihood, (n,), and the likelihoods."""
        ln = self.log_prior(p) if ln_prior is None else ln_prior
        likelihood = Likelihood(
            *(np.full(len(p), v) for v in (-np.inf, 0.0, np.inf, 0.0, 0.0, np.inf))
        )
        rows = np.flatnonzero(np.isfinite(ln))
        if len(rows):
            for column, values in zip(likelihood, self.log_likelihood(p[rows]), strict=True):
                column[rows] = values
        return ln + likelihood.ln, likelihood


def _refuse_data(data: PointImages) -> None:
    rows = len(data.delay)
    for name in ("position", "position_error", "delay", "delay_error", "flux", "flux_error"):
        values = np.reshape(getattr(data, name), (rows, -1))
        if (wrong := ~np.isfinite(values).all(axis=1)).any():
            i = int(wrong.argmax())
            raise ValueError(
                f"{name} of row {i} is {values[i]}, but must be finite; what was not measured "
                "is 0, and so is its error"
            )
    if (wrong := data.position_error <= 0).any():
        i = int(wrong.argmax())
        raise ValueError(
            f"position_error of row {i} is {data.position_error[i]:g} arcsec, but must be above 0: "
            "exact positions have no posterior here; give them an error well below all others"
        )
    if data.lens_known and not (
        np.isfinite(data.lens_position).all() and 0 < data.lens_error < np.inf
    ):
        raise ValueError(
            f"the lens is at {data.lens_position} +- {data.lens_error:g} arcsec: the place must be "
            "finite and its error above 0; an exact one takes an error well below all others"
        )


def _refuse_direction(prior: Mapping[str, Any], angle: str, size: str) -> None:
    low, high = inverse_cdf(prior[angle], np.array([0.0, 1.0]))
    halves = (high - low) / np.pi
    whole = prior[angle][0] == "uniform" and halves > 0.5 and abs(halves - round(halves)) < 1e-9
    if (prior[size][0] == "fixed" and prior[size][1] != 0) or (
        prior[size][0] != "fixed" and not whole
    ):
        raise ValueError(
            f"{angle}: {prior[angle]} with {size}: {prior[size]}: the posterior is only known for "
            f"directions that are all alike; make {angle} [uniform, 0, pi], or {size} [fixed, 0]"
        )


@kernel
def _reach(centre, error, grid):
    """Return the ends in ln D of what of the prior delays allow; all of it where they miss it."""
    low, high = grid[0], grid[grid.size - 1]
    nearest = min(max(centre, np.exp(low)), np.exp(high))
    if abs(nearest - centre) < 3.0 * error:  # an infinite error keeps all of it
        if centre - REACH * error > np.exp(low):
            low = np.log(centre - REACH * error)
        high = min(high, np.log(centre + REACH * error))
    return low, high


@kernel
def log_marginal(centre, error, grid, density):
    """Logarithm of the integral of ``exp(-(D - centre)^2 / 2 error^2) p(ln D) dln D``."""
    n = grid.size
    step = (grid[n - 1] - grid[0]) / (n - 1)
    low, high = _reach(centre, error, grid)
    width = (high - low) / NODES
    best = -1e300
    total = 0.0
    for i in range(NODES):
        y = low + (i + 0.5) * width
        j = min(int((y - grid[0]) / step), n - 2)
        f = (y - grid[0]) / step - j
        p = density[j] + f * (density[j + 1] - density[j])
        if p <= 0.0:
            continue
        z = (np.exp(y) - centre) / error
        ln = np.log(p) - 0.5 * z * z
        if ln > best:
            total = total * np.exp(best - ln) + 1.0
            best = ln
        else:
            total += np.exp(ln - best)
    if total == 0.0:
        return -1e300
    return best + np.log(total * width)


@kernel
def draw_distance(centre, error, u, grid, density, out):
    """Draw ln D_dt from ``exp(-(D - centre)^2 / 2 error^2) p(ln D)``, one per uniform number."""
    n = grid.size
    step = (grid[n - 1] - grid[0]) / (n - 1)
    weight = np.empty(4 * NODES)
    for s in range(centre.size):
        low, high = _reach(centre[s], error[s], grid)
        width = (high - low) / weight.size
        best = -1e300
        for i in range(weight.size):
            y = low + (i + 0.5) * width
            j = min(int((y - grid[0]) / step), n - 2)
            f = (y - grid[0]) / step - j
            p = density[j] + f * (density[j + 1] - density[j])
            z = (np.exp(y) - centre[s]) / error[s]
            weight[i] = np.log(p) - 0.5 * z * z if p > 0.0 else -1e300
            best = max(best, weight[i])
        total = 0.0
        for i in range(weight.size):
            weight[i] = np.exp(weight[i] - best)
            total += weight[i]
        want = u[s] * total
        i = 0
        while i < weight.size - 1 and want > weight[i]:
            want -= weight[i]
            i += 1
        out[s] = low + (i + min(want / weight[i] if weight[i] > 0.0 else 0.5, 1.0)) * width


@kernel
def _match(
    n_images,
    first_image,
    x,
    y,
    fermat,
    magnification,
    centre,
    permutations,
    position,
    position_error,
    delay,
    delay_error,
    measured,
    flux,
    flux_error,
    grid,
    density,
    disc,
    ln_likelihood,
    d_dt,
    d_dt_error,
    ln_marginal,
    total_magnification,
    chi2,
):
    """Compare the images of each lens with the data, summed over who is who."""
    k = position.shape[0]
    constant = 0.0
    for i in range(k):
        constant -= LN_2PI + 2.0 * np.log(position_error[i])
        if measured[i] and delay_error[i] > 0.0:
            constant -= 0.5 * LN_2PI + np.log(delay_error[i])
        if flux_error[i] > 0.0:
            constant -= 0.5 * LN_2PI + np.log(flux_error[i])
    square = np.empty((k, k))  # chi^2 of data row by image
    for s in range(n_images.size):
        ln_likelihood[s], d_dt[s], d_dt_error[s] = -np.inf, 0.0, np.inf
        ln_marginal[s], total_magnification[s], chi2[s] = 0.0, 0.0, np.inf
        if n_images[s] != k:
            continue
        row = first_image[s]
        for j in range(k):
            if x[row + j] ** 2 + y[row + j] ** 2 < disc**2:
                total_magnification[s] += abs(magnification[row + j])
            for i in range(k):
                dx = x[row + j] + centre[s, 0] - position[i, 0]
                dy = y[row + j] + centre[s, 1] - position[i, 1]
                square[i, j] = (dx * dx + dy * dy) / position_error[i] ** 2
        nearest = np.inf
        for order in permutations:
            total = 0.0
            for i in range(k):
                total += square[i, order[i]]
            nearest = min(nearest, total)
        best = -np.inf
        together = 0.0
        for order in permutations:
            total = 0.0
            for i in range(k):
                total += square[i, order[i]]
            if total > nearest + 60.0:
                continue
            ln = -0.5 * total
            a, b, c = 0.0, 0.0, 0.0
            fa, fb, fc = 0.0, 0.0, 0.0
            for i in range(k):
                if measured[i] and delay_error[i] > 0.0:
                    rate = DAYS * (fermat[row + order[i]] - fermat[row + order[0]])
                    w = 1.0 / delay_error[i] ** 2
                    a += w * rate * rate
                    b += w * rate * delay[i]
                    c += w * delay[i] * delay[i]
                if flux_error[i] > 0.0:
                    m = abs(magnification[row + order[i]])
                    w = 1.0 / flux_error[i] ** 2
                    fa += w * m * m
                    fb += w * m * flux[i]
                    fc += w * flux[i] * flux[i]
            this_d, this_error, this_marginal = 0.0, np.inf, 0.0
            if a > 0.0:
                this_d, this_error = b / a, 1.0 / np.sqrt(a)
                this_marginal = log_marginal(this_d, this_error, grid, density)
                ln += this_marginal - 0.5 * max(c - b * b / a, 0.0)
                total += max(c - b * b / a, 0.0)
            if fa > 0.0:  # the flux of the source is integrated over, flat
                ln -= 0.5 * max(fc - fb * fb / fa, 0.0) + 0.5 * np.log(fa)
                total += max(fc - fb * fb / fa, 0.0)
            if ln > best:
                together = together * np.exp(best - ln) + 1.0
                best = ln
                d_dt[s], d_dt_error[s], ln_marginal[s] = this_d, this_error, this_marginal
                chi2[s] = total
            else:
                together += np.exp(ln - best)
        ln_likelihood[s] = best + np.log(together) + constant
