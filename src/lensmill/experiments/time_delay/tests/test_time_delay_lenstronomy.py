"""The independent check finds lost images, and only those, also behind a sheet of mass."""

import numpy as np
import pytest
from test_empty_checks import named, population

from lensmill import experiments
from lensmill.experiments.time_delay import check, resolve, simulate
from lensmill.pipeline import settings, shards, store

pytest.importorskip("lenstronomy")


@pytest.mark.parametrize("kappa_ext", [0.1, -0.1])
@pytest.mark.parametrize(("of_the_limit", "is_lost"), [(0.95, False), (1.05, True)])
def test_a_missing_image_is_lost_if_it_is_brighter_than_the_limit(
    tmp_path, kappa_ext, of_the_limit, is_lost
):
    sheet = {"kappa_ext": ["fixed", kappa_ext], "source": ["image_in_disc", 1.5]}
    path, _ = population(tmp_path / "all.h5", 60, "epl_shear", **sheet)
    systems, images = (store.read(path, name) for name in ("systems", "images"))
    double = int(np.argmax(systems["n_images"] == 2))
    both = systems["first_image"][double] + np.arange(2)
    faint = both[np.abs(images["magnification"][both]).argmin()]
    limit = np.abs(images["magnification"][faint]) / of_the_limit
    images = {name: np.delete(values, faint) for name, values in images.items()}
    systems["n_images"][double] -= 1
    systems["first_image"][double + 1 :] -= 1
    store.write(tmp_path / "one.h5", {"systems": systems, "images": images}, simulate.UNITS, {})
    found = resolve.outcomes(tmp_path / "one.h5", np.array([double]), limit)
    assert named(found, "images by lenstronomy")["passed"] is not is_lost


@pytest.mark.slow
def test_no_correct_population_is_refused(tmp_path):
    chosen = settings.population(experiments.defaults("time_delay"), "survey")
    refused = []
    for number in range(60):
        path = tmp_path / "dataset.h5"
        shards.simulate(
            path,
            simulate,
            experiment="time_delay",
            population=f"survey_{number}",
            seed=number,
            first=0,
            count=20_000,
            settings=chosen,
            code="",
        )
        found = resolve.outcomes(path, check._spread(20_000), chosen["prior"]["min_magnification"])
        refused += [each for each in found if each["passed"] is False]
    assert not refused
