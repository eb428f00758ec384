"""Look-ups of this experiment, and what a schema cannot say of its settings.

Only literals and the standard library: this is read in every job (../README.md).
"""

from collections.abc import Mapping

from lensmill.experiments.photo_z.families import FAMILIES as FAMILIES
from lensmill.experiments.photo_z.network_settings import bands_of, check_networks
from lensmill.experiments.photo_z.network_settings import claims_errors as claims_errors
from lensmill.experiments.photo_z.network_settings import prediction_inputs as prediction_inputs
from lensmill.experiments.photo_z.network_settings import score_inputs as score_inputs
from lensmill.experiments.photo_z.network_settings import suffix as suffix
from lensmill.pipeline.settings import refer

LINEAR = ("maggy", "nanomaggy", "microjansky", "cgs", "counts")
# what goes with one unit of a column, and with no other
GOES_WITH = {"zero_point": "counts", "softening": "asinh"}


def check(settings: Mapping, where: str) -> None:
    """Refuse bands that are not there, columns without what their unit needs, and blind mocks.

    Raises
    ------
    ValueError
        Naming the setting, what is wrong with it and the remedy.
    """
    for name, observation in settings["observations"].items():
        if "select" in observation:
            place = f"{where}.observations.{name}.select.band"
            refer(observation["select"]["band"], observation["bands"], place)
    for name, population in settings["populations"].items():
        observation = settings["observations"][population["observation"]]
        place = f"{where}.populations.{name}"
        if "ingest" in population:
            check_columns(population, observation, place)
        else:
            check_mock(population, observation, f"{where}.observations.{population['observation']}")
    check_networks(settings, where)
    for name, prior in settings["priors"].items():
        if "redshift" in prior and not prior["redshift"][0] < prior["redshift"][1]:
            raise ValueError(
                f"{where}.priors.{name}.redshift: {prior['redshift']} is no range; give the lowest "
                "first"
            )


def check_columns(population: Mapping, observation: Mapping, place: str) -> None:
    """Check what an ingested population says of its columns."""
    if "bands" not in population:
        raise ValueError(
            f"{place} names no columns; say under `bands` what they hold, as "
            "{sdss_u: {value: mag_u, error: err_u, unit: ab}}"
        )
    low, high = population["redshift_range"]
    if not low < high:
        raise ValueError(f"{place}.redshift_range: [{low:g}, {high:g}] is empty; the lowest first")
    for band, columns in population["bands"].items():
        refer(band, observation["bands"], f"{place}.bands")
        there = f"{place}.bands.{band}"
        if ("error" in columns) == ("ivar" in columns):
            raise ValueError(f"{there} needs a column of errors: either `error` or `ivar`")
        unit = columns["unit"]
        for key, needs in GOES_WITH.items():
            if (key in columns) != (unit == needs):
                what = "needs" if unit == needs else "cannot use"
                raise ValueError(f"{there}: the unit {unit!r} {what} `{key}`")
        if unit == "vega" and not columns["offset"]:
            raise ValueError(
                f"{there}: the unit 'vega' needs `offset`, what is added for AB magnitudes"
            )
        if unit not in LINEAR and "ivar" in columns:
            raise ValueError(
                f"{there}: an inverse variance of magnitudes cannot be 0 where nothing was "
                "observed; give `error`"
            )


def check_mock(population: Mapping, observation: Mapping, place: str) -> None:
    """Check that an observation says all that mocks need."""
    if "select" not in observation:
        raise ValueError(f"{place} needs `select`: mocks end at a magnitude, as samples do")
    for band, depth in observation["bands"].items():
        if "depth" not in depth:
            raise ValueError(f"{place}.bands.{band} needs `depth`: mocks are observed with noise")


def refuse_unlike(settings: Mapping, trained_on: str, population: str, where: str) -> None:
    """Raise if two populations have no bands in common; `check_networks` knows which a network has.

    Raises
    ------
    ValueError
        Naming the bands and the remedy.
    """
    ours, theirs = (bands_of(settings, name) for name in (trained_on, population))
    if not set(ours) & set(theirs):
        raise ValueError(
            f"{where}: {population!r} has none of the bands {', '.join(ours)} of {trained_on!r}, "
            "from which a network learns; leave it out"
        )
