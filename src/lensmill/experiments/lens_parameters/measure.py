"""A lens of one's own: from a cut-out and the image of a star to a posterior and a verdict.

A network gives the posterior. Whether to believe it is decided by how strange the image looks to
it, by a threshold that images of its own population have set, and by the sharpness of the image.
The image is then rendered anew with the mass of the posterior: a check by eye and by one number.
"""

import io
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import corner
import matplotlib.pyplot as plt
import numpy as np
from astropy.io import fits
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from numpy.typing import NDArray

from lensmill import plotting
from lensmill.experiments.lens_parameters import cutout, light_fit, network, parameters
from lensmill.experiments.lens_parameters.cutout import Cutout
from lensmill.experiments.lens_parameters.light_fit import Fit
from lensmill.experiments.lens_parameters.parameters import PARAMETERS
from lensmill.imaging import camera, noise
from lensmill.learning import posteriors, regression, runs, strangeness
from lensmill.lensing.solver import SLOPES
from lensmill.pipeline import provenance, store

DRAWS = 4000
TRIED = 24  # draws whose image is rendered beside that of the median
LEAST_Q, LARGEST_SHEAR = 0.1, 0.9  # of a mass that is rendered
IMPOSSIBLE = 0.01  # of the draws, from which it is said that no lens is like them
# ASSUME: the network learned one point-spread function, and bears others of nearly its width
PSF_DIFFERENCE = 0.2
NOISE_RATIO = 2.0  # of the sky to that of the training, either way, from which it is said
GOOD_CHI2 = 1.5  # per pixel, beyond which it is said that the model does not fit
AROUND = 2.0  # widths of the point-spread function around the lens galaxy and around points

INSIDE = "inside the training family"
OUTSIDE = "outside the training family: do not use"
NOT_JUDGED = "cannot be judged"

SHAPES = {"q": "", "phi": "rad", "shear": "", "shear_angle": "rad"}
ANGLES = ("phi", "shear_angle")
ALL = {**PARAMETERS, **SHAPES}
SAID = ("theta_e", "q", "phi", "slope", "gamma1", "gamma2", "lens_x", "lens_y")
SAID += ("source_x", "source_y")
LABELS = {
    "theta_e": r"$\theta_\mathrm{E}$ [arcsec]",
    "q": r"$q$",
    "phi": r"$\phi$ [rad]",
    "slope": r"slope $\gamma$",
    "gamma1": r"$\gamma_1$",
    "gamma2": r"$\gamma_2$",
    "source_x": r"$x_\mathrm{s}$ [arcsec]",
    "source_y": r"$y_\mathrm{s}$ [arcsec]",
}
LEVELS = (0.68, 0.95)
REACH = (0.2, 99.8)  # percentiles that an axis spans
UNITS = {
    "systems": {
        "index": "",
        "name": "",
        **{f"{p}_{part}": u for p, u in ALL.items() for part in regression.Summary._fields},
    },
    "draws": ALL,
    "mixtures": network.UNITS["mixtures"],
    strangeness.FEATURES: network.UNITS[strangeness.FEATURES],
    strangeness.TABLE: strangeness.UNITS[strangeness.TABLE],
}


class Judgement(NamedTuple):
    """Whether an image is like those that the network learned from."""

    verdict: str
    reasons: tuple[str, ...]  # against it
    strangeness: float
    family: dict[str, float]  # `strangeness.judge_family`; empty if it is not known
    psf: list[tuple[float, float]]  # width of the image's and of the training's, by band [arcsec]
    sky: list[tuple[float, float]]  # likewise, noise of the sky [electron / s]


def measure_image(
    given: Mapping[str, Any],
    models: Sequence[str],
    trainings: Sequence[str],
    family: str,
    scores: str,
    posterior: str,
    text: str,
    model: str,
    figures: Sequence[str],
    name: str,
    points: bool,
    seed: int,
    threads: int = 1,
) -> None:
    """Measure the lens in a user's image.

    Parameters
    ----------
    given : mapping
        ``image``, ``psf``, maybe ``noise``, ``pixel_scale`` and ``sky``, see `cutout.read`.
    models, trainings : sequence of path
        Of the network, or of the members of an ensemble.
    family : path
        Scored predictions for the population that it learned from: they say what is strange.
    scores : path
        Their scores (JSON): whether its posteriors are calibrated.
    posterior : path
        Written (HDF5): tables ``systems``, ``draws`` (equally probable), ``mixtures`` (see
        `lensmill.learning.posteriors.Mixture`), ``features`` and ``strangeness``.
    text : path
        Written: what was found, to read.
    model : path
        Written (FITS): extensions IMAGE, MODEL, RESIDUAL (over the noise) and NOISE.
    figures : sequence of path
        Written: a corner plot as PDF and PNG, and the model beside the image, likewise.
    name : str
        Of the image.
    points : bool
        Whether sources of the population may hold a quasar.
    seed : int
        Of the draws.
    threads : int

    Raises
    ------
    ValueError
        If anything is wrong with the files, or the network gives no finite answer.
    """
    networks = [runs.load(*files, threads) for files in zip(models, trainings, strict=True)]
    observation = networks[0].training["observation"]
    read = cutout.read(given, observation)
    mixture, features = ask(networks, read.pixels, name)
    targets = parameters.targets_of(networks[0].training["settings"])
    judgement = judge(read, features, family, observation)
    draws = draw(mixture, targets, seed)
    image, fit, first = render_again(read, draws, observation, points)
    columns = {
        "systems": {"index": np.arange(1), "name": np.array([name])}
        | {key: np.array([value]) for key, value in summarise(draws).items()},
        "draws": draws,
        "mixtures": {key: part.astype(np.float32) for key, part in mixture._asdict().items()},
        strangeness.FEATURES: {"index": np.arange(1), "inner": features.astype(np.float32)},
        strangeness.TABLE: {
            "index": np.arange(1),
            "strangeness": np.array([judgement.strangeness]),
        },
    }
    facts = provenance.attributes(
        dict(given),
        experiment="lens_parameters",
        seed=seed,
        verdict=judgement.verdict,
        family=json.dumps(judgement.family, sort_keys=True),
        train_on=networks[0].training["population"],
        targets=targets,
        chi2_per_pixel=fit.chi2,
    )
    store.write(posterior, columns, UNITS, facts)
    write_model(model, image, fit)
    plotting.save(partial(plot_corner, name, judgement.verdict, draws), {}, figures[:2])
    plotting.save(partial(plot_model, name, image, fit), {}, figures[2:])
    training = networks[0].training
    said = describe(
        name,
        read,
        judgement,
        draws,
        (image, fit, first),
        training,
        json.loads(Path(scores).read_text()),
    )
    with store.whole(Path(text)) as file:
        file.write(f"{said}Draws, model and figures: {Path(text).parent}/\n".encode())


def ask(
    networks: Sequence[runs.Network], pixels: NDArray, name: str
) -> tuple[posteriors.Mixture, NDArray]:
    """Ask a network, or an ensemble, about one image (size, size, bands).

    Returns
    -------
    mixture : Mixture
        One posterior, in the targets.
    features : array, shape (1, F)
    """
    from lensmill.experiments.lens_parameters import architectures
    from lensmill.learning import images

    mixtures, features = [], []
    for one in networks:
        images.check_shape(pixels[None], one.training["shape"], one.training["population"])
        outputs, inner = architectures.answer(one.model, pixels[None])
        if not np.isfinite(outputs).all():
            raise ValueError(
                f"the network gives no finite answer for {name}; did its training diverge? Train "
                "it anew with a smaller learning_rate"
            )
        mixtures.append(network.read_outputs(one, outputs))
        features.append(inner)
    mixture = posteriors.join(mixtures) if len(mixtures) > 1 else mixtures[0]
    return mixture, np.concatenate(features, axis=1)


def judge(
    read: Cutout, features: NDArray, family: str, observation: Mapping[str, Any]
) -> Judgement:
    """Say whether an image is like those of the population that the network learned from."""
    about = store.attributes(family)
    scale = observation["pixel_scale"]
    widths = [
        (cutout.width(star, scale), cutout.width(learned, scale))
        for star, learned in zip(read.psfs, camera.psfs(observation), strict=True)
    ]
    dark = np.zeros((1, 1, 1, len(widths)), np.float32)
    learned = noise.sigma(dark, **camera.exposure(observation))[0, 0, 0]
    skies = [(float(one), float(other)) for one, other in zip(read.sky, learned, strict=True)]
    score, facts = float("nan"), {}
    if strangeness.FAMILY in about:
        facts = json.loads(about[strangeness.FAMILY])
        found = strangeness.Family(**store.read(family, strangeness.FAMILY))
        score = float(strangeness.strangeness(found, features)[0])
    reasons = []
    if facts and score > facts["threshold"]:
        reasons.append("it looks strange to the network")
    if any(abs(ours / theirs - 1) > PSF_DIFFERENCE for ours, theirs in widths):
        reasons.append("it has another sharpness")
    verdict = OUTSIDE if reasons else INSIDE if facts else NOT_JUDGED
    return Judgement(verdict, tuple(reasons), score, facts, widths, skies)


def draw(mixture: posteriors.Mixture, targets: str, seed: int) -> dict[str, NDArray]:
    """Draw from a posterior: the columns `ALL`, (DRAWS,)."""
    rng = np.random.Generator(np.random.Philox([seed, 6]))  # 4 and 5: `network.tables_of`
    values = parameters.from_targets(posteriors.sample(mixture, DRAWS, rng)[0], targets)
    draws = dict(zip(PARAMETERS, values.T, strict=True))
    e1, e2, g1, g2 = (draws[key] for key in ("ellipticity_1", "ellipticity_2", "gamma1", "gamma2"))
    return draws | {
        "q": 1 - np.hypot(e1, e2),
        "phi": unwrapped(e1, e2),
        "shear": np.hypot(g1, g2),
        "shear_angle": unwrapped(g1, g2),
    }


def unwrapped(first: NDArray, second: NDArray) -> NDArray:
    """Return position angles [rad] of components, each within 90 degrees of their mean's.

    The mean's lies in [0, pi), so that no posterior is torn in two at its ends.
    """
    mean = 0.5 * np.arctan2(second.mean(), first.mean()) % np.pi
    c, s = np.cos(2 * mean), np.sin(2 * mean)
    return mean + 0.5 * np.arctan2(c * second - s * first, c * first + s * second)


def summarise(draws: Mapping[str, NDArray]) -> dict[str, float]:
    """Return medians and central intervals, named as in predictions."""
    values = np.column_stack([draws[name] for name in ALL])
    found = regression.summarise(values.T[None])
    return {
        f"{name}_{part}": float(getattr(found, part)[0, i])
        for i, name in enumerate(ALL)
        for part in regression.Summary._fields
    }


def masses(draws: Mapping[str, NDArray]) -> list[dict[str, float]]:
    """Return the mass of the medians, and of the first draws that are possible as a lens."""
    names = list(PARAMETERS)
    values = np.column_stack([draws[name] for name in names])
    found = [np.median(values, axis=0), *values[possible(draws)][:TRIED]]
    lenses = []
    for one in found:
        p = dict(zip(names, one, strict=True))
        weaker = min(1.0, LARGEST_SHEAR / max(np.hypot(p["gamma1"], p["gamma2"]), 1e-9))
        lenses.append(
            {
                "theta_e": p["theta_e"],
                "q": float(
                    np.clip(1 - np.hypot(p["ellipticity_1"], p["ellipticity_2"]), LEAST_Q, 1)
                ),
                "phi": float(0.5 * np.arctan2(p["ellipticity_2"], p["ellipticity_1"])),
                "slope": float(np.clip(p["slope"], *SLOPES)),
                **{name: weaker * p[name] for name in ("gamma1", "gamma2")},
                **{name: p[name] for name in ("lens_x", "lens_y")},
            }
        )
    return lenses


def possible(draws: Mapping[str, NDArray]) -> NDArray:
    """Say which draws are those of a lens that can be rendered."""
    low, high = SLOPES
    slope = (draws["slope"] >= low) & (draws["slope"] <= high)
    return slope & (draws["q"] >= LEAST_Q) & (draws["shear"] < LARGEST_SHEAR)


def render_again(
    read: Cutout, draws: Mapping[str, NDArray], observation: Mapping[str, Any], points: bool
) -> tuple[light_fit.Image, Fit, float]:
    """Fit the light of the image with masses of the posterior, see `light_fit.fit`."""
    pixels = read.pixels.astype(float)
    sigma = read.noise
    if sigma is None:  # photons of the image itself, in the exposure that the network knows
        seconds = camera.exposure(observation)["exposure"]
        sigma = np.sqrt(read.sky**2 + np.maximum(pixels, 0) / seconds)
    image = light_fit.Image(
        pixels, np.where(read.masked, np.inf, sigma), observation["pixel_scale"], read.psfs
    )
    return image, *light_fit.fit(image, masses(draws), points)


def write_model(path: str, image: light_fit.Image, fit: Fit) -> None:
    """Write image, model, residual over the noise, and noise, as extensions of a FITS file."""
    planes = {
        "IMAGE": image.pixels,
        "MODEL": fit.model,
        "RESIDUAL": (image.pixels - fit.model) / image.sigma,
        "NOISE": image.sigma,
    }
    header = fits.Header([("PIXSCALE", image.pixel_scale, "arcsec")])
    units = [fits.PrimaryHDU()]
    for name, values in planes.items():
        # one band is an image, several are a cube
        array = np.moveaxis(values, -1, 0).astype(np.float32)
        units.append(fits.ImageHDU(array[0] if len(array) == 1 else array, header, name))
    content = io.BytesIO()
    fits.HDUList(units).writeto(content)
    with store.whole(Path(path)) as file:
        file.write(content.getvalue())


def plot_corner(name: str, verdict: str, draws: Mapping[str, NDArray]) -> Figure:
    """Corner plot of a posterior; contours hold 68 % and 95 %."""
    x = np.column_stack([draws[key] for key in LABELS])
    span = [tuple(np.percentile(column, REACH)) for column in x.T]
    # the style's own engine would move the axes, and "none" lasts for one savefig only
    engine = PlaceHolderLayoutEngine(adjust_compatible=True, colorbar_gridspec=True)
    figure = plt.figure(figsize=(plotting.PAGE, plotting.PAGE), layout=engine)
    corner.corner(
        x,
        bins=24,
        range=span,
        color=plotting.BLUE,
        smooth=1.2,
        levels=LEVELS,
        plot_datapoints=False,
        plot_density=False,
        no_fill_contours=True,
        fig=figure,
        max_n_ticks=3,
        contour_kwargs={"linewidths": 0.9},
    )
    figure.subplots_adjust(left=0.09, bottom=0.09)
    axes = np.array(figure.axes).reshape(len(LABELS), -1)
    said = summarise(draws)
    for i, (key, label) in enumerate(LABELS.items()):
        values = (f"{key}_{end}" for end in ("low68", "median", "high68"))
        axes[i, i].set_title("${}^{{+{}}}_{{-{}}}$".format(*rounded(*map(said.get, values))), pad=4)
        axes[-1, i].set_xlabel(label)
        if i:
            axes[i, 0].set_ylabel(label)
    figure.text(0.97, 0.97, f"{name}: {verdict}", ha="right", va="top", fontsize=10)
    figure.text(0.97, 0.94, "contours: 68 % and 95 %", ha="right", va="top")
    return figure


def plot_model(name: str, image: light_fit.Image, fit: Fit) -> Figure:
    """Image, model and residual over the noise, a row for each band."""
    bands = image.pixels.shape[-1]
    figure, rows = plt.subplots(
        bands, 3, figsize=(plotting.PAGE, 2.4 * bands), squeeze=False, sharex=True, sharey=True
    )
    half = image.pixels.shape[0] * image.pixel_scale / 2
    where = {"origin": "lower", "extent": (-half, half, -half, half)}
    for band, axes in enumerate(rows):
        data, model, sigma = (
            values[..., band] for values in (image.pixels, fit.model, image.sigma)
        )
        unit = np.median(sigma[np.isfinite(sigma)])
        top = np.arcsinh(max(data.max() / unit, 10.0))
        for axis, shown in zip(axes, (data, model), strict=False):
            axis.imshow(np.arcsinh(shown / unit), vmin=-1, vmax=top, cmap="magma", **where)
        drawn = axes[2].imshow((data - model) / sigma, vmin=-5, vmax=5, cmap="RdBu_r", **where)
        figure.colorbar(drawn, ax=axes[2], label="residual / noise")
        axes[1].plot(*fit.points.T, "+", color=plotting.SKY, ms=6)
        axes[1].set(xlim=(-half, half), ylim=(-half, half))
        axes[0].set_ylabel("y [arcsec]")
    for axis, what in zip(rows[0], (name, "model", f"chi2 / pixel {fit.chi2:.3g}"), strict=True):
        axis.set_title(what)
    for axis in rows[-1]:
        axis.set_xlabel("x [arcsec]")
    return figure


def chi2_away(image: light_fit.Image, fit: Fit) -> float:
    """Return chi^2 per pixel away from the lens galaxy's middle and from the images of points.

    There a sampled point-spread function, moved by parts of a pixel, is not good to the noise of
    bright things; the arcs of the host galaxy lie between.
    """
    size = len(image.pixels)
    place = (np.arange(size) - (size - 1) / 2) * image.pixel_scale
    centre = np.array([fit.mass["lens_x"], fit.mass["lens_y"]]) + fit.light[:2]
    near = np.zeros((size, size), bool)
    reach = AROUND * max(cutout.width(star, image.pixel_scale) for star in image.psfs)
    for x, y in [centre, *fit.points]:
        near |= np.hypot(place - x, place[:, None] - y) < reach
    counts = np.isfinite(image.sigma) & ~near[..., None]
    residual = ((image.pixels - fit.model) / image.sigma)[counts]
    return float(np.mean(residual**2)) if residual.size else float("nan")


def rounded(low: float, middle: float, high: float) -> tuple[str, str, str]:
    """Write a median, its upper and its lower error, to two digits of the smaller one."""
    least = min(high - middle, middle - low)
    digits = max(0, 1 - int(np.floor(np.log10(least)))) if least > 0 else 3
    return tuple(f"{value:.{digits}f}" for value in (middle, high - middle, middle - low))


def describe(
    name: str,
    read: Cutout,
    judgement: Judgement,
    draws: Mapping[str, NDArray],
    rendered: tuple[light_fit.Image, Fit, float],
    training: Mapping[str, Any],
    scores: Mapping[str, Any],
) -> str:
    """Write what was found as a text: the verdict, its reasons, the numbers, the model."""
    image, fit, first = rendered
    summary = summarise(draws)
    scale, size = training["observation"]["pixel_scale"], len(read.pixels)
    why = f" ({', '.join(judgement.reasons)})" * bool(judgement.reasons)
    lines = [
        f"{name}: {judgement.verdict.upper()}{why}",
        _describe_strangeness(judgement, training),
    ]
    was = f"resampled from {read.native:.4g}" if read.resampled else "as the network learned"
    x, y = read.centre
    lines.append(
        f"pixels      {size} x {size} of {scale:g} arcsec, {was}; the middle is pixel "
        f"({x:g}, {y:g}) of your image"
    )
    bands = list(training["observation"]["bands"])
    for band, (ours, learned) in zip(bands, judgement.psf, strict=True):
        lines.append(
            f"PSF {band:7s} {ours:.3f} arcsec wide, learned {learned:.3f}: "
            f"{ours / learned - 1:+.0%} (permitted: {PSF_DIFFERENCE:.0%})"
        )
    for band, (ours, learned) in zip(bands, judgement.sky, strict=True):
        lines.append(f"sky {band:7s} noise {ours:.3g} per pixel, learned {learned:.3g} electron/s")
    for key in SAID:
        unit = f" {ALL[key]}" if ALL[key] else ""
        ends = (summary[f"{key}_{end}"] for end in ("low68", "median", "high68"))
        lines.append("{:11s} {} +{} -{}{}".format(key, *rounded(*ends), unit))
    away = chi2_away(image, fit)
    lines.append(
        f"model       chi^2 per pixel {fit.chi2:.3g}, away from galaxy and quasar images "
        f"{away:.3g}: the best of the median of the posterior, which has {first:.3g}, and "
        f"{len(masses(draws)) - 1} draws"
    )
    lines += [
        f"careful:    {remark}"
        for remark in remarks(read, judgement, draws, away, training["prior"], scores)
    ]
    end = (
        "Intervals are central 68 %; angles from +x (columns) towards +y (rows). The model is no "
        "fit of the mass: that is\nthe network's, and only the light is fitted to the image.\n"
    )
    return "\n" + "\n  ".join(lines) + "\n\n" + end


def _describe_strangeness(judgement: Judgement, training: Mapping[str, Any]) -> str:
    facts = judgement.family
    if not facts:
        return (
            f"strangeness not known: the network has fewer than {strangeness.FEWEST} test systems "
            f"of {training['population']}"
        )
    return (
        f"strangeness {judgement.strangeness:.2f}; above {facts['threshold']:.2f} an image is "
        f"called strange: {facts['rate']:.1%} ({facts['low']:.1%} to {facts['high']:.1%}) of "
        f"{facts['of']} images of {training['population']} are"
    )


def remarks(
    read: Cutout,
    judgement: Judgement,
    draws: Mapping[str, NDArray],
    away: float,
    prior: Mapping[str, Mapping[str, float]],
    scores: Mapping[str, Any],
) -> list[str]:
    """Return what the user should know beyond the verdict."""
    said = list(read.notes)
    facts, summary = judgement.family, summarise(draws)
    worst = scores["calibration"].get("worst")
    if worst and worst["error"] > worst["limit"]:
        said.append(
            f"the network's intervals are not to be trusted: on {scores['known']} images of its "
            f"own population their coverage is off by {worst['error']:.0%} (chance: up to "
            f"{worst['limit']:.0%}); train it longer, on more"
        )
    if facts and facts["set_on"] < 1 / facts["wanted"] - 1:
        said.append(
            f"the threshold was set on {facts['set_on']} images, too few for {facts['wanted']:.0%} "
            "of false alarms"
        )
    for ours, learned in judgement.sky:
        if not 1 / NOISE_RATIO < ours / learned < NOISE_RATIO:
            said.append(
                f"the noise of the sky is {ours / learned:.2g} times that of the training: another "
                "depth, or another unit than electron/s"
            )
    for name in PARAMETERS:
        low, high = prior[name]["low"], prior[name]["high"]
        if not low <= summary[f"{name}_median"] <= high:
            said.append(f"{name} lies beyond the {low:.3g} to {high:.3g} of the training")
    off = float(np.mean(~possible(draws)))
    if off > IMPOSSIBLE:
        said.append(f"{off:.0%} of the draws are no lens that can be: the posterior is too wide")
    if not away < GOOD_CHI2:
        said.append(
            "the model does not fit the image to its noise. That alone says nothing against the "
            "posterior: errors of its size move quasar images by more than a sharp image forgives, "
            "and galaxies are no single Sersic profiles. Look at the residual for what is missing "
            "altogether: another galaxy, an image of the source"
        )
    return said
