"""Exact posteriors of lenses with two or four point images, by importance sampling.

Four images: the proposal is a mixture of Student distributions all along the ridges of the
posterior (`modes`) and about its own best draws, as narrow as the ridges bend. Two images fix the
position of the source and the size of the lens once ellipticity, slope, sheet and one combination
of the shear are drawn from their priors: drawn so, in the image plane, the positions are always
fitted. Both end with the exact likelihood, for which the solver finds and counts all
images.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import beta, t

from lensmill.learning import posteriors
from lensmill.pipeline import priors

from . import modes as finder
from . import pairs
from .importance import (
    GOOD_K,
    Mixture,
    Pool,
    densities,
    draw,
    effective_size,
    learn_weights,
    pareto_k,
    resample,
)
from .modes import (
    E1,
    E2,
    G1,
    G2,
    LENS_X,
    LENS_Y,
    LN_D_DT,
    LN_THETA_E,
    SLOPE,
    SOURCE_X,
    SOURCE_Y,
    Modes,
)
from .point_images import Posterior

ESS = 2000.0  # effective draws asked for
DOF = 6.0  # of the Student distributions
# Of their scale. Below 1, since components stand all over the target and are widened by its width.
INFLATION = 0.9
DRAWS = 4000  # of a round
ROUNDS = 14
FEW_ROUNDS = 4  # where no lens fits
LOCAL = 120  # components about draws
COVER = 400  # components all along the ridges
BEYOND = 2.0  # times the errors of the fits, as far as the cover reaches
FEW = 50.0  # effective draws
SECOND = 0.25  # part of the second mixture of two
KEPT = 0.3  # part of the weight that components keep whatever the draws say
PAIR_DRAWS = 5000  # of the first round; each further one has as many as all before it
PAIR_ROUNDS = 7
LEAST_SHARE = 0.05  # of the lenses without further images, that more draws make up for
GUIDED = 0.8  # part of the shapes drawn as another posterior puts them, the rest as the prior does
_COMPLETED = [0, 4, 5, 9, 10]  # theta_e, shear and source
TABLE = 4096  # points of the densities along the line of shear and strength
OFF_LINE = 0.15  # of the separation: how far off the line of the images an unseen lens may be


class NoLens(ValueError):
    """No lens of the prior was found that makes the images, so there is no posterior to draw."""


class Draws(NamedTuple):
    """Weighted draws of a posterior."""

    parameters: NDArray  # (n, 11): point_images.PARAMETERS
    ln_weight: NDArray  # (n,)
    d_dt: NDArray  # (n,), with the next two: point_images.Likelihood
    d_dt_error: NDArray
    ln_marginal: NDArray
    chi2: NDArray
    mode: NDArray  # (n,)
    log_evidence: float
    pareto_k: float
    ess: float
    calls: int  # lenses solved


def sample(target: Posterior, rng: np.random.Generator, ess: float = ESS) -> Draws:
    """Draw from the posterior of a lens with two or four images.

    Parameters
    ----------
    target : Posterior
    rng : Generator
    ess : float
        Effective sample size to reach; what was reached is in the answer.

    Raises
    ------
    ValueError
        If there are neither two nor four images.
    NoLens
        If no lens of the prior is found that makes them.
    """
    if target.k == 4:
        return _sample_ridges(target, rng, ess)
    if target.k == 2:
        return _sample_pair(target, rng, ess)
    raise ValueError(f"the posterior of {target.k} images is not known here: of two or four it is")


def sample_nested(target: Posterior, seed: int, ess: float = ESS) -> Draws:
    """Draw from the same posterior by nested sampling (`nested`): minutes instead of a second.

    For what importance sampling does badly. One mode, since it tells none apart; evidence but for
    the area of the box where the lens was not seen.

    Raises
    ------
    ValueError
        If its two runs disagree, or no lens is found.
    """
    from .nested import nested_sample

    def log_likelihood(p: NDArray) -> NDArray:
        ln = target.log_prior(p)  # finite where the solver may be asked
        return target.evaluate(p, np.where(np.isfinite(ln), 0.0, -np.inf))[0]

    found = nested_sample(target.from_unit, log_likelihood, 11, seed, ess)
    likelihood = target.evaluate(found.samples)[1]
    size = effective_size(found.log_weights)
    return Draws(
        *(found.samples, found.log_weights, *likelihood[1:4], likelihood.chi2),
        *(np.zeros(len(found.samples), int), found.log_evidence),
        *(pareto_k(found.log_weights), size, found.calls),
    )


def _sample_ridges(target: Posterior, rng: np.random.Generator, ess: float) -> Draws:
    found = finder.find_modes(target)
    free = _free(target)
    misfit = found.chi2.min() / max(target.n_data, 1)
    mixture = cover = _cover(target, found, free, rng, misfit)
    pool = Pool(cover)
    lenses: list = []
    calls = 0
    # a posterior of lenses none of which fits is not worth more
    for _ in range(ROUNDS if misfit < finder.NO_FIT else FEW_ROUNDS):
        x = draw(mixture, DRAWS, rng)
        p, ln_jacobian = _lenses(x, found.mean[0], free, target, rng)
        ln_prior = target.log_prior(p) + ln_jacobian
        ln, likelihood = target.evaluate(p, ln_prior)
        calls += int(np.isfinite(ln_prior).sum())
        pool.add(mixture, x, ln)
        lenses.append((p, *likelihood[1:4], likelihood.chi2))
        ln_weight = pool.ln_weight
        if not np.isfinite(ln_weight).any():
            continue
        size, k = effective_size(ln_weight), pareto_k(ln_weight)
        if size >= ess and k < GOOD_K:
            break
        d_dt = np.concatenate([lens[1] for lens in lenses])
        about = _about(pool, ln_weight, size, d_dt, found, free, target, rng)
        best = np.argsort(-ln_weight)[:DRAWS]
        joined = _joined(about, cover)
        mixture = learn_weights(joined, pool.densities(joined, best), ln_weight[best], KEPT)
    if not np.isfinite(ln_weight).any():
        raise NoLens(f"none of {len(ln_weight)} lenses near the best fit makes the images")
    columns = [np.concatenate(column) for column in zip(*lenses, strict=True)]
    mode = np.zeros(len(pool.x), int)
    if found.mode.any():
        broad = _along(found, free)
        mode = found.mode[(broad.weight[:, None] * densities(broad, pool.x)).argmax(axis=0)]
    evidence = float(logsumexp(ln_weight) - np.log(len(ln_weight)))
    return Draws(columns[0], ln_weight, *columns[1:], mode, evidence, k, size, calls)


def _free(target: Posterior) -> NDArray:
    """Coordinates of a fit that are not held, without D_dt."""
    pairs = {"one_minus_q": (E1, E2), "shear": (G1, G2), "slope": (SLOPE,)}
    held = [n for name, pair in pairs.items() for n in pair if target.prior[name][0] == "fixed"]
    return np.array([n for n in range(LN_D_DT) if n not in held])


def _along(found: Modes, free: NDArray) -> Mixture:
    """Mixture of Student distributions along the paths; weights by Laplace's approximation."""
    factor = found.factor[:, free[:, None], free] * INFLATION  # D_dt, not among them, is last
    ln = -found.chi2 / 2 + np.log(np.einsum("mii->mi", factor)).sum(axis=1)
    weight = 0.8 * np.exp(ln - logsumexp(ln)) + 0.2 / len(ln)
    return Mixture(weight, found.mean[:, free], factor, DOF)


def _cover(
    target: Posterior, found: Modes, free: NDArray, rng: np.random.Generator, misfit: float
) -> Mixture:
    """Mixture all along the ridges and beyond their ends, however improbable a part of them seems.

    What no component covers is not missed by any weight, so this one is part of every round.
    """
    m = len(found.mean)
    node = np.arange(COVER) % m
    steps = np.einsum("nij,nj->ni", found.factor[node], rng.standard_normal((COVER, finder.N)))
    steps[:, np.setdiff1d(np.arange(LN_D_DT), free)] = 0  # what the family holds
    points = finder.project(target, found.mean[node] + BEYOND * steps)
    # where no lens fits, the linear maps of the fits are off by as much as the misfit
    local = _local(target, points, free)
    return local._replace(factor=local.factor * np.sqrt(max(misfit, 1.0)))


def _about(
    pool: Pool,
    ln_weight: NDArray,
    size: float,
    d_dt: NDArray,
    found: Modes,
    free: NDArray,
    target: Posterior,
    rng: np.random.Generator,
) -> Mixture:
    """Mixture about draws of the posterior."""
    # with hardly any effective draw the weights are flattened, lest all components be one
    rows = np.unique(resample(ln_weight / (1 + (size < FEW)), LOCAL, rng))
    c = np.tile(found.mean[0], (len(rows), 1))
    c[:, free] = pool.x[rows]
    c[:, LN_D_DT] = np.log(np.where(d_dt[rows] > 0, d_dt[rows], np.exp(c[:, LN_D_DT])))
    return _local(target, c, free)


def _local(target: Posterior, points: NDArray, free: NDArray) -> Mixture:
    """Mixture about points (n, 11), each component as wide as the curvature there is constant."""
    curvature, scale = finder.curvature(target, points)
    # A step h in shape or slope bends the images by some h^2 of the Einstein radius.
    error = target.data.position_error.mean() / scale
    soft = np.zeros(finder.N)
    soft[[E1, E2, SLOPE, G1, G2]] = 1 / error
    if not target.data.lens_known:
        soft[[LENS_X, LENS_Y]] = 1 / (error * scale**2)
    factor = finder.factors(curvature + np.diag(soft))[:, free[:, None], free] * INFLATION
    return Mixture(np.full(len(points), 1 / len(points)), points[:, free], factor, DOF)


def _joined(first: Mixture, second: Mixture) -> Mixture:
    """Two mixtures as one, the second with a small part of the weight."""
    weight = np.concatenate([(1 - SECOND) * first.weight, SECOND * second.weight])
    parts = zip(first[1:3], second[1:3], strict=True)
    return Mixture(weight, *(np.concatenate(pair) for pair in parts), DOF)


def _lenses(
    x: NDArray, fixed: NDArray, free: NDArray, target: Posterior, rng: np.random.Generator
) -> tuple[NDArray, NDArray]:
    """Lenses with a sheet drawn from its prior, and what turns a density of lenses into one of x.

    A fit knows no sheet: mass and shear there are those over (1 - kappa), with the same images.
    """
    c = np.tile(fixed[:LN_D_DT], (len(x), 1))
    c[:, free] = x
    kappa = priors.inverse_cdf(target.prior["kappa_ext"], rng.random(len(x)))
    sheet = 1 - kappa
    # far outside any prior the numbers need only stay finite
    power = 1 / (np.clip(c[:, SLOPE], 1.2, 3.0) - 1)
    theta_e = np.exp(np.clip(c[:, LN_THETA_E], -20, 10)) * sheet**power
    centre = c[:, LENS_X : LENS_Y + 1]
    source = centre + sheet[:, None] * (c[:, SOURCE_X : SOURCE_Y + 1] - centre)
    shape = [c[:, E1], c[:, E2], c[:, SLOPE], sheet * c[:, G1], sheet * c[:, G2], kappa]
    p = np.column_stack([theta_e, *shape, centre, source])
    scaled = 4 if G1 in free else 2  # components of shear and source
    ln = np.log(theta_e) + scaled * np.log(sheet)
    if target.prior["kappa_ext"][0] != "fixed":
        ln -= priors.log_density(target.prior["kappa_ext"], kappa)  # it was drawn from
    return p, ln


def _sample_pair(target: Posterior, rng: np.random.Generator, ess: float) -> Draws:
    prior = target.prior
    if prior["shear"][0] == "fixed":
        raise ValueError(
            f"shear: {prior['shear']}: two images without shear are not sampled here; give the "
            "shear a range"
        )
    tables = [_table(prior["einstein_radius"]), _table(prior["shear"])]
    parts: list = []
    calls, share = 0, 1.0
    enough = 2 * ess  # of the weights, before the further images are counted
    for i in range(PAIR_ROUNDS):
        blocks = 2 ** max(i - 1, 0)
        parts += [_draw_pairs(target, PAIR_DRAWS, tables, rng) for _ in range(blocks)]
        ln_weight = np.concatenate([part[1] for part in parts])
        if not np.isfinite(ln_weight).any():
            continue
        size, k = effective_size(ln_weight), pareto_k(ln_weight)
        if i + 1 < PAIR_ROUNDS and (size <= enough or k >= GOOD_K):
            continue
        # Most lenses make no further image: which do, is asked of those only that carry weight,
        # and not before there may be enough of them, since it costs some.
        asked = int(4 * ess / max(share, LEAST_SHARE))
        counts = np.bincount(resample(ln_weight, asked, rng), minlength=len(ln_weight))
        rows = np.flatnonzero(counts)
        seen = target.count_images(np.concatenate([part[0] for part in parts])[rows]) == 2
        calls += len(rows)
        if not seen.any():
            # Those that carry all the weight make further images: chance may find others, unless
            # what else is known puts the weight there; then every lens is asked first.
            if i + 1 < PAIR_ROUNDS and target.more is None:
                continue
            parts = [_draw_pairs(target, PAIR_DRAWS, tables, rng, counted=True)]
            calls += PAIR_DRAWS * pairs.CELLS
            ln_weight = parts[0][1]
            if not np.isfinite(ln_weight).any():
                raise NoLens("all lenses that fit the two images make further ones")
            size, k = effective_size(ln_weight), pareto_k(ln_weight)
            counts = np.bincount(resample(ln_weight, asked, rng), minlength=len(ln_weight))
            rows = np.flatnonzero(counts)
            seen = np.ones(len(rows), bool)
        share = counts[rows][seen].sum() / counts.sum()
        enough = ess / share
        if min(size, asked) >= enough:
            break
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    ln_weight = columns.pop(1)
    if not np.isfinite(ln_weight).any():
        raise NoLens(f"none of {len(ln_weight)} lenses of the prior makes the two images")
    evidence = float(logsumexp(ln_weight) - np.log(len(ln_weight)) + np.log(share))
    size *= share
    rows = np.repeat(rows[seen], counts[rows][seen])
    columns = [column[rows] for column in columns]
    mode = np.zeros(len(rows), int)
    return Draws(columns[0], np.zeros(len(rows)), *columns[1:], mode, evidence, k, size, calls)


def _draw_pairs(
    target: Posterior,
    n: int,
    tables: list[tuple[NDArray, NDArray]],
    rng: np.random.Generator,
    counted: bool = False,
) -> tuple[NDArray, ...]:
    """Draw lenses that make the two images: parameters, ln weight, and columns of `Draws`.

    None of them makes further images where they are ``counted``: the lenses of all cells are
    solved for that.
    """
    data, prior = target.data, target.prior
    kind, radius = prior["source"]
    timed = bool(data.delay_measured[1]) and data.delay_error[1] > 0
    p, ln = _pair_shapes(target, n, rng)
    images = data.position + data.position_error[:, None] * rng.standard_normal((n, 2, 2))
    uniforms = rng.random((n, 2))
    lens, magnification = np.empty((n, 5)), np.empty((n, 2))
    completed, d_dt, d_dt_error, ln_marginal, chi2 = np.empty((5, n))

    def complete(more: NDArray, cells: NDArray) -> None:
        pairs.complete(
            *(p[:, 1:4].copy(), p[:, 6].copy(), images, p[:, 7:9].copy(), uniforms),
            *(*tables[0], prior["einstein_radius_is"] == "b", *tables[1]),
            *(pairs.DISC if kind == "disc" else pairs.IMAGE_IN_DISC, float(radius)),
            *(float(prior["min_magnification"]), float(data.delay[1])),
            *(float(data.delay_error[1]) if timed else 0.0, *target.distance, more, cells),
            *(lens, completed, d_dt, d_dt_error, ln_marginal, magnification, chi2),
        )

    more = np.empty((0, 0))
    if target.more is not None or counted:
        # What else is known may be so narrow that a lens drawn without it is hardly ever a good one
        cells = np.empty((n, pairs.CELLS, 5))
        complete(more, cells)
        made, cell = np.nonzero(np.isfinite(cells[:, :, 0]))
        each = p[made]
        each[:, _COMPLETED] = cells[made, cell]
        more = np.full((n, pairs.CELLS), -np.inf)
        ln_each = np.zeros(len(each)) if target.more is None else target.more(each, images[made])
        if counted:
            ln_each[target.count_images(each) != 2] = -np.inf
        more[made, cell] = ln_each
    complete(more, np.empty((0, 0, 0)))
    p[:, _COMPLETED] = lens
    ln += completed
    miss = ((images - data.position) / data.position_error[:, None]) ** 2
    chi2 = miss.sum(axis=(1, 2)) + target.galaxy_chi2(p)
    rows = np.flatnonzero(np.isfinite(ln))
    for known, misses in (target.dispersion(p[rows]), target.fluxes(magnification[rows])):
        ln[rows] += known
        chi2[rows] += misses
    return p, ln, d_dt, d_dt_error, ln_marginal, chi2


def _table(prior: list) -> tuple[NDArray, NDArray]:
    """Logarithm of a density on an even grid in the logarithm of a positive parameter."""
    low, high = priors.inverse_cdf(prior, np.array([1e-8, 1 - 1e-8]))
    x = np.linspace(np.log(low), np.log(high), TABLE)
    return x, priors.log_density(prior, np.clip(np.exp(x), low, high))


def _pair_shapes(target: Posterior, n: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Lenses with ellipticity, slope, sheet and centre drawn; prior over density of the centre."""
    data, prior = target.data, target.prior
    p = np.zeros((n, 11))
    u = rng.random((n, 4))
    e = priors.inverse_cdf(prior["one_minus_q"], u[:, 0])
    angle = 2 * np.pi * u[:, 1]
    p[:, 1], p[:, 2] = e * np.cos(angle), e * np.sin(angle)
    p[:, 3] = priors.inverse_cdf(prior["slope"], u[:, 2])
    p[:, 6] = priors.inverse_cdf(prior["kappa_ext"], u[:, 3])
    ln = _guide_shapes(target, p, rng)
    if data.lens_known:
        p[:, 7:9] = data.lens_position + data.lens_error * rng.standard_normal((n, 2))
        return p, ln
    # between the images, near the line through them
    line = data.position[1] - data.position[0]
    length = np.hypot(*line)
    along, off = rng.beta(2, 2, n), rng.standard_t(3, n) * OFF_LINE
    across = np.array([-line[1], line[0]])
    p[:, 7:9] = data.position[0] + along[:, None] * line + off[:, None] * across
    density = beta.logpdf(along, 2, 2) + t.logpdf(off / OFF_LINE, 3) - np.log(OFF_LINE)
    return p, ln + 2 * np.log(length) - density


def _guide_shapes(target: Posterior, p: NDArray, rng: np.random.Generator) -> NDArray:
    """Draw most ellipticities and slopes anew as ``shapes`` puts them; prior over density."""
    prior, n = target.prior, len(p)
    if target.shapes is None or "fixed" in (prior["one_minus_q"][0], prior["slope"][0]):
        return np.zeros(n)
    new = rng.random(n) < GUIDED
    drawn = posteriors.sample(target.shapes, int(new.sum()), rng)[0]
    shape = p[:, 1:4].copy()
    shape[new] = drawn
    e = np.hypot(shape[:, 0], shape[:, 1])
    ln_prior = priors.log_density(prior["one_minus_q"], e) - np.log(2 * np.pi * e)
    ln_prior += priors.log_density(prior["slope"], shape[:, 2])
    possible = np.isfinite(ln_prior)
    p[possible, 1:4] = shape[possible]
    ln = np.full(n, -np.inf)
    ratio = posteriors.log_densities(target.shapes, shape[None])[0][possible] - ln_prior[possible]
    ln[possible] = -np.logaddexp(np.log(1 - GUIDED), np.log(GUIDED) + ratio)
    return ln
