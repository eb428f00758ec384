"""A table of what networks measure, beside the prior alone and what others have published."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from astropy.table import Table

from lensmill import plotting
from lensmill.experiments.lens_parameters.figures import NAMES
from lensmill.experiments.lens_parameters.parameters import PARAMETERS

USELESS = 0.9  # scatter over that of the prior alone, from which an answer beats nothing
ALIKE = "no: within 10 % of the prior's, it beats nothing"
WORSE = "no: worse than the prior alone"
QUANTITIES = {  # published: the numbers of `score.score` that it is set beside, as they are called
    "bias": "bias",
    "scatter": "scatter",
    "population_bias": "bias of the mean of a population",
    "coverage_error": "largest coverage error",
}
UNITS = {"percent": "%", "arcsec": '"', "1": "", "": ""}
YEAR = re.compile(r".*?\b\d{4}\b")  # of a publication, its authors and its year
READ_IN = {"abstract": "its abstract", "unchecked": "memory, not looked up in it"}
HEADS = (
    *("parameter", "bias", "scatter", "prior alone", "scatter / prior", "width / prior"),
    *("beats the prior?", "theirs", "what differs in the images"),
)


def compare(
    scores: Sequence[str], observations: Sequence[str], published: str, output: str
) -> None:
    """Write what networks measure on their own population, beside what others found.

    Parameters
    ----------
    scores : sequence of path
        ``scores.json`` of networks on the populations that they learned from.
    observations : sequence of str
        Of each population the name of its observation, which begins with the telescope.
    published : path
        Numbers of others (ECSV), see ``data/published.ecsv``.
    output : path
        Written, Markdown: a table by network, a row for each parameter. Numbers are relative to the
        truth (per cent) for Einstein radius and slope, else in the unit of the parameter. Whether
        the scatter is smaller than that of one who answers with the mean of the prior is said in
        the row.
    """
    theirs = Table.read(published, format="ascii.ecsv")
    parts = [
        "# What the networks measure, and what others do",
        "Median bias and half of the central 68 % of the errors of the medians, on test systems of "
        "the population that each network learned from. *Prior alone*: the scatter of one who "
        "answers with the mean of what the network learned from. *Width*: median half width of "
        "the 68 % interval, over that of the prior. In per cent of the truth for Einstein radius "
        "and slope. Numbers of others are of other images and other priors: they are no rivals, "
        "but say what order of size the field reaches.",
    ]
    for path, observation in zip(scores, observations, strict=True):
        parts += _network(json.loads(Path(path).read_text()), observation, theirs)
    sources = {
        one["reference"]: f"- {one['reference']} (numbers from {READ_IN[one['read_in']]})"
        for one in theirs
    }
    parts += ["Published numbers:", "\n".join(sources.values())]
    Path(output).write_text("\n\n".join(parts) + "\n")


def _network(found: Mapping[str, Any], observation: str, theirs: Table) -> list[str]:
    """Return the title and the table of one network."""
    with plotting.use_names(NAMES):
        title = f"{plotting.label(found['network'])} on {plotting.label(found['population'])}"
    telescope = observation.split("_")[0]
    rows = [HEADS, ["---"] * len(HEADS)]
    for name in PARAMETERS:
        numbers = found["targets"][name]
        others = _published(theirs, name, telescope)
        rows.append([name, *row(numbers, PARAMETERS[name]), *others])
    if "coverage_error" in found:
        sampling = found["calibration"]["worst"]["limit"]
        error = found["coverage_error"]
        worst = f"{100 * error:.1f} % (sampling alone: up to {100 * sampling:.1f} %)"
        others = _published(theirs, "calibration", telescope)
        rows.append(["largest coverage error", worst, *5 * ["–"], *others])
    text = f"{found['known']:,} test systems, {found['train_systems']:,} to learn from."
    return [f"## {title}", text, "\n".join(f"| {' | '.join(cells)} |" for cells in rows)]


def row(numbers: Mapping[str, Any] | None, unit: str) -> list[str]:
    """Return the cells of a parameter: bias to "beats the prior?".

    Parameters
    ----------
    numbers : mapping or None
        ``targets`` of the scores; None where no truth is known.
    unit : str
    """
    if numbers is None:
        return 6 * ["–"]
    relative = "relative_scatter" in numbers
    scale, suffix = (100, " %") if relative else (1, UNITS[unit])
    start = "relative_" if relative else ""
    bias = numbers[f"{start}bias"]
    scatter = numbers["relative_scatter" if relative else "robust_scatter"]
    prior = numbers[f"{start}prior_scatter"]
    cells = [f"{scale * bias:+.2g}{suffix}"]
    cells += [f"{scale * x:.2g}{suffix}" for x in (scatter, prior)]
    if not prior:
        return [*cells, "–", "–", "the prior has one value"]
    width = numbers["width_over_prior"]
    cells += [f"{scatter / prior:.2f}", "–" if width is None else f"{width:.2f}"]
    if scatter < USELESS * prior:
        return [*cells, "yes"]
    return [*cells, ALIKE if USELESS * scatter <= prior else WORSE]


def _published(theirs: Table, parameter: str, telescope: str) -> list[str]:
    """Return what others found for a parameter with a telescope, and what differs."""
    some = [
        one
        for one in theirs
        if one["parameter"] == parameter and one["telescope"] in (telescope, "any")
    ]
    if not some:
        return ["–", "–"]
    numbers = []
    for one in some:
        unit = UNITS[str(one["unit"])]
        value = f"{one['value']:g}{' ' if unit == '%' else ''}{unit}"
        sign = "< " if one["below"] else ""
        numbers.append(f"{QUANTITIES[one['quantity']]} {sign}{value}")
    sources = dict.fromkeys(YEAR.match(str(one["reference"]))[0] for one in some)
    differences = dict.fromkeys(str(one["differs"]) for one in some)
    return [f"{'; '.join(numbers)} ({'; '.join(sources)})", "; ".join(differences)]
