"""Pickled catalogues come in whole, in our conventions, and can run nothing."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy import units

from lensmill.experiments.time_delay import legacy
from lensmill.pipeline import store

FAMILIES = {"valShear.npy": "Shear", "valEllip.npy": "Ellip"}


def an_entry(**changes):
    """Return a lens in the old form: an isothermal sphere, theta_E = 1, source at (0.3, 0)."""
    entry = {
        "img": np.array([[1.3, 0.0], [-0.7, 0.0]]),
        "mu": np.array([1 / 0.3 + 1, 1 - 1 / 0.3]),
        "time": np.array([0.0, 33.6]) * units.day,
        "potent": np.array([1.3, 0.7]),
        "deflec": np.array([[1.0, 0.0], [-1.0, 0.0]]),
        "einrad": np.float64(1.0),
        "zLens": 0.5,
        "zSrc": np.float64(2.0),
        "betaOne": 0.3,
        "betaTwo": 0.0,
    }
    entry |= dict.fromkeys(("ellipc", "ellips", "gammc", "gamms"), 0.0)
    return entry | changes


def save(path, entries):
    """Write entries as the old code did."""
    np.save(path, np.array([*entries, None], object)[:-1], allow_pickle=True)
    return path


def test_a_sphere_written_by_numpy_and_astropy_comes_back(tmp_path):
    tables = legacy.tables(legacy.load(save(tmp_path / "old.npy", [an_entry()])))
    assert tables["systems"]["theta_e"] == pytest.approx([1.0])
    assert tables["systems"]["q"] == pytest.approx([1.0])
    assert tables["images"]["x"].tolist() == [1.3, -0.7]
    assert tables["images"]["type"].tolist() == [0, 1]
    assert tables["images"]["delay"] == pytest.approx([0.0, 33.6])
    # (1 - 0.3)^2 / 2 is wrong: the image is at 1.3, so 1^2 / 2 - 1.3 and 1^2 / 2 - 0.7
    assert tables["images"]["fermat"] == pytest.approx([-0.8, -0.2])


def test_delays_in_hours_become_days(tmp_path):
    old = an_entry(time=np.array([0.0, 48.0]) * units.hour)
    assert legacy.load(save(tmp_path / "old.npy", [old]))[0]["time"] == pytest.approx([0.0, 2.0])


def test_delays_in_metres_are_refused(tmp_path):
    old = an_entry(time=np.array([0.0, 48.0]) * units.m)
    with pytest.raises(ValueError, match="not a unit of time"):
        legacy.load(save(tmp_path / "old.npy", [old]))


def test_images_are_put_in_order_of_arrival_with_everything_they_own(tmp_path):
    turned = {key: value[::-1] if np.ndim(value) else value for key, value in an_entry().items()}
    swapped = legacy.tables(legacy.load(save(tmp_path / "old.npy", [an_entry(), turned])))
    images = swapped["images"]
    for name in legacy.IMAGE_UNITS.keys() - {"system"}:
        assert images[name][2:].tolist() == images[name][:2].tolist(), name


def test_a_prolate_lens_has_the_radius_on_the_intermediate_axis(tmp_path):
    # e = 0.36 towards y: q = 0.64, theta_e = b / 0.8, major axis along y
    entry = legacy.load(save(tmp_path / "old.npy", [an_entry(ellipc=-0.36)]))[0]
    systems = legacy.tables([entry])["systems"]
    assert systems["theta_e"] == pytest.approx([1.25])
    assert systems["phi"] == pytest.approx([np.pi / 2])


@pytest.mark.parametrize("name", FAMILIES)
def test_the_reference_files_hold_what_their_plain_copy_holds(shared_data, name):
    folder = shared_data / "pygravlens_reference"
    plain = json.loads((folder / "pygravlens_shear_ellip.json").read_text())
    plain = [lens for lens in plain if lens["model"] == FAMILIES[name]]
    entries = legacy.load(folder / name)
    assert len(entries) == len(plain) == 10
    for entry, lens in zip(entries, plain, strict=True):
        assert entry["img"].tolist() == lens["img"]
        assert entry["deflec"].tolist() == lens["deflec"]
        assert entry["time"] == pytest.approx(lens["time_days"])
        assert entry["einrad"] == lens["einrad"]


@pytest.mark.parametrize("name", FAMILIES)
def test_potentials_of_the_reference_files_explain_their_delays(shared_data, name):
    # D_dt of one system is one number, so delays are proportional to Fermat differences;
    # the old code rounded its distances to 1e-4
    tables = legacy.tables(legacy.load(shared_data / "pygravlens_reference" / name))
    first = np.repeat(tables["systems"]["first_image"], tables["systems"]["n_images"])
    fermat = tables["images"]["fermat"] - tables["images"]["fermat"][first]
    later = np.arange(len(first)) > first
    ratio = tables["images"]["delay"][later] / fermat[later]
    system = tables["images"]["system"][later]
    mean = np.bincount(system, ratio) / np.maximum(np.bincount(system), 1)
    assert ratio == pytest.approx(mean[system], rel=2e-4)


def pickled(path, entries, protocol):
    """Write entries as ``numpy.save`` did before it chose a protocol."""
    array = np.array([*entries, None], object)[:-1]
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        pickle.dump(array, file, protocol=protocol)
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("kind", [float, np.float64, np.float32, np.int64])
def test_every_protocol_and_type_of_number_comes_back(tmp_path, protocol, kind):
    path = pickled(tmp_path / "old.npy", [an_entry(zSrc=kind(2))], protocol)
    assert legacy.load(path)[0] == legacy.load(save(tmp_path / "new.npy", [an_entry()]))[0] | {
        "time": pytest.approx([0.0, 33.6]),
        **{
            k: pytest.approx(np.asarray(v))
            for k, v in legacy.load(tmp_path / "new.npy")[0].items()
            if k != "time"
        },
    }


CASES = Path(__file__).parents[2] / "shared/cases/old_pickles/in"


@pytest.mark.skipif(not CASES.is_dir(), reason=f"no reduced inputs at {CASES}")
def test_the_same_catalogue_of_any_protocol_and_of_python_2_is_the_same():
    wanted = legacy.tables(legacy.load(CASES / "protocol3.npy"))
    assert len(wanted["systems"]["index"]) == 3
    for path in sorted(CASES.iterdir()):
        found = legacy.tables(legacy.load(path))
        for table, columns in wanted.items():
            for name, values in columns.items():
                assert found[table][name] == pytest.approx(values, rel=1e-6), (path.name, name)


def test_only_bytes_may_be_made_of_text(tmp_path):
    with pytest.raises(pickle.UnpicklingError, match="refused: bytes in the encoding 'rot13'"):
        legacy._bytes("a", "rot13")
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        legacy._no_bytes(10)
    assert legacy._bytes("\xff", "latin1") == b"\xff"


class Hostile:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        """Return what the reader is told to call."""
        return os.system, ("touch was_here",)


class HostileNumpy:
    """Asks for a function of numpy that reads files."""

    def __reduce__(self):
        """Return what the reader is told to call."""
        return np.fromfile, ("old.npy",)


@pytest.mark.parametrize(
    ("intruder", "named"),
    [(Hostile(), r"(posix|nt)\.system"), (HostileNumpy(), r"numpy\S*\.fromfile")],
)
def test_a_hostile_pickle_is_refused_by_the_name_of_what_it_asks_for(
    tmp_path, monkeypatch, intruder, named
):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "bad.npy", [an_entry(), an_entry(zLens=intruder)])
    with pytest.raises(ValueError, match=rf"bad\.npy: refused: it asks for {named}"):
        legacy.load(path)
    assert not (tmp_path / "was_here").exists()


def test_numpy_types_that_no_catalogue_needs_are_refused(tmp_path):
    path = save(tmp_path / "bad.npy", [an_entry(mu=np.array([b"xx"]))])
    with pytest.raises(ValueError, match="refused: an array of type 'S2'"):
        legacy.load(path)


def test_a_truncated_file_is_refused(tmp_path):
    path = save(tmp_path / "old.npy", [an_entry()])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"old\.npy"):
        legacy.load(path)


@pytest.mark.parametrize(
    ("was", "damage"),
    [(b"}", b" "), (b"'|O'", b"',O'"), (b"\x8c\x06einrad", b"\x8d" + b"\xff" * 8)],
)
def test_a_damaged_file_is_refused(tmp_path, was, damage):
    path = save(tmp_path / "old.npy", [an_entry()])
    path.write_bytes(path.read_bytes().replace(was, damage, 1))
    with pytest.raises(ValueError, match=r"old\.npy"):
        legacy.load(path)


def test_a_plain_array_is_refused(tmp_path):
    np.save(tmp_path / "old.npy", np.arange(3.0))
    with pytest.raises(ValueError, match="float64, not one dict per lens"):
        legacy.load(tmp_path / "old.npy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"deflec": np.array([[-1.0, 0.0], [1.0, 0.0]])}, "lens 1.*labels those of another"),
        ({"potent": np.array([1.3])}, r"lens 1: 'potent' has shape \(1,\), but 'mu' lists 2"),
        ({"einrad": np.nan}, "lens 1: 'einrad' is not finite"),
        ({"ellipc": 1.2}, "lens 1: ellipticity 1.200 must lie below 1"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, change, message):
    path = save(tmp_path / "old.npy", [an_entry(), an_entry(**change)])
    with pytest.raises(ValueError, match=message):
        legacy.tables(legacy.load(path))


def test_the_command_line_writes_a_dataset_and_numbers_lenses_through(tmp_path):
    olds = [save(tmp_path / f"old{i}.npy", [an_entry()] * (i + 1)) for i in range(2)]
    command = [
        sys.executable,
        "-m",
        "lensmill.experiments.time_delay.legacy",
        *olds,
        tmp_path / "new.h5",
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    assert store.read(tmp_path / "new.h5", "systems")["index"].tolist() == [0, 1, 2]
    assert store.units(tmp_path / "new.h5")["images"]["delay"] == "day"
    assert "old1.npy" in store.attributes(tmp_path / "new.h5")["settings"]
