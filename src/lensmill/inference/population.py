"""Many lenses answer for their population: hierarchical inference from draws of each posterior.

Every system was analysed alone, under an interim prior of its lens. Its draws are weighted by the
ratio of population and interim prior, so that the population takes the place of the interim prior
without a system being analysed again. With hyperparameters L (mean and scatter of each parameter
of the lenses, and the cosmology) and draws s of system i, its marginal likelihood is

    p_i(L) = mean_s  p(theta_s | L) / p(theta_s | interim)
                     * exp(-(D_i - d_s)^2 / 2 sigma_s^2 - ln_marginal_s)

where the delays say, given lens s, that the time-delay distance is d_s +- sigma_s, D_i(L) is that
of the universe L, and ln_marginal_s is the factor that the delays gave draw s under the interim
prior of the distance: it is taken back. What was observed was selected: with the part alpha(L) of
the population that passes the selection, ln L = sum_i ln p_i - n ln alpha (Loredo 2004, AIP Conf.
Proc. 735, 195; Mandel, Farr & Gair 2019, MNRAS 486, 1086). alpha is the mean ratio over draws from
the interim prior, the same selection applied.

An internal mass sheet, kappa -> lambda kappa + 1 - lambda, leaves images and delays as they are
but that D_dt = d / lambda (Falco, Gorenstein & Shapiro 1985): lambda < 1 means a lower H0 than the
power law says. If lambda is normal in the population, the integral over it is done by hand:
sigma^2 -> sigma^2 + (D scatter)^2, d compared with lambda D.

Sums over draws are noisy. What matters is not the variance of ln L itself (Talbot & Golomb 2023,
MNRAS 526, 3495), which is given, but that of its differences over the posterior (Essick & Farr
2022, arXiv:2204.00461; Heinzel & Vitale 2025, arXiv:2509.07221): to first order it moves the mean
of a hyperparameter by its covariance with the error of ln L. That shift, in units of the
posterior's width, is limited.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_ndtr, logsumexp, ndtr

from lensmill import lensing
from lensmill.compiling import compiler
from lensmill.inference import importance
from lensmill.inference.compiling import kernel
from lensmill.lensing.distances import distances
from lensmill.pipeline.priors import inverse_cdf, log_density

LOGARITHMIC = ("lognormal", "truncated_lognormal", "log_uniform")
COSMOLOGY = ("h0", "omega_m", "lambda_mean", "lambda_scatter")
NO_SHEET = {"lambda_mean": ["fixed", 1.0], "lambda_scatter": ["fixed", 0.0]}

# Refusals. A shift of 0.25 standard deviations makes the true error 3 % larger than the one given.
MAX_SHIFT = 0.25
MIN_EFFECTIVE = 5.0  # draws that the answer of one system rests on
MIN_SELECTED = 4.0  # effective draws of the selection per system; Farr 2019, RNAAS 3, 66

ROUND = 2000  # draws of a round that the proposal learns from
ROUNDS = 12
LEARN = 40  # effective draws per dimension that it learns from; weights are flattened until then
ENOUGH = 0.35  # effective part of a round, and
MARGIN_K = 0.4  # its Pareto k, at which the proposal need learn no more
DRAWS = 4000  # of the answer
EFFECTIVE = 400.0  # of which it must rest on as many
TRIES = 4  # that the proposal learns from as well, if they are not good enough
TAIL = 4.0  # degrees of freedom of the proposal
POSTERIOR = 200  # of its draws, where the posterior is summed over: noise, prior of one system
UNITS = 7.9  # standard normal units; beyond, uniform numbers in float64 are 0 or 1
BLOCK = 4096  # draws at a time: they stay in the cache for all hyperparameters

summed = compiler(
    __file__, contains=[lensing.__file__], fastmath={"reassoc", "contract", "nsz"}
)  # sums in any order: several at a time
contracted = compiler(__file__, contains=[lensing.__file__], fastmath={"contract"})


class Refused(ValueError):
    """The draws are too few, or their noise too large, for an answer about these systems."""


class Systems(NamedTuple):
    """Posteriors of ``n`` systems under the interim prior: draws, one system after the other.

    The draws of a system are independent, and equally probable but for ``ln_weight``.
    """

    first: NDArray  # (n + 1,) row of each system's first draw, and the number of rows
    parameters: Mapping[str, NDArray]  # (rows,) those of the interim prior
    d_dt: NDArray  # (rows,) distance that the delays ask for, given the lens [Mpc]
    d_dt_error: NDArray  # (rows,) its standard deviation [Mpc]; inf without a delay
    ln_marginal: NDArray  # (rows,) ln of int exp(-(D - d_dt)^2 / 2 d_dt_error^2) p_interim(D) dD
    z_lens: NDArray  # (n,)
    z_source: NDArray  # (n,)
    ln_weight: NDArray | None = None  # (rows,) of a draw, where they are not equally probable
    group: NDArray | None = None  # (n,) which selection a system passed; None: all the first


class Selection(NamedTuple):
    """Lenses drawn from the interim prior: those that would have been in the sample.

    One for each kind of sample (quads, doubles), whose numbers say nothing of the population.
    """

    parameters: Mapping[str, NDArray]  # (found,)
    drawn: int  # the others included


class Answer(NamedTuple):
    """Posterior of a population with ``p`` free hyperparameters, from ``n`` systems."""

    values: dict[str, NDArray]  # (m,) draws of each hyperparameter, fixed ones too
    weight: NDArray  # (m,) sum 1
    ln_p: NDArray  # (m, n) marginal likelihood of each system
    ln_alpha: NDArray  # (m, groups) part of the population that is selected; 0 without a selection
    k: float  # Pareto shape of the weights
    effective: float  # effective number of draws
    draws_used: NDArray  # (n,) effective draws of each system, over the posterior
    selection_used: NDArray  # (groups,) the same of the selections; inf without one
    shift: dict[str, float]  # by finite draws, of each free hyperparameter [standard deviation]
    variance: float  # of ln L by finite draws, mean over the posterior
    contribution: NDArray  # (n,) of each system to the largest shift, squared


class _Prepared(NamedTuple):
    """Draws as the kernels read them: float32, in the coordinates in which a prior is normal."""

    first: NDArray
    y: NDArray  # (parameters, rows)
    constant: NDArray  # (rows,) ln of all factors that the hyperparameters do not change
    u: NDArray  # (rows,) d_dt / d_dt_error
    v: NDArray  # (rows,) 1 / d_dt_error


class Model(NamedTuple):
    """Which hyperparameters there are, their priors, and the draws prepared for them."""

    parameters: tuple[str, ...]  # of lenses, that the population may move
    limits: NDArray  # (parameters, 2) of their support, in the coordinates of the kernels
    logarithmic: tuple[bool, ...]
    priors: dict[str, list]
    free: tuple[str, ...]  # hyperparameters that are not fixed
    z_lens: NDArray
    z_source: NDArray
    systems: _Prepared
    selection: _Prepared | None  # one group after the other
    drawn: NDArray  # (groups,)
    group: NDArray  # (n,)


# --- kernels: ln of a sum of exponentials for many draws and hyperparameters

MAGIC = np.float32(12582912.0)  # 1.5 * 2^23: added to a float32, it leaves its nearest integer
MAGIC_BITS = np.int32(0x4B400000 - 127)
LOG2_E = np.float32(1.4426950408889634)
LOWEST = np.float32(-126.0)  # powers of two that float32 has
ONE, HALF = np.float32(1.0), np.float32(0.5)
# Taylor series of 2^f, |f| <= 1/2: good to 2e-7
C1, C2, C3, C4, C5, C6 = (
    np.float32(np.log(2) ** n / f) for n, f in enumerate((1, 2, 6, 24, 120, 720), 1)
)


@contracted
def _add_normal(out, y, mean, inverse_sd):
    for s in range(out.size):
        z = (y[s] - mean) * inverse_sd
        out[s] -= HALF * z * z


@contracted
def _add_delay(out, factor, u, v, d, variance):
    for s in range(out.size):
        factor[s] = ONE / (ONE + variance * v[s] * v[s])
    for s in range(out.size):
        r = d * v[s] - u[s]
        out[s] -= HALF * r * r * factor[s]
    for s in range(out.size):
        factor[s] = np.sqrt(factor[s])


@kernel
def _largest(x, work):
    """Largest element, by halves, which a processor does many at a time."""
    n = x.size
    work[:n] = x
    while n > 1:
        half = n // 2
        upper = work[n - half : n]
        lower = work[:half]
        for s in range(half):
            lower[s] = lower[s] if lower[s] > upper[s] else upper[s]
        n -= half
    return work[0]


@kernel
def _exponential(x, top, work, bits):
    """Replace x by exp(x - top), to 3e-7; ``bits`` is ``work`` read as integers."""
    for s in range(x.size):
        power = max((x[s] - top) * LOG2_E, LOWEST)
        shifted = power + MAGIC
        work[s] = shifted
        f = power - (shifted - MAGIC)
        p = C6 * f + C5
        p = p * f + C4
        p = p * f + C3
        p = p * f + C2
        p = p * f + C1
        x[s] = p * f + ONE
    for s in range(x.size):
        bits[s] = (bits[s] - MAGIC_BITS) << np.int32(23)
    for s in range(x.size):
        x[s] *= work[s]


@summed
def _sums(x, factor):
    first, second = np.float32(0.0), np.float32(0.0)
    for s in range(x.size):
        e = x[s] * factor[s]
        first += e
        second += e * e
    return first, second


@kernel
def _fill(out, factor, rows, y, constant, u, v, mean, inverse_sd, d, variance):
    a, b = rows
    out[:] = constant[a:b]
    for j in range(mean.size):
        _add_normal(out, y[j, a:b], mean[j], inverse_sd[j])
    _add_delay(out, factor, u[a:b], v[a:b], d, variance)


@kernel
def _marginals(first, y, constant, u, v, mean, inverse_sd, d, variance):
    """Logarithm of the sum over draws, and effective draws, shape (m, n)."""
    m, n = d.shape
    ln_sum, effective = np.full((m, n), -np.inf), np.zeros((m, n))
    space, more, spare = (
        np.empty(BLOCK, np.float32),
        np.empty(BLOCK, np.float32),
        np.empty(BLOCK, np.float32),
    )
    integers = spare.view(np.int32)
    square = np.empty(m)
    for i in range(n):
        square[:] = 0.0
        for a in range(first[i], first[i + 1], BLOCK):
            b = min(a + BLOCK, first[i + 1])
            out, factor, work, bits = (
                space[: b - a],
                more[: b - a],
                spare[: b - a],
                integers[: b - a],
            )
            for j in range(m):
                _fill(
                    out, factor, (a, b), y, constant, u, v, mean[j], inverse_sd[j], d[j, i],
                    variance[j, i],
                )  # fmt: skip
                top = _largest(out, work)
                _exponential(out, top, work, bits)
                one, two = _sums(out, factor)
                here = top + np.log(np.float64(one))
                total = max(here, ln_sum[j, i])
                total += np.log(np.exp(here - total) + np.exp(ln_sum[j, i] - total))
                # second moments are kept in units of the square of the sum
                square[j] *= np.exp(2 * (ln_sum[j, i] - total))
                square[j] += np.float64(two) / np.float64(one) ** 2 * np.exp(2 * (here - total))
                ln_sum[j, i] = total
        for j in range(m):
            effective[j, i] = 1.0 / square[j]
    return ln_sum, effective


@kernel
def _responses(first, y, constant, u, v, mean, inverse_sd, d, variance, ln_sum, x):
    """Sum over draws of the square of their share times x, averaged over m: shape (n, columns)."""
    m, n = d.shape
    columns = x.shape[1]
    total = np.zeros((n, columns))
    space, more, spare = (
        np.empty(BLOCK, np.float32),
        np.empty(BLOCK, np.float32),
        np.empty(BLOCK, np.float32),
    )
    integers = spare.view(np.int32)
    response = np.empty((columns, BLOCK))
    for i in range(n):
        for a in range(first[i], first[i + 1], BLOCK):
            b = min(a + BLOCK, first[i + 1])
            out, factor = space[: b - a], more[: b - a]
            response[:] = 0.0
            for j in range(m):
                _fill(
                    out, factor, (a, b), y, constant, u, v, mean[j], inverse_sd[j], d[j, i],
                    variance[j, i],
                )  # fmt: skip
                _exponential(out, np.float32(ln_sum[j, i]), spare[: b - a], integers[: b - a])
                for column in range(columns):
                    row = response[column]
                    weight = x[j, column] / m
                    for s in range(b - a):
                        row[s] += weight * out[s] * factor[s]
            for column in range(columns):
                for s in range(b - a):
                    total[i, column] += response[column, s] ** 2
    return total


# --- model


def prepare(
    systems: Systems,
    interim: Mapping[str, list],
    hyperpriors: Mapping[str, list],
    selections: Sequence[Selection] = (),
) -> Model:
    """Make the model of a population of the interim prior's kind, moved and widened.

    Normal kinds and ``uniform`` become a truncated normal with the hyperparameters ``<name>_mean``
    and ``<name>_scatter``; logarithmic kinds a truncated lognormal with ``<name>_median`` and
    ``<name>_scatter`` [dex]; within the limits of the interim prior, and independent of each other.
    What the interim prior fixes stays fixed.

    Parameters
    ----------
    systems : Systems
    interim : mapping
        Prior of each parameter of a lens under which the systems were analysed.
    hyperpriors : mapping
        Prior of each hyperparameter: those above, ``h0`` [km / (Mpc s)], ``omega_m``, and for an
        internal mass sheet ``lambda_mean``, ``lambda_scatter`` (1 and 0 if left out).
        ``[fixed, x]`` leaves one out.
    selections : sequence of Selection
        Draws from the interim prior, one for each group of systems; without any the sample is that
        of the whole population.

    Raises
    ------
    ValueError
        Naming the hyperparameter that is missing or unknown, or the draw that cannot be.
    """
    parameters = tuple(name for name, prior in interim.items() if prior[0] != "fixed")
    logarithmic = tuple(interim[name][0] in LOGARITHMIC for name in parameters)
    needed = [
        f"{name}_{what}"
        for name, log in zip(parameters, logarithmic, strict=True)
        for what in ("median" if log else "mean", "scatter")
    ] + list(COSMOLOGY)
    priors = NO_SHEET | dict(hyperpriors)
    missing, unknown = [h for h in needed if h not in priors], sorted(priors.keys() - set(needed))
    if missing or unknown:
        raise ValueError(
            f"the hyperparameters of this interim prior are {', '.join(needed)}: "
            + "; ".join(
                f"{what} {', '.join(names)}"
                for what, names in (("without a prior", missing), ("not one of them", unknown))
                if names
            )
        )
    limits = np.array(
        [_coordinate(inverse_cdf(interim[p], [0.0, 1.0]), interim[p]) for p in parameters]
    )
    _refuse_draws(systems)
    n = len(systems.z_lens)
    group = np.zeros(n, int) if systems.group is None else np.asarray(systems.group, int)
    if group.min() < 0 or group.max() >= max(len(selections), 1):
        raise ValueError(
            f"groups of systems run from {group.min()} to {group.max()}, but there are "
            f"{len(selections)} selections, counted from 0"
        )
    injected = None
    if selections:
        found = [len(next(iter(one.parameters.values()))) for one in selections]
        for number, one in zip(found, selections, strict=True):
            if not 0 < number <= one.drawn:
                raise ValueError(
                    f"the selection has {number} lenses found of {one.drawn} drawn; at least one "
                    "and at most all can be"
                )
        together = {
            name: np.concatenate([one.parameters[name] for one in selections]) for name in interim
        }
        nothing = np.zeros(sum(found))
        rows = np.cumsum([0, *found])
        injected = _prepare(rows, together, nothing, nothing, nothing, interim, "selection")
    constant = -np.asarray(systems.ln_marginal, float)
    weight = np.zeros_like(constant) if systems.ln_weight is None else systems.ln_weight
    counts = np.diff(systems.first)
    normal = np.logaddexp.reduceat(weight, systems.first[:-1])
    precision = 1 / np.asarray(systems.d_dt_error, float)
    centre = np.where(precision > 0, systems.d_dt, 0) * precision
    return Model(
        parameters,
        limits.reshape(-1, 2),
        logarithmic,
        priors,
        tuple(h for h in needed if priors[h][0] != "fixed"),
        np.asarray(systems.z_lens, float),
        np.asarray(systems.z_source, float),
        _prepare(
            systems.first,
            systems.parameters,
            constant + weight - np.repeat(normal, counts),
            centre,
            precision,
            interim,
            "draws",
        ),
        injected,
        np.array([one.drawn for one in selections] or [1]),
        group,
    )


def _refuse_draws(systems: Systems) -> None:
    rows = len(systems.d_dt)
    counts = np.diff(systems.first)
    if systems.first[0] != 0 or systems.first[-1] != rows or (counts <= 0).any():
        raise ValueError(
            f"first must rise from 0 to the {rows} rows, one row at least for each system: "
            f"it is {np.array2string(np.asarray(systems.first), threshold=6)}"
        )
    bad = ~(np.asarray(systems.d_dt_error) > 0) | ~np.isfinite(systems.ln_marginal)
    bad |= ~np.isfinite(systems.d_dt) & np.isfinite(systems.d_dt_error)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"{bad.sum()} of {rows} draws cannot be used (first: row {row}, of system "
            f"{np.searchsorted(systems.first, row, side='right') - 1}): d_dt = "
            f"{systems.d_dt[row]:g} Mpc and ln_marginal = {systems.ln_marginal[row]:g} must be "
            f"finite, d_dt_error = {systems.d_dt_error[row]:g} Mpc above 0 (inf: no delay)"
        )


def _coordinate(x: NDArray, prior: list) -> NDArray:
    """Turn a parameter into the coordinate in which its population is normal."""
    if prior[0] not in LOGARITHMIC:
        return np.asarray(x, float)
    with np.errstate(divide="ignore"):
        return np.log10(x)


def _prepare(
    first: NDArray,
    parameters: Mapping[str, NDArray],
    constant: NDArray,
    u: NDArray,
    v: NDArray,
    interim: Mapping[str, list],
    what: str,
) -> _Prepared:
    columns = []
    constant = constant.copy()
    for name, prior in interim.items():
        x = np.asarray(parameters[name], float)
        density = log_density(prior, x)
        if not np.isfinite(density).all():
            row = int(np.argmin(np.isfinite(density)))
            low, high = inverse_cdf(prior, [0.0, 1.0])
            raise ValueError(
                f"{what}: {name} = {x[row]:g} (row {row}) cannot come from its interim prior "
                f"{prior}, which lies within {low:g} ... {high:g}; give the prior it was drawn from"
            )
        if prior[0] != "fixed":
            y = _coordinate(x, prior)
            columns.append(y)
            # densities per unit of the coordinate
            constant -= density + (np.log(x * np.log(10)) if prior[0] in LOGARITHMIC else 0)
    y = np.stack(columns) if columns else np.zeros((0, len(constant)))
    single = (np.ascontiguousarray(a, np.float32) for a in (y, constant, u, v))
    return _Prepared(np.asarray(first, np.int64), *single)


def transform(model: Model, z: NDArray) -> dict[str, NDArray]:
    """Hyperparameters of points (m, free) whose prior is the standard normal: name to (m,)."""
    u = ndtr(np.clip(z, -UNITS, UNITS))
    column = {name: u[:, j] for j, name in enumerate(model.free)}
    some = np.full(len(z), 0.5)
    return {name: inverse_cdf(p, column.get(name, some)) for name, p in model.priors.items()}


def log_likelihood(
    model: Model, values: Mapping[str, NDArray]
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Logarithm of the marginal likelihood of each system for ``m`` values of hyperparameters.

    Returns
    -------
    ln_p : array, shape (m, n)
        Of each system, before selection.
    effective : array, shape (m, n)
        Effective number of its draws.
    ln_alpha, effective_selection : array, shape (m, groups)
        Part of the population that is selected, and effective draws behind it; 0 and inf without
        a selection. ln L is ``(ln_p - ln_alpha[:, group]).sum(axis=1)``.
    """
    density, ln_norm = _densities(model, values)
    ln_p, effective = _marginals(*model.systems, *density, *_distances(model, values))
    ln_p += ln_norm[:, None]
    m = len(ln_norm)
    groups = len(model.drawn)
    if model.selection is None:
        return ln_p, effective, np.zeros((m, groups)), np.full((m, groups), np.inf)
    nothing = np.zeros((m, groups), np.float32)
    ln_sum, used = _marginals(*model.selection, *density, nothing, nothing)
    return ln_p, effective, ln_sum + ln_norm[:, None] - np.log(model.drawn), used


def _densities(
    model: Model, values: Mapping[str, NDArray]
) -> tuple[tuple[NDArray, NDArray], NDArray]:
    """Return means and inverse scatters (m, parameters), and the ln of all normalisations (m,)."""
    m = len(values["h0"])
    mean, inverse = (np.zeros((m, len(model.parameters))) for _ in range(2))
    ln_norm = np.zeros(m)
    for j, (name, log) in enumerate(zip(model.parameters, model.logarithmic, strict=True)):
        scatter = values[f"{name}_scatter"]
        mean[:, j] = np.log10(values[f"{name}_median"]) if log else values[f"{name}_mean"]
        inverse[:, j] = 1 / scatter
        low, high = ((limit - mean[:, j]) / scatter for limit in model.limits[j])
        ln_norm -= np.log(scatter) + 0.5 * np.log(2 * np.pi) + _log_between(low, high)
    return (mean.astype(np.float32), inverse.astype(np.float32)), ln_norm


def _log_between(low: NDArray, high: NDArray) -> NDArray:
    """Logarithm of the probability of a standard normal number between two limits."""
    flip = low > 0  # in the lower tail, where small differences have all their digits
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    top = log_ndtr(high)
    return top + np.log1p(-np.exp(log_ndtr(low) - top))


def _distances(model: Model, values: Mapping[str, NDArray]) -> tuple[NDArray, NDArray]:
    """Return what the delays are compared with, and the variance by the sheet: (m, n)."""
    columns = (np.asarray(values[name])[:, None] for name in COSMOLOGY)
    h0, omega_m, sheet, scatter = columns
    d = distances(model.z_lens, model.z_source, h0, omega_m)[3]
    return (d * sheet).astype(np.float32), ((d * scatter) ** 2).astype(np.float32)


# --- inference


def infer(model: Model, rng: np.random.Generator) -> Answer:
    """Sample the posterior of the hyperparameters, and refuse an answer that finite draws made.

    Raises
    ------
    Refused
        As `sample`; and if a system or the selection rests on too few draws, or if their noise
        would move the posterior.
    """
    answer = sample(model, rng)
    _refuse_noise(model, answer)
    return answer


def sample(model: Model, rng: np.random.Generator) -> Answer:
    """Sample the posterior of the hyperparameters, whatever the noise of finite draws.

    From the mode and the curvature there, a mixture of Student distributions learns the shape of
    the posterior; the answer are weighted draws from it.

    Raises
    ------
    Refused
        If the weights of the draws have no finite variance (Pareto k).
    """

    def target(z: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        ln_p, _, ln_alpha, _ = log_likelihood(model, transform(model, z))
        total = (ln_p - ln_alpha[:, model.group]).sum(axis=1) - 0.5 * (z**2).sum(axis=1)
        return np.where(np.isfinite(total), total, -np.inf), ln_p, ln_alpha

    d = len(model.free)
    proposal = _start(lambda z: target(z)[0], d)
    for _ in range(ROUNDS):
        z = importance.draw(proposal, ROUND, rng)
        ln_w = target(z)[0] - importance.log_density(proposal, z)
        if (
            importance.effective_size(ln_w) > ENOUGH * ROUND
            and importance.pareto_k(ln_w) < MARGIN_K
        ):
            break
        proposal = importance.adapt(proposal, z, _flattened(ln_w, LEARN * d))
    for _ in range(TRIES):
        z = importance.draw(proposal, DRAWS, rng)
        ln_w, ln_p, ln_alpha = target(z)
        ln_w -= importance.log_density(proposal, z)
        k, effective = importance.pareto_k(ln_w), importance.effective_size(ln_w)
        if k < importance.GOOD_K and effective > EFFECTIVE:
            break
        proposal = importance.adapt(proposal, z, _flattened(ln_w, LEARN * d))
    else:
        raise Refused(
            f"the posterior of {', '.join(model.free)} was not found: the weights of its {DRAWS} "
            f"draws have Pareto k = {k:.2f} (below {importance.GOOD_K} is needed) and an effective "
            f"number of {effective:.0f} (above {EFFECTIVE:.0f} is needed); it may have several "
            "modes, or rest on too few draws of the systems: fix a hyperparameter, or give "
            "narrower hyperpriors"
        )
    values = transform(model, z)
    weight = np.exp(ln_w - logsumexp(ln_w))
    noise = _noise(model, values, ln_w, rng)
    return Answer(values, weight, ln_p, ln_alpha, k, effective, *noise)


def _flattened(ln_w: NDArray, least: float) -> NDArray:
    """Flatten weights, by a power of them, to an effective number of ``least`` or as they are."""
    low, high = 0.0, 1.0
    if importance.effective_size(ln_w) >= least:
        return ln_w
    finite = ln_w > -np.inf
    for _ in range(30):
        power = (low + high) / 2
        enough = importance.effective_size(power * ln_w[finite]) >= min(least, finite.sum() / 2)
        low, high = (power, high) if enough else (low, power)
    return np.where(finite, low * np.where(finite, ln_w, 0), -np.inf)


def _start(log_target: Callable[[NDArray], NDArray], d: int) -> importance.Mixture:
    """Return a proposal about the mode: Student distributions of its curvature, and the prior."""

    def slope(z: NDArray) -> NDArray:
        steps = 2e-3 * np.eye(d)
        values = log_target(np.concatenate([z + steps, z - steps]))
        return (values[:d] - values[d:]) / 4e-3

    found = minimize(
        lambda z: -log_target(z[None])[0],
        np.zeros(d),
        jac=lambda z: -slope(z),
        method="BFGS",
        options={"gtol": 0.05, "maxiter": 200},
    )
    # second differences over a good part of the width that the search has found
    width = np.linalg.cholesky(found.hess_inv + 1e-8 * np.eye(d))
    step = 0.5 * width
    up = found.x + step.T
    down = found.x - step.T
    pairs = np.stack(np.tril_indices(d, -1), axis=1)
    both = found.x + step.T[pairs[:, 0]] + step.T[pairs[:, 1]]
    values = log_target(np.concatenate([found.x[None], up, down, both]))
    centre, up, down, both = np.split(values, np.cumsum([1, d, d]))
    curvature = np.diag(2 * centre - up - down)
    for (i, j), value in zip(pairs, both, strict=True):
        # mixed part, from a square with one corner at the mode
        mixed = up[i] + up[j] - centre[0] - value
        curvature[i, j] = curvature[j, i] = mixed
    scale, axes = np.linalg.eigh(curvature / 0.25)
    scale = np.clip(np.nan_to_num(scale, nan=1.0), 0.1, 10.0)  # in units of the width above
    factor = np.linalg.cholesky(width @ (axes / scale) @ axes.T @ width.T)
    shapes = np.stack([factor, 1.5 * factor, np.eye(d)])
    means = np.stack([found.x, found.x, np.zeros(d)])
    return importance.Mixture(np.array([0.65, 0.3, 0.05]), means, shapes, TAIL)


def _noise(
    model: Model, values: Mapping[str, NDArray], ln_w: NDArray, rng: np.random.Generator
) -> tuple[NDArray, NDArray, dict[str, float], float, NDArray]:
    """Measure how finite draws blur ln L: the last five fields of `Answer`.

    With the share W_s of draw s in the sum of its system, ln p_i has the variance
    sum_s W_s^2 - 1 / S, and the mean of a hyperparameter x moves by the variance
    sum_s cov(W_s, x)^2, the covariance over the posterior; the selection adds n^2 times as much.
    """
    rows = importance.resample(ln_w, POSTERIOR, rng)
    some = {name: column[rows] for name, column in values.items()}
    density, _ = _densities(model, some)
    x = np.stack([some[name] for name in model.free], axis=1)
    x = (x - x.mean(axis=0)) / x.std(axis=0)

    def measure(draws: _Prepared, *delay: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        ln_sum, effective = _marginals(*draws, *density, *delay)
        square = (1 / effective).mean(axis=0)
        moved = _responses(*draws, *density, *delay, ln_sum, x)
        return 1 / square, square - 1 / np.diff(draws.first), moved

    used, each, moved = measure(model.systems, *_distances(model, some))
    total, variance = moved.sum(axis=0), float(each.sum())
    found = np.full(len(model.drawn), np.inf)
    if model.selection is not None:
        nothing = np.zeros((POSTERIOR, len(model.drawn)), np.float32)
        found, its_variance, its_moved = measure(model.selection, nothing, nothing)
        counts = np.bincount(model.group, minlength=len(found)) ** 2
        total = total + counts @ its_moved
        variance += float(counts @ its_variance)
    shift = dict(zip(model.free, np.sqrt(total).tolist(), strict=True))
    return used, found, shift, variance, moved[:, int(total.argmax())]


def _refuse_noise(model: Model, answer: Answer) -> None:
    counts = np.diff(model.systems.first)
    where = ", ".join(
        f"{name} {quantile(answer, name, 0.5):.3g}" for name in model.free if name not in COSMOLOGY
    )
    remedy = f"draw more, or under an interim prior nearer to the population found ({where})"
    n = len(counts)
    members = np.bincount(model.group, minlength=len(model.drawn))
    for group in np.flatnonzero(members * MIN_SELECTED > answer.selection_used):
        raise Refused(
            f"selection {group} rests on {answer.selection_used[group]:.0f} effective draws, but "
            f"its {members[group]} systems need {MIN_SELECTED * members[group]:.0f} "
            f"({MIN_SELECTED:g} each): {remedy}"
        )

    def some(systems: NDArray) -> str:
        names = (f"{i} ({answer.draws_used[i]:.1f} of {counts[i]})" for i in systems[:8])
        return ", ".join(names) + (", ..." if len(systems) > 8 else "")

    few = np.flatnonzero(answer.draws_used < MIN_EFFECTIVE)
    if len(few):
        raise Refused(
            f"{len(few)} of {n} systems rest on fewer than {MIN_EFFECTIVE:g} effective draws: "
            f"{some(few)}; {remedy}, or leave them out"
        )
    name = max(answer.shift, key=answer.shift.__getitem__)
    if answer.shift[name] > MAX_SHIFT:
        raise Refused(
            f"finite draws move {name} by {answer.shift[name]:.2f} of its error; at most "
            f"{MAX_SHIFT:g} is permitted. Most by the systems (effective draws) "
            f"{some(np.argsort(-answer.contribution)[:8])}; {remedy}"
        )


# --- what the answer says


def quantile(answer: Answer, name: str, q: ArrayLike, weight: NDArray | None = None) -> NDArray:
    """Quantiles of a hyperparameter; with the weights of `leave_out`, without that system."""
    return weighted_quantile(answer.values[name], answer.weight if weight is None else weight, q)


def weighted_quantile(x: NDArray, weight: NDArray, q: ArrayLike) -> NDArray:
    """Quantiles ``q`` of weighted draws."""
    order = np.argsort(x)
    below = np.cumsum(weight[order])
    return np.interp(q, (below - 0.5 * weight[order]) / below[-1], x[order])


def leave_out(model: Model, answer: Answer, i: int) -> tuple[NDArray, float]:
    """Weights of the draws of the population as it is known without system ``i``.

    Returns
    -------
    weight : array, shape (m,)
        Sum 1.
    k : float
        Pareto shape; above `importance.GOOD_K` the system says too much to be left out afterwards.
    """
    ln_w = np.log(np.maximum(answer.weight, 1e-300)) - answer.ln_p[:, i]
    ln_w += answer.ln_alpha[:, model.group[i]]
    return np.exp(ln_w - logsumexp(ln_w)), importance.pareto_k(ln_w)


def reweight(
    model: Model, systems: Systems, answer: Answer, i: int, rng: np.random.Generator
) -> NDArray:
    """Weights of the draws of system ``i`` with the population of all others as its prior.

    The prior of its distance stays the interim one: the others say what a lens is, not what H0 is.

    Returns
    -------
    array, shape (draws of the system,)
        Sum 1.
    """
    without, _ = leave_out(model, answer, i)
    rows = importance.resample(np.log(np.maximum(without, 1e-300)), POSTERIOR, rng)
    some = {name: column[rows] for name, column in answer.values.items()}
    (mean, inverse), ln_norm = _densities(model, some)
    own = slice(*model.systems.first[i : i + 2])
    # what the delays say of a draw under the interim prior of the distance is in the draws already
    constant = model.systems.constant[own] + np.asarray(systems.ln_marginal)[own]
    ln_ratio = constant + (ln_norm - answer.ln_alpha[rows, model.group[i]])[:, None]
    for j, y in enumerate(model.systems.y[:, own]):
        ln_ratio -= 0.5 * ((y - mean[:, j : j + 1]) * inverse[:, j : j + 1]) ** 2
    weight = np.exp(ln_ratio - ln_ratio.max()).sum(axis=0)
    return weight / weight.sum()
