"""A correct population passes every check, and each kind of damage is found by its own."""

import json

import numpy as np
import pytest
from scipy.stats import binom, kstest

from lensmill import experiments
from lensmill.experiments.time_delay import check, ingest, simulate
from lensmill.pipeline import checks, settings, shards, store

SYSTEMS = 3000
DEFAULTS = experiments.defaults("time_delay")
SETTINGS = settings.population(DEFAULTS, "sie_shear") | {
    "systems": SYSTEMS,
    "expected_fractions": DEFAULTS["expected_fractions"]["sie_shear"],
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Return a small population of ellipsoids with shear."""
    path = tmp_path_factory.mktemp("checks") / "dataset.h5"
    shards.simulate(
        path,
        simulate,
        experiment="time_delay",
        population="sie_shear",
        seed=11,
        first=0,
        count=SYSTEMS,
        settings={key: SETTINGS[key] for key in ("family", "prior")},
        code="",
    )
    return path


@pytest.fixture(autouse=True)
def small_sample(monkeypatch):
    """Work only a few systems out again; how many matters only for rare faults."""
    monkeypatch.setattr(check, "SAMPLE", 32)


def damaged(dataset, tmp_path, change):
    """Return a copy of a data set in which ``change(systems, images)`` has done its work."""
    tables = {name: store.read(dataset, name) for name in ("systems", "images")}
    change(**tables)
    path = tmp_path / "damaged.h5"
    store.write(path, tables, simulate.UNITS, store.attributes(dataset))
    return path


def failed(found):
    """Return the names of the failed checks."""
    return {each["name"] for each in found["checks"] if each["passed"] is False}


def test_a_correct_population_passes_every_check(dataset):
    found = check.check(dataset, SETTINGS)
    assert failed(found) == set()
    assert len(found["checks"]) > 35
    assert sum(found["statistics"]["n_images"].values()) == SYSTEMS
    json.dumps(found, allow_nan=False)


def test_what_is_found_does_not_depend_on_the_pieces_it_is_read_in(dataset, monkeypatch):
    whole = check.check(dataset, SETTINGS)
    monkeypatch.setattr(checks, "PIECE", 701)
    parts = check.check(dataset, SETTINGS)
    assert parts["checks"] == whole["checks"]
    assert parts["sketch"] == whole["sketch"]
    for table in ("systems", "images"):
        for name, numbers in whole["statistics"][table].items():
            assert parts["statistics"][table][name] == pytest.approx(numbers, rel=1e-9, abs=1e-12)


def nan(systems, images):
    images["delay"][17] = np.nan


def labels_of_the_next_image(systems, images):
    images["potential"] = np.roll(images["potential"], 1)


def deflections_not_turned(systems, images):
    images["deflection_x"], images["deflection_y"] = (
        images["deflection_y"],
        -images["deflection_x"],
    )


def moved_source(systems, images):
    systems["source_x"][100] += 1e-9


def wrong_magnification(systems, images):
    images["magnification"][50] *= 1.0001


def unsigned_magnification(systems, images):
    images["magnification"] = np.abs(images["magnification"])


def images_too_faint(systems, images):
    images["magnification"] *= 1e-4


def swapped_arrival(systems, images):
    first = int(systems["first_image"][np.argmax(systems["n_images"] == 2)])
    for name in images.keys() - {"system"}:
        images[name][first : first + 2] = images[name][first : first + 2][::-1]


def delays_in_another_unit(systems, images):
    images["delay"] /= 1.0001


def angular_diameter_distance_of_the_wrong_pair(systems, images):
    systems["d_ls"] = systems["d_s"] - systems["d_l"]


def another_universe(systems, images):
    for name in ("d_l", "d_s", "d_ls", "d_dt"):
        systems[name] *= 0.99
    images["delay"] *= 0.99


def source_before_the_lens(systems, images):
    systems["z_source"][5] = systems["z_lens"][5] / 2


def lost_image(systems, images):
    lens = int(np.argmax(systems["n_images"] == 4))
    row = int(systems["first_image"][lens]) + 3
    for name in images:
        images[name] = np.delete(images[name], row)
    systems["n_images"][lens] -= 1
    systems["first_image"][lens + 1 :] -= 1


def copied_system(systems, images):
    one, other = np.flatnonzero(systems["n_images"] == 2)[[3, 40]]
    for name in systems.keys() - {"index", "first_image"}:
        systems[name][other] = systems[name][one]
    rows = [systems["first_image"][i] + np.arange(2) for i in (one, other)]
    for name in images.keys() - {"system"}:
        images[name][rows[1]] = images[name][rows[0]]


def merged_in_the_wrong_order(systems, images):
    systems["index"] = np.roll(systems["index"], 1000)


def images_of_another_system(systems, images):
    images["system"][7:] = np.roll(images["system"][7:], 1)


def forgotten_images(systems, images):
    for name in images:
        images[name] = images[name][:-10]


def forgotten_systems(systems, images):
    rows = int(systems["first_image"][-10])
    for name in systems:
        systems[name] = systems[name][:-10]
    for name in images:
        images[name] = images[name][:rows]


def half_the_solver_gave_up(systems, images):
    systems["status"][::2] = 3


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (nan, {"finite"}),
        (labels_of_the_next_image, {"potential", "Fermat potential"}),
        (deflections_not_turned, {"deflection"}),
        (moved_source, {"lens equation"}),
        (wrong_magnification, {"magnification"}),
        (unsigned_magnification, {"magnification", "image type"}),
        (images_too_faint, {"faintest image"}),
        (swapped_arrival, {"arrival order"}),
        (delays_in_another_unit, {"delay"}),
        (angular_diameter_distance_of_the_wrong_pair, {"distance", "distances by astropy"}),
        (another_universe, {"distances by astropy"}),
        (source_before_the_lens, {"redshifts", "prior of z_source"}),
        (lost_image, {"parity"}),
        (copied_system, {"no duplicates"}),
        (merged_in_the_wrong_order, {"rows belong together"}),
        (images_of_another_system, {"rows belong together"}),
        (forgotten_images, {"images in = images out"}),
        (forgotten_systems, {"systems in = systems out"}),
        (half_the_solver_gave_up, {"degenerate systems"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damage_is_found(dataset, tmp_path, change, names):
    found = check.check(damaged(dataset, tmp_path, change), SETTINGS)
    assert names <= failed(found)
    json.dumps(found, allow_nan=False)


def test_a_lost_image_is_named_by_its_system(dataset, tmp_path):
    found = check.check(damaged(dataset, tmp_path, lost_image), SETTINGS)
    lens = int(np.argmax(store.read(dataset, "systems", ["n_images"])["n_images"] == 4))
    (parity,) = (each for each in found["checks"] if each["name"] == "parity")
    assert f"(first: system {lens})" in parity["sentence"]


@pytest.mark.parametrize(
    ("parameter", "law"),
    [
        ("z_lens", ["uniform", 0.2, 0.55]),  # another shape
        ("z_lens", ["uniform", 0.2, 0.499]),  # a few values lie outside
        ("z_source", ["uniform", 1.0, 3.3]),
        ("h0", ["fixed", 70.0]),
        ("shear", ["lognormal", 0.06, 0.2]),
        ("one_minus_q", ["truncated_normal", 0.33, 0.16, 0.0, 0.9]),
        ("phi", ["uniform", 0.0, 3.3]),
    ],
)
def test_systems_from_another_prior_are_refused(dataset, parameter, law):
    prior = SETTINGS["prior"] | {parameter: law}
    found = check.check(dataset, SETTINGS | {"prior": prior})
    assert f"prior of {parameter}" in failed(found)
    assert "drawn again" in failed(found)


def test_another_seed_is_noticed(dataset, tmp_path):
    tables = {name: store.read(dataset, name) for name in ("systems", "images")}
    facts = store.attributes(dataset) | {"seed": 12}
    store.write(tmp_path / "other.h5", tables, simulate.UNITS, facts)
    assert failed(check.check(tmp_path / "other.h5", SETTINGS)) == {"drawn again"}


def test_lost_quads_are_refused_by_their_fraction(dataset):
    # as if every fifth quad of 27.5 % had been lost; 22.5 +- 0.8 % are there
    expected = {4: 0.275}
    found = check.check(dataset, SETTINGS | {"expected_fractions": expected})
    assert failed(found) == {"fraction with 4 images"}


def test_fractions_are_only_reported_where_the_prior_is_not_that_of_the_expectation(dataset):
    prior = SETTINGS["prior"] | {"slope": ["fixed", 2.0], "source": ["image_in_disc", 2.5]}
    found = check.check(dataset, SETTINGS | {"prior": prior})
    (fraction,) = (each for each in found["checks"] if "fraction" in each["name"])
    assert fraction["passed"] is None
    assert "the prior's source differ" in fraction["sentence"]


@pytest.mark.parametrize("share", [0.0003, 0.0534, 0.6])
@pytest.mark.parametrize("n", [200, 100_000])
def test_a_correct_fraction_is_refused_less_than_once_in_a_million(n, share):
    reach = 8 * np.sqrt(n * share * (1 - share)) + 8
    counts = np.arange(max(0, int(n * share - reach)), min(n, int(n * share + reach)) + 1)
    passed = [checks.fraction("", "", int(k), n, share)["passed"] for k in counts]
    low, high = counts[passed][0], counts[passed][-1]
    refused = binom.cdf(low - 1, n, share) + binom.sf(high, n, share)
    assert refused < 1e-6
    assert not all(passed)


def test_a_fraction_beyond_three_sigma_is_flagged_and_not_refused():
    # sqrt(0.5 * 0.5 / 10^4) = 0.005
    found = checks.fraction("", "", 5180, 10_000, 0.5)
    assert found["passed"]
    assert found["flagged"]
    assert "+3.6 sigma" in found["sentence"]
    assert not checks.fraction("", "", 5130, 10_000, 0.5)["flagged"]


def test_the_distribution_test_is_that_of_scipy():
    u = np.random.default_rng(3).random(5000) ** 1.03
    test = checks.Uniform("", "")
    for part in np.array_split(u, 7):
        test.add(part)
    assert test.outcome()["value"] == pytest.approx(kstest(u, "uniform").pvalue, rel=0.02)


def test_statistics_of_a_column_are_those_of_numpy():
    values = 1e6 + np.random.default_rng(3).normal(size=1000)
    column = checks.Column("x")
    for part in np.array_split(values, 9):
        column.add(part)
    assert column.numbers() == pytest.approx(
        {"mean": values.mean(), "sd": values.std(), "min": values.min(), "max": values.max()},
        rel=1e-9,
    )


def test_values_that_are_not_finite_are_named_with_the_first_row():
    columns = checks.Columns()
    columns.add("images", {"delay": np.arange(4.0)})
    columns.add("images", {"delay": np.array([1.0, np.inf, 2.0, np.nan])})
    found = columns.finite()
    assert not found["passed"]
    assert found["sentence"] == "2 of 8 rows of 'delay' are not finite (first: row 5)"


def test_fingerprints_differ_in_the_last_bit_of_any_column():
    rows = np.array([[1.0, 2.0], [1.0, np.nextafter(2.0, 3)], [np.nextafter(1.0, 2), 2.0]])
    assert len(set(checks.fingerprints(list(rows.T)).tolist())) == 3


def test_populations_that_share_systems_are_named(tmp_path):
    rng = np.random.default_rng(2)
    prints = rng.integers(0, 2**63, 100_000).astype(np.uint64)
    copies = np.concatenate([prints[:10_000], rng.integers(0, 2**63, 90_000).astype(np.uint64)])
    others = rng.integers(0, 2**63, 1000).astype(np.uint64)
    paths = []
    for name, values in {"one": prints, "copies": copies, "others": others}.items():
        paths.append(tmp_path / f"{name}.json")
        found = {"population": name, "sketch": checks.sketch(values), "checks": []}
        checks.report(found, paths[-1])
    checks.compare_populations([paths[0], paths[2]], tmp_path / "good.json")
    with pytest.raises(
        ValueError, match=r"'copies' and 'one' have \d+ systems in common of 9\d\d that"
    ):
        checks.compare_populations(paths, tmp_path / "bad.json")


def test_a_failed_check_stops_the_run_with_its_numbers(tmp_path):
    good = checks.outcome("a", True, 1, 2, "1 of 2 is well")
    bad = checks.outcome("b", False, 3, 2, "3 of 2 are too many")
    with pytest.raises(ValueError, match=r"data set 'sie' refused: 3 of 2 are too many$"):
        checks.report({"population": "sie", "checks": [good, bad]}, tmp_path / "checks.json")
    assert json.loads((tmp_path / "checks.json").read_text())["checks"] == [good, bad]


ROWS = """name,z_lens,z_source,lens_x,lens_y,lens_error,x,y,position_error,delay,delay_error
A,0.5,2.0,0,0,0.01,1.2,0,0.005,,
A,,,,,,-0.6,0.1,0.005,30,1
B,0.4,1.5,,,,0,0.9,0.005,,
B,,,,,,0.1,-0.5,0.005,,
"""


@pytest.fixture
def published(tmp_path):
    (tmp_path / "own.csv").write_text(ROWS)
    ingest.ingest(tmp_path / "own.csv", tmp_path / "own.h5")
    return tmp_path / "own.h5"


def test_published_systems_pass_and_those_without_delays_are_named(published):
    found = check.check(published, {})
    assert failed(found) == set()
    assert "1 of 2 systems have a measured delay; without: B" in [
        each["sentence"] for each in found["checks"]
    ]


def negative_error(systems, images):
    images["position_error"][1] = -0.005


def late_first_image(systems, images):
    images["delay"][0] = 3.0


def minutes_of_arc(systems, images):
    images["x"] *= 60


def no_delay_at_all(systems, images):
    images["delay_measured"][1] = 0


def delays_against_the_order(systems, images):
    images["delay"][1] = -30.0


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (negative_error, "position errors"),
        (late_first_image, "first image"),
        (minutes_of_arc, "separations"),
        (no_delay_at_all, "delays"),
        (delays_against_the_order, "arrival order"),
        (nan, "finite"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damage_to_published_systems_is_found(published, tmp_path, change, name):
    tables = {table: store.read(published, table) for table in ("systems", "images")}
    if change is nan:
        tables["images"]["x"][0] = np.nan
    else:
        change(**tables)
    store.write(tmp_path / "damaged.h5", tables, ingest.UNITS, {})
    assert name in failed(check.check(tmp_path / "damaged.h5", {}))
