"""Look-ups of this experiment, and what a schema cannot say of its settings.

Only literals and the standard library: this is read in every job (../README.md).
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from lensmill.cutouts import lookups
from lensmill.cutouts.lookups import count_images as count_images
from lensmill.cutouts.lookups import prediction_inputs as prediction_inputs
from lensmill.cutouts.lookups import refuse_unlike as refuse_unlike
from lensmill.cutouts.lookups import source_files as source_files
from lensmill.experiments.lens_parameters.families import FAMILIES as FAMILIES
from lensmill.pipeline import names
from lensmill.pipeline.settings import population, refer


def check(settings: Mapping, where: str) -> None:
    """Refuse images too small for a network, and comparisons of networks that are not there."""
    lookups.check(settings, where)
    for name in settings["comparison"]:
        refer(name, settings["networks"], f"{where}.comparison")


def claims_errors(network: Mapping) -> bool:
    """Say whether a network gives posteriors, whose calibration is judged: all do."""
    return True


def score_inputs(settings: Mapping, name: str, network: Mapping, population: str) -> dict[str, str]:
    """Name the scored predictions of the network's own population: what is strange is unlike it."""
    own = network["train_on"]
    return {} if population == own else {"family": f"scores/{name}/{own}/predictions.h5"}


def own_image(settings: Mapping, find: Callable[[str], str]) -> list[str]:
    """List the files of a user's own image, which are read before the first job runs.

    Raises
    ------
    ValueError
        If there are none, or with all that is wrong with them.
    """
    chosen, where = settings["measure"], "experiments.lens_parameters.measure"
    missing = [key for key in ("image", "psf") if not chosen.get(key)]
    if missing:
        raise ValueError(
            f"{where} names no {' and no '.join(missing)}; say `make measure IMAGE=my.fits "
            "PSF=star.fits`, or name them in a --configfile"
        )
    from lensmill.experiments.lens_parameters import cutout  # numpy and astropy take a while

    observation = settings["populations"][own_population(settings)]["observation"]
    given = own_paths(settings, find)
    try:
        cutout.read(given, settings["observations"][observation])
    except ValueError as error:
        raise ValueError(f"{where} {error}") from None
    return cutout.files_of(given)


def own_paths(settings: Mapping, find: Callable[[str], str]) -> dict:
    """Return what a user says of the own image, every path as it is found."""

    def found(text: str) -> str:
        path, bracket, behind = text.partition("[")
        return find(str(Path(path.rstrip()).expanduser())) + bracket + behind

    given = {}
    for key, value in settings["measure"].items():
        if key in ("image", "psf", "noise"):
            value = found(value) if isinstance(value, str) else [found(text) for text in value]
        if key not in ("network", "lens", "system"):
            given[key] = value
    return given


def own_points(settings: Mapping) -> bool:
    """Say whether sources that the network learned from may hold a quasar."""
    chosen = population(settings, own_population(settings))
    return "prior" not in chosen or chosen["prior"]["quasar_fraction"] > 0


def own_population(settings: Mapping) -> str:
    """Name the population that the network learned from which measures a user's own image."""
    return _network(settings)["train_on"]


def own_results(settings: Mapping) -> dict[str, list[str]]:
    """Name the results that measuring a user's own image takes, by argument."""
    name = settings["measure"]["network"]
    networks = [f"networks/{one}" for one in own_networks(settings)]
    scores = f"scores/{name}/{own_population(settings)}"
    return {
        "models": [f"{folder}/model.keras" for folder in networks],
        "trainings": [f"{folder}/training.json" for folder in networks],
        "family": [f"{scores}/predictions.h5"],
        "scores": [f"{scores}/scores.json"],
    }


def own_networks(settings: Mapping) -> list[str]:
    """List the trained networks that measure a user's own image: the members of an ensemble."""
    name = settings["measure"]["network"]
    base, member = names.member(name)
    _network(settings)
    return [f"{base}_seed{i + 1}" for i in range(member["seeds"])] if "seeds" in member else [name]


def _network(settings: Mapping) -> Mapping:
    """Return the definition of the network that measures a user's own image."""
    name, networks = settings["measure"]["network"], settings["networks"]
    base = names.member(name)[0]
    if base not in networks:
        raise ValueError(
            f"experiments.lens_parameters.measure.network: {name!r} is none of "
            f"{', '.join(networks)}"
        )
    return networks[base]


def name_of_image(settings: Mapping) -> str:
    """Return what the results for a user's image are called: after its file, fit for a folder."""
    image = settings["measure"].get("image") or "none"
    name = Path(image if isinstance(image, str) else image[0]).name
    name = re.sub(r"\.(fits|fit|fts)(\.gz|\.fz)?(?=$|\[)", "", name, flags=re.IGNORECASE)
    return re.sub(r"[^\w.+-]", "_", name).strip("._") or "_"


def of_all_seeds(settings: Mapping, name: str) -> str:
    """Name a network of the table: the ensemble, if a definition stands for several seeds."""
    members = names.members(name, settings["networks"][name])
    return ([member for member in members if "_fold" not in member] or members)[-1]


def learned_from(settings: Mapping, network: str) -> dict:
    """Return what fixes the systems of the population that a network learned from."""
    name = names.member(network)[0]
    return population(settings, settings["networks"][name]["train_on"])


def own_lens(settings: Mapping, find: Callable[[str], str]) -> str:
    """Return the posteriors by positions and delays that one's own image is joined with."""
    lens = settings["measure"].get("lens")
    if lens is None:
        raise ValueError(
            "experiments.lens_parameters.measure names no lens: first `make lens CSV=my_lens.csv`, "
            "then `make measure IMAGE=my.fits PSF=star.fits "
            "LENS=results/time_delay/lens/my_lens/posterior.h5`"
        )
    return find(lens)
