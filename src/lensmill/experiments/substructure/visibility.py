"""How much substructure an ideal observer sees, by how much there is."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lensmill.experiments.substructure import simulate
from lensmill.experiments.substructure.systems import CLASSES
from lensmill.pipeline import provenance, store
from lensmill.pipeline.streams import uniforms

# Of what there is more or less, by the class that has it.
AMOUNTS = {"subhalos": "sigma_sub", "vortex": "vortex_mass"}
UNITS = {"systems": {"label": "", "amount": "", "raw_chi": "", "sub_chi": "", "n_subhalos": ""}}


def measure_visibility(settings: Mapping[str, Any], seed: int, output: str) -> None:
    """Draw systems with given amounts of substructure and write what is seen of it.

    Parameters
    ----------
    settings : mapping
        ``family``, ``prior`` and ``observation`` as of a population, ``systems`` (of every
        amount), and amounts by their name: ``sigma_sub`` [1/kpc^2] and ``vortex_mass`` [fraction of
        the mass within theta_E].
    seed : int
    output : path
        Written (HDF5): table ``systems`` with the class, the amount and the significance before
        (``raw_chi``) and after (``sub_chi``) the fit of the smooth lens and its source.
    """
    found: dict[str, list] = {name: [] for name in UNITS["systems"]}
    for name, amount in AMOUNTS.items():
        label = CLASSES.index(name)
        shares = [int(c == label) for c in range(len(CLASSES))]
        for value in settings[amount]:
            prior = {**settings["prior"], "classes": shares, amount: ["fixed", value]}
            # the same lenses for every amount
            numbers = uniforms(
                seed, "substructure", "visibility", 0, settings["systems"], simulate.WIDTH
            )
            for first in range(0, len(numbers), simulate.BATCH):
                some = numbers[first : first + simulate.BATCH]
                drawn = simulate.draw(first, some, {**settings, "prior": prior})["systems"]
                for key in ("label", "raw_chi", "sub_chi", "n_subhalos"):
                    found[key].append(drawn[key])
                found["amount"].append(np.full(len(some), float(value)))
    columns = {key: np.concatenate(parts) for key, parts in found.items()}
    attributes = provenance.attributes(
        settings, experiment="substructure", population="visibility", seed=seed
    )
    store.write(output, {"systems": columns}, UNITS, attributes)
