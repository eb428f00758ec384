"""Shards and their merging: how the systems are cut changes nothing."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from lensmill.pipeline import shards, store
from lensmill.pipeline.streams import of_objects, uniforms

IDENTITY = {
    "experiment": "toy",
    "population": "p",
    "seed": 1,
    "settings": {"family": "f"},
    "code": "c0ffee",
}


def _draw(first, numbers, settings):
    """Systems with 1 to 4 'images' each."""
    n_images = 1 + (4 * numbers[:, 0]).astype(np.int64)
    index = first + np.arange(len(numbers))
    return {
        "systems": {
            "index": index,
            "n_images": n_images,
            "first_image": np.cumsum(n_images) - n_images,
        },
        "images": {"system": np.repeat(index, n_images), "x": np.repeat(numbers[:, 1], n_images)},
    }


TOY = SimpleNamespace(
    draw=_draw,
    WIDTH=4,
    UNITS={
        "systems": {"index": "", "n_images": "", "first_image": ""},
        "images": {"system": "", "x": "arcsec"},
    },
    ROWS_OF={"systems/first_image": "images"},
)


def make(folder, edges, **changes):
    """Write the shards between these edges and return their paths."""
    paths = []
    for first, end in itertools.pairwise(edges):
        path = str(folder / f"{first:05d}.h5")
        shards.simulate(path, TOY, first=first, count=end - first, **(IDENTITY | changes))
        paths.append(path)
    return paths


def merge(paths, output, systems=100):
    shards.merge(paths, str(output), systems=systems, **IDENTITY)
    return store.attributes(output)["content_digest"]


def test_one_or_many_uneven_shards_merge_to_the_same_digest(tmp_path, monkeypatch):
    digests = set()
    for n, edges in enumerate([[0, 100], [0, 1, 50, 100], list(range(0, 101, 4))]):
        folder = tmp_path / str(n)
        digests.add(merge(make(folder, edges), folder / "all.h5"))
    monkeypatch.setattr(shards, "BATCH", 7)
    digests.add(merge(make(tmp_path / "b", [0, 60, 100]), tmp_path / "b/all.h5"))
    assert len(digests) == 1


def test_first_image_leads_to_the_images_of_each_system(tmp_path):
    merge(make(tmp_path, [0, 33, 100]), tmp_path / "all.h5")
    systems = store.read(tmp_path / "all.h5", "systems")
    images = store.read(tmp_path / "all.h5", "images")
    owner = np.repeat(systems["index"], systems["n_images"])
    assert images["system"].tolist() == owner.tolist()
    assert (images["system"][systems["first_image"]] == systems["index"]).all()


def test_a_system_has_the_same_numbers_alone_as_in_company():
    together = uniforms(1, "e", "p", 0, 1000, 16)
    assert (uniforms(1, "e", "p", 777, 1, 16) == together[777]).all()


def test_systems_of_an_object_share_its_numbers_wherever_the_shard_is_cut():
    whole = of_objects(1, "e", "p", 0, 30, 8, 3, 5)
    assert (whole[:, :5] == np.repeat(whole[::3, :5], 3, axis=0)).all()
    assert len(np.unique(whole[:, :5], axis=0)) == 10 and len(np.unique(whole[:, 5])) == 30
    for first, count in [(0, 1), (1, 1), (2, 7), (29, 1), (4, 26)]:
        part = of_objects(1, "e", "p", first, count, 8, 3, 5)
        assert (part == whole[first : first + count]).all()
    # a system alone has the numbers that it always had
    assert (of_objects(1, "e", "p", 0, 30, 8, 1, 5) == uniforms(1, "e", "p", 0, 30, 8)).all()


def test_seed_experiment_and_population_change_the_numbers():
    keys = [(1, "e", "p"), (2, "e", "p"), (1, "f", "p"), (1, "e", "q")]
    assert len({uniforms(*key, 0, 1, 4)[0, 0] for key in keys}) == 4


def test_a_width_that_is_no_multiple_of_four_is_refused():
    with pytest.raises(ValueError, match="width = 6 must be a multiple of 4"):
        uniforms(1, "e", "p", 0, 1, 6)


@pytest.fixture
def three(tmp_path):
    return make(tmp_path, [0, 40, 70, 100])


def test_a_missing_shard_is_named(three, tmp_path):
    (tmp_path / "00040.h5").unlink()
    with pytest.raises(ValueError, match=r"shard .*00040\.h5 is missing"):
        merge(three, tmp_path / "all.h5")
    assert not (tmp_path / "all.h5").exists()


def test_a_shard_left_out_is_noticed(three, tmp_path):
    with pytest.raises(ValueError, match=r"00070\.h5 holds systems 70 to 99 where 40 comes next"):
        merge([three[0], three[2]], tmp_path / "all.h5")


def test_a_repeated_shard_is_named(three, tmp_path):
    with pytest.raises(ValueError, match=r"00040\.h5 holds systems 40 to 69 where 70 comes next"):
        merge([three[0], three[1], three[1], three[2]], tmp_path / "all.h5")


def test_shards_out_of_order_are_refused(three, tmp_path):
    with pytest.raises(ValueError, match="out of order"):
        merge([three[1], three[0], three[2]], tmp_path / "all.h5")


def test_a_missing_end_is_noticed(three, tmp_path):
    with pytest.raises(ValueError, match="hold 70 of 100 systems"):
        merge(three[:2], tmp_path / "all.h5")


def test_a_truncated_shard_is_named(three, tmp_path):
    with (tmp_path / "00040.h5").open("rb+") as file:
        file.truncate(1000)
    with pytest.raises(ValueError, match=r"00040\.h5 cannot be read"):
        merge(three, tmp_path / "all.h5")


def test_a_flipped_byte_is_noticed(three, tmp_path):
    path = tmp_path / "00040.h5"
    x = store.read(path, "images", ["x"])["x"]
    content = path.read_bytes()
    assert content.count(x.tobytes()) == 1
    path.write_bytes(content.replace(x.tobytes(), (x + np.eye(1, len(x))[0]).tobytes()))
    with pytest.raises(ValueError, match=r"00040\.h5 is damaged"):
        merge(three, tmp_path / "all.h5")


def test_a_flipped_bit_among_the_attributes_is_named(three, tmp_path):
    path = tmp_path / "00040.h5"
    content = bytearray(path.read_bytes())
    content[content.index(b"settings\0") + 18] ^= 8  # the set of characters of a text
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"00040\.h5 cannot be read .*only that shard"):
        merge(three, tmp_path / "all.h5")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seed", 2, "its seed is"),
        ("population", "q", "its population is"),
        ("settings", {"family": "g"}, "its settings is"),
        ("code", "decade", "its digest of the code is"),
    ],
)
def test_a_foreign_shard_is_named_with_what_differs(three, tmp_path, key, value, said):
    make(tmp_path, [40, 70], **{key: value})
    with pytest.raises(ValueError, match=rf"00040\.h5 belongs elsewhere: {said}"):
        merge(three, tmp_path / "all.h5")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spin": np.zeros(10)}, "p: columns of 'systems' and its UNITS differ: spin"),
        ({"n_images": np.ones(9)}, r"columns of 'systems' have \[9, 10\] rows"),
        ({"index": np.arange(1, 11)}, r"systems/index is not 0 \.\.\. 9"),
    ],
)
def test_a_simulator_that_gives_what_it_does_not_say_is_refused(tmp_path, change, said):
    def draw(first, numbers, settings):
        tables = _draw(first, numbers, settings)
        return tables | {"systems": tables["systems"] | change}

    odd = SimpleNamespace(**{**vars(TOY), "draw": draw})
    with pytest.raises(ValueError, match=said):
        shards.simulate(str(tmp_path / "a.h5"), odd, first=0, count=10, **IDENTITY)
