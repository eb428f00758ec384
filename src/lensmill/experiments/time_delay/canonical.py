"""Systems as the `canonical` networks see them, and their answers carried back to the sky.

What goes in and what comes out does not change when a lens is turned, mirrored, moved, its images
relabelled, or scaled (angles by s, delays by s^2). What comes out is the least that fixes an
answer; the rest follows from the lens equation and the time-delay equation:

    alpha_i = theta_i - beta
    psi_i   = |alpha_i|^2 / 2 - tau_i,    tau_i = tau_1 + c dt_i / D_dt

so a network gives ln D_dt, the source beta and the mean of psi over the images; where positions
and delays are noisy, also the true ones, in units of their errors from the observed ones.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.time_delay import frames, isothermal
from lensmill.experiments.time_delay.observe import Observed, Truth
from lensmill.learning import regression
from lensmill.lensing.distances import distances, time_delay

# Redshifts reach the network also as the D_dt they stand for in a fiducial universe; a network
# learns the ratio of the true one to it, so the values here fix no answer.
FIDUCIAL_H0 = 70.0  # km / (Mpc s)
FIDUCIAL_OMEGA_M = 0.3

DAYS_PER_MPC_ARCSEC2 = float(time_delay(1.0, 1.0))
BLUR = 0.2  # in units of an observation's error: makes posteriors of residuals 2 % wider
SMALLEST_RATIO = 1e-6  # of a delay to the longest one, where logarithms are taken
SMALLEST_ERROR = 1e-6  # in the frame: no astrometry or clock is better


class View(NamedTuple):
    """How a network sees systems."""

    use_delays: bool = True  # without them it cannot know D_dt better than its prior: the control
    errors: bool = False  # it is given the errors and what is missing; there must be noise
    ellipticity: float = isothermal.ROUND  # prior of the first guess, made where errors are given


class Arranged(NamedTuple):
    """Observations in the canonical frame, images in its order."""

    frame: frames.Frame
    position: NDArray  # (n, k, 2)
    position_error: NDArray  # (n, k)
    delay: NDArray  # (n, k), in ``unit``; the first is 0
    delay_error: NDArray  # (n, k), in ``unit``
    measured: NDArray  # (n, k), bool
    unit: NDArray  # (n,) the longest delay and its error, in quadrature [day]
    ln_unit: NDArray  # (n,) ln of the D_dt [Mpc] at which that is tau = 1 in the frame
    guess: isothermal.Guess | None


class Answer(NamedTuple):
    """Answers on the sky, rows in the order of the file; ``S`` draws or 1 each."""

    ln_d_dt: NDArray  # (n, S), D_dt in Mpc
    potential: NDArray  # (n, k, S) [arcsec^2]
    deflection: NDArray  # (n, k, 2, S) [arcsec]


def arranged(observed: Observed, view: View) -> Arranged:
    """Bring observations to the canonical frame; without delays the frame ignores them too."""
    measured = (
        observed.delay_measured if view.use_delays else np.zeros_like(observed.delay_measured)
    )
    frame = frames.find(
        observed.position,
        observed.delay,
        measured,
        observed.lens_position,
        observed.lens_known,
    )
    order, scale = frame.order, frame.scale
    measured = frames.arrange(measured, order)
    delay = frames.arrange(observed.delay, order)
    delay_error = frames.arrange(observed.delay_error, order)
    if view.use_delays:
        # Noise can make another image than the observer's reference, the one without an error,
        # the first: their places swap, and with them the error of the delay between the two.
        delay = np.where(measured, delay - delay[:, :1], 0.0)
        rows = np.arange(len(scale))
        reference = np.where(measured, delay_error, np.inf).argmin(axis=1)
        delay_error[rows, reference] = delay_error[:, 0]
        delay_error[:, 0] = 0.0
        # A delay lost in its noise is no unit: its error then sets the unit.
        last = np.where(measured, delay, -1.0).argmax(axis=1)
        unit = np.hypot(delay[rows, last], delay_error[rows, last])
        unit = np.where(unit > 0, unit, delay_error.max(axis=1))  # all delays measured as 0
    else:
        unit = np.ones(len(scale))
    if not (unit > 0).all():
        i = int(np.argmin(unit > 0))
        raise ValueError(f"system {observed.index[i]} has no measured delay between its images")
    position = frames.to_frame(observed.position, frame)
    position_error = frames.arrange(observed.position_error, order) / scale[:, None]
    delay, delay_error = delay / unit[:, None], delay_error / unit[:, None]
    ln_unit = np.log(unit / (DAYS_PER_MPC_ARCSEC2 * scale**2))
    guess = None
    if _guesses(position.shape[1], view):
        guess = isothermal.fit(
            position, position_error, delay, delay_error, measured, view.ellipticity
        )
    return Arranged(
        frame=frame,
        position=position,
        position_error=position_error,
        delay=delay,
        delay_error=delay_error,
        measured=measured,
        unit=unit,
        ln_unit=ln_unit,
        guess=guess,
    )


def _guesses(n_images: int, view: View) -> bool:
    """Return whether a guess is made; two images cannot disagree with one."""
    return view.errors and n_images > 2


def feature_names(n_images: int, view: View) -> list[str]:
    """Names of the columns that `features` returns."""
    later = range(2, n_images + 1)
    names = ["x1", *(f"{axis}{i}" for i in later for axis in "xy"), "z_lens", "z_source"]
    names += ["ln_fiducial"]
    if view.use_delays:
        names += ["ln_unit_over_fiducial", *(f"delay{i}" for i in later)]
        names += [f"ln_delay{i}" for i in later]
    if view.errors:
        names += [f"ln_position_error{i}" for i in range(1, n_images + 1)]
        names += ["lens_known", "ln_lens_error"]
        if view.use_delays:
            names += [f"ln_delay_error{i}" for i in later] + [f"measured{i}" for i in later]
    if _guesses(n_images, view):
        names += [f"guess_{name}" for name in isothermal.PARAMETERS]
        names += [f"residual_{axis}{i}" for i in range(1, n_images + 1) for axis in "xy"]
        names += [f"guess_fermat{i}" for i in later]
        if view.use_delays:
            names += ["guess_over_fiducial", "ln_guess_width"]
            names += [f"residual_delay{i}" for i in later]
    return names


def features(observed: Observed, view: View, a: Arranged | None = None) -> NDArray:
    """Return what a network is given: (n, len(feature_names(...))), float64.

    Parameters
    ----------
    observed : Observed
        Two images or more; if delays are used at least one measured delay per system.
    view : View
    a : Arranged, optional
        ``arranged(observed, view)``, where it is at hand.
    """
    a = a or arranged(observed, view)
    fiducial = _ln_fiducial(observed)
    n = len(fiducial)
    columns = [a.position[:, 0, :1], a.position[:, 1:].reshape(n, -1)]
    columns += [observed.z_lens[:, None], observed.z_source[:, None], fiducial[:, None]]
    measured = a.measured[:, 1:]
    if view.use_delays:
        ratio = np.where(measured, a.delay[:, 1:], 0.0)
        logarithm = np.where(measured, np.log(np.maximum(ratio, SMALLEST_RATIO)), 0.0)
        columns += [(a.ln_unit - fiducial)[:, None], ratio, logarithm]
    if view.errors:
        lens_error = np.where(observed.lens_known, observed.lens_error / a.frame.scale, 1.0)
        columns += [_log(a.position_error), observed.lens_known[:, None], _log(lens_error)[:, None]]
        if view.use_delays:
            delay_error = np.where(measured, a.delay_error[:, 1:], 1.0)
            columns += [_log(delay_error), measured]
    if a.guess is not None:
        residual = np.arcsinh(a.guess.residual).reshape(n, -1)
        columns += [a.guess.parameters, residual, a.guess.fermat[:, 1:]]
        if view.use_delays:
            ln_d_dt = a.ln_unit + a.guess.ln_rate
            columns += [(ln_d_dt - fiducial)[:, None], np.log(a.guess.ln_rate_error)[:, None]]
            columns += [np.arcsinh(a.guess.delay_residual[:, 1:])]
    return np.concatenate(columns, axis=1).astype(np.float64)


def _log(error: NDArray) -> NDArray:
    return np.log(np.maximum(error, SMALLEST_ERROR))


def n_targets(n_images: int, view: View) -> int:
    """Return the number of columns that `targets` returns."""
    late = n_images - 1 if view.errors or not view.use_delays else 0
    return 4 + (2 * n_images if view.errors else 0) + late


def targets(observed: Observed, truth: Truth, view: View, a: Arranged | None = None) -> NDArray:
    """Return what a network learns, in the frame of ``observed``: (n, n_targets), float64.

    Columns: ln D_dt, beta (2) and mean psi, less those of the guess where there is one (else ln
    D_dt less its unit, or without delays the fiducial one); with ``errors`` the true positions
    (2 k) and later delays (k - 1) less the observed ones in units of their errors. For a delay
    that is not measured, or not used, tau_i - tau_1 stands instead.
    """
    a = a or arranged(observed, view)
    n = len(a.unit)
    scale = a.frame.scale
    position = frames.to_frame(truth.position, a.frame)
    deflection = frames.turn(truth.deflection / scale[:, None, None], a.frame.axes)
    deflection = frames.arrange(deflection, a.frame.order)
    potential = truth.potential / scale[:, None] ** 2
    first = [np.log(truth.d_dt)[:, None], (position - deflection).mean(axis=1)]
    first += [potential.mean(axis=1)[:, None]]
    columns = [np.concatenate(first, axis=1) - _zero(a, observed, view)]
    if view.errors:
        moved = (position - a.position) / _position_error(a)[..., None]
        columns += [moved.reshape(n, -1)]
    if view.errors or not view.use_delays:
        true = frames.arrange(truth.delay, a.frame.order)
        true = (true - true[:, :1]) / a.unit[:, None]
        fermat = true * (np.exp(a.ln_unit) / truth.d_dt)[:, None]
        late = np.where(a.measured, (true - a.delay) / _delay_error(a), fermat)
        columns += [late[:, 1:]]
    return np.concatenate(columns, axis=1)


def blurred(y: NDArray, a: Arranged, rng: np.random.Generator) -> NDArray:
    """Blur the residuals among the targets a little, as training with errors needs.

    The family has fewer parameters than there are targets, so some directions in their space have
    no width at all; a network would spend all its effort on ever higher densities there.
    """
    n, k = a.delay.shape
    residuals = [np.zeros((n, 4)), np.ones((n, 2 * k)), a.measured[:, 1:]]
    return y + BLUR * np.concatenate(residuals, axis=1) * rng.standard_normal(y.shape)


def to_sky(draws: NDArray, observed: Observed, view: View) -> Answer:
    """Carry answers (n, S, n_targets), in the units of `targets`, back to the sky."""
    a = arranged(observed, view)
    n, k = a.delay.shape
    s = draws.shape[1]
    first = draws[..., :4] + _zero(a, observed, view)[:, None]
    ln_d_dt, beta, mean_potential = first[..., 0], first[..., None, 1:3], first[..., None, 3]
    position = a.position[:, None]
    late = np.zeros((n, 1, k))
    if view.errors:
        moved = draws[..., 4 : 4 + 2 * k].reshape(n, s, k, 2)
        position = position + moved * _position_error(a)[:, None, :, None]
    if view.errors or not view.use_delays:
        late = np.zeros((n, s, k))
        late[..., 1:] = draws[..., -(k - 1) :]
    delay = a.delay[:, None] + late * _delay_error(a)[:, None]
    timed = delay * np.exp(a.ln_unit[:, None] - ln_d_dt)[..., None]
    fermat = np.where(a.measured[:, None], timed, late)
    deflection = position - beta
    potential = 0.5 * (deflection**2).sum(axis=-1) - fermat
    potential += mean_potential - potential.mean(axis=-1, keepdims=True)

    scale = a.frame.scale
    deflection = frames.turn_back(deflection, a.frame.axes) * scale[:, None, None, None]
    potential = potential * scale[:, None, None] ** 2
    return Answer(
        ln_d_dt=ln_d_dt,
        potential=frames.restore(potential.transpose(0, 2, 1), a.frame.order),
        deflection=frames.restore(deflection.transpose(0, 2, 3, 1), a.frame.order),
    )


def _zero(a: Arranged, observed: Observed, view: View) -> NDArray:
    """Return what the first targets are counted from: (n, 4)."""
    zero = np.zeros((len(a.unit), 4))
    zero[:, 0] = a.ln_unit if view.use_delays else _ln_fiducial(observed)
    if a.guess is not None:
        if view.use_delays:
            zero[:, 0] += a.guess.ln_rate
        zero[:, 1:3] = a.guess.parameters[:, 3:5]
        zero[:, 3] = a.guess.mean_potential
    return zero


def _ln_fiducial(observed: Observed) -> NDArray:
    d_dt = distances(observed.z_lens, observed.z_source, FIDUCIAL_H0, FIDUCIAL_OMEGA_M)[3]
    return np.log(d_dt)


def _position_error(a: Arranged) -> NDArray:
    """Return the unit of a position's residual; where a position is exact the residual is 0."""
    return np.maximum(a.position_error, SMALLEST_ERROR)


def _delay_error(a: Arranged) -> NDArray:
    """Return the unit of a measured delay's residual; where it is exact the residual is 0."""
    return np.maximum(a.delay_error, SMALLEST_ERROR)


class Canonical:
    """Networks that see the canonical frame and give what fixes {phi_i, alpha_i} and D_dt.

    Parameters
    ----------
    settings, observation : mapping
        Of the network.
    """

    turns = False  # in its own frame a turned lens is the same

    def __init__(self, settings: Mapping[str, Any], observation: Mapping[str, Any]):
        self.images, self.errors = settings["images"], bool(observation)
        self.size = settings["width"], settings["blocks"]
        self.view = View(
            use_delays=settings["use_delays"],
            errors=self.errors,
            # only four images have it
            ellipticity=max(settings.get("guess_ellipticity", 0.0), isothermal.ROUND),
        )
        count = n_targets(self.images, self.view)
        self.head = regression.head(settings["head"], count, settings.get("components", 1))

    def names(self) -> list[str]:
        """Return the names of the features."""
        return feature_names(self.images, self.view)

    def features(self, observed: Observed) -> NDArray:
        """Return what a network is given, (n, F)."""
        return features(observed, self.view)

    def targets(self, observed: Observed, truth: Truth) -> NDArray:
        """Return what it shall give, (n, T)."""
        return targets(observed, truth, self.view)

    def examples(
        self, observed: Observed, truth: Truth, rng: np.random.Generator
    ) -> tuple[NDArray, NDArray]:
        """Return features and targets to learn from; with errors the targets are blurred."""
        a = arranged(observed, self.view)
        y = targets(observed, truth, self.view, a)
        if self.errors:
            y = blurred(y, a, rng)
        return features(observed, self.view, a), y

    def to_sky(self, answers: NDArray, observed: Observed) -> Answer:
        """Carry answers (n, S, T), in the units of the targets, to the sky."""
        return to_sky(answers, observed, self.view)

    def fixed(self) -> dict[str, Any]:
        """Return the settings that follow from others."""
        return {} if self.head.kind == "point" else {"components": self.head.components}

    def build(self, scaling: Mapping[str, Any], seed: int) -> Any:
        """Return the Keras model; ``scaling`` standardises the features."""
        from lensmill.learning import layers, models

        head = self.head
        standardise = layers.Standardise(**scaling)
        network = models.residual(standardise, len(scaling["mean"]), head.outputs, *self.size, seed)
        if head.components > 1:
            models.spread_components(network, head.components, head.targets, seed)
        return network
