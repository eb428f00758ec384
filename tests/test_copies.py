"""Copies of images are found whatever was done to them, and nothing else is taken for one."""

import csv

import numpy as np
import pytest
from astropy.io import fits
from ingested import complete

from lensmill import experiments
from lensmill.cutouts import checks as cutout_checks
from lensmill.cutouts import copies
from lensmill.cutouts import ingest as cutouts
from lensmill.experiments.lens_finding import simulate
from lensmill.pipeline import checks, store
from lensmill.pipeline.settings import population
from lensmill.pipeline.streams import uniforms

SIZE = 48


def scenes(n, seed=1, noise=1.0):
    """Return galaxies with an arc each, in noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    q, phi, size = rng.uniform(0.5, 1, n), rng.uniform(0, np.pi, n), rng.uniform(2, 5, n)
    c, s = np.cos(phi)[:, None, None], np.sin(phi)[:, None, None]
    u, v = c * x + s * y, (c * y - s * x) / q[:, None, None]
    image = rng.lognormal(3, 0.7, n)[:, None, None] * np.exp(-np.hypot(u, v) / size[:, None, None])
    image += noise * rng.normal(size=image.shape)
    return image[..., None].astype(np.float32)


CHANGES = {
    "turned": lambda p: np.rot90(p, 1, axes=(1, 2)),
    "mirrored and brighter": lambda p: p[:, ::-1] * np.float32(1.7),
    "shifted": lambda p: np.roll(p, 1, axis=2),
    "all of it": lambda p: (
        np.roll(np.rot90(p, 3, axes=(1, 2))[:, :, ::-1], (2, -1), (1, 2)) / 9 + 5
    ),
    "in counts": lambda p: np.round(8 * p),
}


def found(pixels):
    signature = copies.signatures(pixels)
    near = copies.candidates(signature)
    return {(p.row, p.other) for p in copies.pairs(near, pixels.__getitem__, pixels.__getitem__)}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_changed_copy_is_found_and_nothing_else(change):
    images = scenes(300)
    copied = change(images[:100]).astype(np.float32)
    pairs = found(np.concatenate([images, copied]))
    assert pairs == {(300 + i, i) for i in range(100)}


@pytest.mark.parametrize("noise", [1.0, 0.0], ids=["noise", "no noise"])
def test_images_that_only_resemble_each_other_are_no_copies(noise):
    assert found(scenes(600, 2, noise)) == set()


def test_bright_stars_behind_one_telescope_are_no_copies():
    settings = experiments.defaults("lens_finding")
    settings["populations"]["stars"] = {
        "family": "epl_shear",
        "prior": "galaxies",
        "observation": "hst_f814w_small",
        "systems": 1500,
        "override": {"lens_fraction": 0.0, "star_magnitude": ["uniform", 18.0, 20.0]},
    }
    chosen = population(settings, "stars")
    kinds = dict.fromkeys(chosen["prior"]["non_lenses"], 0.0) | {"star": 1.0}
    chosen["prior"]["non_lenses"] = kinds
    u = uniforms(1, "lens_finding", "stars", 0, 1500, simulate.WIDTH)
    assert found(simulate.draw(0, u, chosen)["cutouts"]["pixels"]) == set()


def test_copies_without_noise_are_found():
    images = scenes(100, 3, 0.0)
    changed = images[:50, ::-1] * np.float32(3)
    assert found(np.concatenate([images, changed])) >= {(100 + i, i) for i in range(50)}


def saved(path, pixels, label, group=None, **facts):
    n = len(pixels)
    index = np.arange(n)
    systems = {
        "index": index,
        "is_lens": np.asarray(label, np.uint8),
        "label_known": np.ones(n, np.uint8),
        "kind": np.full(n, 255, np.uint8),
        "name": np.array([f"s{i}" for i in range(n)]),
    }
    systems |= {} if group is None else {"group": np.array(group)}
    tables = {"systems": systems, "cutouts": {"system": index, "pixels": pixels}}
    units = {table: dict.fromkeys(columns, "") for table, columns in tables.items()}
    about = {"population": path.stem, "experiment": "e", "candidates": n, "used": n, "refused": 0}
    store.write(path, tables, units, about | facts)
    return str(path)


def failed(results):
    return {each["name"] for each in results if not each["passed"]}


def test_copies_in_one_group_are_declared_but_for_their_labels(tmp_path):
    images = scenes(60)
    pixels = np.concatenate([images, np.roll(images[:, ::-1] * np.float32(1.7), 1, axis=2)])
    names = [f"object {i}" for i in range(60)] * 2
    label = np.arange(120) % 2
    results, pairs = cutout_checks.duplicates(saved(tmp_path / "a.h5", pixels, label, names))
    assert failed(results) == set() and pairs == []
    results, pairs = cutout_checks.duplicates(saved(tmp_path / "b.h5", pixels, label))
    assert failed(results) == {"no duplicates"} and len(pairs) == 60
    names[60] = "another"
    results, pairs = cutout_checks.duplicates(saved(tmp_path / "c.h5", pixels, label, names))
    assert [(p[0], p[4], p[2], p[6]) for p in pairs] == [("s60", "s0", "another", "object 0")]
    label[60] = 1
    names[60] = "object 0"
    results, pairs = cutout_checks.duplicates(saved(tmp_path / "d.h5", pixels, label, names))
    assert failed(results) == {"one label per image"} and len(pairs) == 1


def test_all_pairs_of_copies_are_listed_where_a_failed_job_leaves_them(tmp_path):
    images = scenes(60)
    pixels = np.concatenate([images, np.roll(images, 1, axis=1)])
    dataset = saved(tmp_path / "a.h5", pixels, np.arange(120) % 2)
    listed = tmp_path / "copies.csv"
    with pytest.raises(ValueError, match=r"60 of 120 images occur twice.*copies\.csv"):
        checks.report(cutout_checks.check(dataset, {}), tmp_path / "checks.json", listed)
    with listed.open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["system"], r["system_of_copy"]) for r in rows] == [
        (f"s{60 + i}", f"s{i}") for i in range(60)
    ]


def test_a_shifted_copy_and_a_group_are_found_in_another_data_set(tmp_path):
    images, others = scenes(40), scenes(40, 7)
    others[5] = np.roll(images[9] * np.float32(2), 1, axis=0)
    label = np.arange(40) % 2
    group = [f"g{i}" for i in range(40)]
    one = saved(tmp_path / "one.h5", images, label, group)
    two = saved(tmp_path / "two.h5", others, label, ["g3"] + ["" for _ in range(39)])
    image, of_group = cutout_checks.shared(two, one)
    assert image["sentence"].startswith("1 of 40 images of 'two'") and "s5" in image["sentence"]
    assert "1 of 40 systems of 'two' belong to a group" in of_group["sentence"]
    unseen = np.setdiff1d(np.arange(40), [9, 3])
    assert failed(cutout_checks.shared(two, one, None, unseen)) == set()


OBSERVATION = {"pixel_scale": 0.25, "size": 16, "bands": ["i"]}


def frames(folder, n=5, side=40):
    rng = np.random.default_rng(4)
    folder.mkdir()
    lines = ["name,i,tile,label"]
    for k in range(n):
        pixels = rng.normal(size=(side, side)).astype(np.float32)
        pixels[18:22, 18:22] += 30
        fits.writeto(folder / f"{k}.fits", pixels)
        lines.append(f"n{k},{k}.fits,{['000120', '120', '1e0', '', 'nan'][k]},{k % 2}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder / "table.csv"


def ingested(tmp_path, name, table, **settings):
    output = str(tmp_path / f"{name}.h5")
    settings = {"format": "table", "pixel_scale": 0.25, "observation": OBSERVATION} | settings
    cutouts.ingest(table, output, name, "lens_finding", complete(settings))
    return output


def test_groups_of_a_table_are_text_as_written(tmp_path):
    table = frames(tmp_path / "in")
    dataset = ingested(tmp_path, "mine", table, group="tile")
    systems = store.read(dataset, "systems")
    assert systems["group"].tolist() == ["000120", "120", "1e0", "", ""]
    assert "tile" not in systems
    assert "group" not in store.read(ingested(tmp_path, "other", table), "systems")
    table.write_text(table.read_text().replace(",120,", ",120.0,"))  # as pandas may write it
    assert "120.0" in table.read_text()
    again = store.read(ingested(tmp_path, "again", table, group="tile"), "systems")
    assert again["group"].tolist() == systems["group"].tolist()
    with pytest.raises(ValueError, match=r"group: there is no column 'host' .* columns are: name"):
        ingested(tmp_path, "wrong", table, group="host")
    with pytest.raises(ValueError, match="format 'classes' reads no table"):
        ingested(tmp_path, "folder", tmp_path / "in", format="classes", label=1, group="tile")


def test_corners_of_an_image_are_one_group_that_the_image_belongs_to(tmp_path):
    table = frames(tmp_path / "in")
    sky = ingested(tmp_path, "sky", table, place="corners")
    group = store.read(sky, "systems")["group"]
    assert len(set(group)) == 5 and (group.reshape(5, 4) == group[::4, None]).all()
    image, of_group = cutout_checks.shared(ingested(tmp_path, "lenses", table), sky)
    assert image["passed"] and of_group["value"] == 5
    named = store.read(ingested(tmp_path, "named", table, place="corners", group="tile"), "systems")
    assert named["group"][:4].tolist() == ["000120"] * 4
    assert named["group"][-1] == group[-1]


@pytest.fixture
def settings():
    from lensmill import experiments

    chosen = experiments.defaults("lens_finding")
    found = population(chosen, "euclid")
    found["observation"] = found["observation"] | {"size": 16}
    return found


def test_mocks_have_the_group_of_their_piece_of_sky(tmp_path, settings):
    sky = ingested(tmp_path, "sky", frames(tmp_path / "in"), place="corners")
    numbers = uniforms(1, "lens_finding", "p", 0, 20, simulate.WIDTH)
    assert "group" not in simulate.draw(0, numbers, settings)["systems"]
    systems = simulate.draw(0, numbers, settings | {"background": sky})["systems"]
    column = numbers[:, simulate.sky.SLOTS.index("background")]
    expected = store.read(sky, "systems")["group"][(column * 20).astype(int)]
    assert systems["group"].tolist() == expected.tolist()
