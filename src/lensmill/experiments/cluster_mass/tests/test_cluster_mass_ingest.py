import numpy as np
import pytest
from astropy.io import fits
from cluster_mass_settings import population

from lensmill.clusters import gas
from lensmill.experiments.cluster_mass import check, ingest, simulate, surface_brightness
from lensmill.pipeline import checks, shards, store

SIZE, SCALE = 40, 20.0  # of the cut-out [pixel, arcsec]
FIELD = 101
OBSERVATION = {"size": SIZE, "pixel_scale": SCALE, "aperture": [110.0, 500.0]}
CLUSTER = {
    **{"image": "counts.fits", "exposure": "exposure.fits", "background": "background.fits"},
    **{"ra": 55.0, "dec": -53.0, "redshift": 0.12, "m500": 4e14},
}
R500 = 8.3  # of it [arcmin]


def header():
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 55.0, "CRVAL2": -53.0}
    cards |= {"CRPIX1": 51.0 + 3, "CRPIX2": 51.0 - 2, "CUNIT1": "deg", "CUNIT2": "deg"}
    cards |= {"CDELT1": -SCALE / 3600, "CDELT2": SCALE / 3600}
    return fits.Header(cards)


@pytest.fixture
def maps():
    """Paint a cluster of beta 0.65 and core 0.15 r500, 3 pixels right of the middle, 2 below."""
    y, x = np.indices((FIELD, FIELD))
    far = np.hypot(x - 53, y - 48) * SCALE / 60 / R500
    shape = np.array([[0.0, 0.65, 2.5, 0.15, 1.2]])
    light = gas.columns(shape, np.maximum(far.ravel(), 1e-3))[0].reshape(far.shape)
    exposure = np.where(np.hypot(x - 50, y - 50) < 49, 3e4, 0.0)
    background = np.full(far.shape, 0.2)
    area = (SCALE / 60) ** 2
    expected = (0.05 * light / light.max() + 3e-4) * area * exposure + background
    counts = np.random.default_rng(5).poisson(expected).astype(np.int16)
    return {"image": counts, "exposure": exposure, "background": background}


def write(folder, maps):
    for key, data in maps.items():
        fits.writeto(folder / CLUSTER[key], data, header(), overwrite=True)


def run(folder, cluster=None, sky=(13.0, 16.0)):
    settings = {
        "ingest": str(folder),
        "observation": OBSERVATION,
        "clusters": {"a1": CLUSTER | (cluster or {})},
        "sky": list(sky),
    }
    output = str(folder / "dataset.h5")
    ingest.ingest(str(folder), output, "real", "cluster_mass", settings)
    return output, settings


def test_photons_are_cut_out_as_they_are(tmp_path, maps):
    write(tmp_path, maps)
    output, settings = run(tmp_path)
    systems = store.read(output, "systems")
    pixels = store.read(output, "cutouts")["pixels"]
    x, y = systems["x"][0], systems["y"][0]
    assert abs(x - 19.5) <= 0.5 and abs(y - 19.5) <= 0.5
    left, low = 53 - round(x), 48 - round(y)
    wanted = maps["image"][low : low + SIZE, left : left + SIZE]
    assert (pixels[0, ..., 0] == wanted).all() and pixels.dtype == np.float32
    assert systems["counts"][0] == wanted.sum()
    assert systems["exposure"][0] == pytest.approx(3e4)
    # what the map has, and the sky as it is in the ring
    area = (SCALE / 60) ** 2
    assert systems["background"][0] == pytest.approx(0.2 + 3e-4 * area * 3e4, rel=0.1)
    assert systems["group"][0] == "a1" and systems["ln_m500_known"][0] == 1
    assert systems["r500"][0] == pytest.approx(R500, abs=0.1)
    for name in ("m_gas", "cool_core", "l_x", "turn"):
        assert systems[name][0] == 0 and systems[f"{name}_known"][0] == 0
    assert not checks.failed(check.check(output, settings)["checks"])


def test_a_mass_that_is_not_known_is_none(tmp_path, maps):
    write(tmp_path, maps)
    systems = store.read(run(tmp_path, {"m500": None})[0], "systems")
    for name in ("ln_m500", "r500", "r500_kpc", "mass_bin"):
        assert systems[name][0] == 0 and systems[f"{name}_known"][0] == 0


def test_columns_are_those_of_simulated_clusters_with_flags(tmp_path, maps):
    write(tmp_path, maps)
    ours = store.read(run(tmp_path)[0], "systems")
    settings = population()
    settings["observation"] |= {"size": 16, "pixel_scale": 150.0}
    path = str(tmp_path / "mock.h5")
    shards.simulate(path, simulate, "cluster_mass", "flat", 1, 0, 2, settings, "code")
    theirs = store.read(path, "systems")
    assert {name for name in ours if not name.endswith("_known")} == theirs.keys()


def test_the_profile_gives_back_the_gas(tmp_path, maps):
    write(tmp_path, maps)
    profile = store.read(run(tmp_path)[0], "profile")
    assert (profile["inner"][1:-1] == profile["outer"][:-2]).all()
    found = surface_brightness.fit(profile, R500)
    assert found.beta == pytest.approx(0.65, abs=0.03)
    assert found.core == pytest.approx(0.15, abs=0.02)
    assert found.sky == pytest.approx(3e-4, rel=0.1)
    # chi2 of 9 degrees of freedom, up to p = 1e-4
    assert found.rings - 4 == 9 and found.deviance < 34


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": lambda m: m / m.max()}, "no whole numbers of photons"),
        ({"image": lambda m: m - 1}, "pixels below 0"),
        ({"exposure": lambda m: m[:-1]}, r"its exposure has \(100, 101\) pixels"),
        ({"exposure": lambda m: m * 0}, "map of exposure is 0 in the ring of the sky"),
        ({"background": lambda m: m * np.nan}, "not finite; mend the background"),
    ],
)
def test_maps_that_cannot_be_are_refused(tmp_path, maps, change, message):
    write(tmp_path, maps | {key: of(maps[key]) for key, of in change.items()})
    with pytest.raises(ValueError, match=message):
        run(tmp_path)


def test_what_does_not_fit_is_refused_with_the_remedy(tmp_path, maps):
    write(tmp_path, maps)
    with pytest.raises(ValueError, match=r"there is no .*other\.fits, its image"):
        run(tmp_path, {"image": "other.fits"})
    with pytest.raises(ValueError, match="leaves the image of 101 x 101; make the observation"):
        run(tmp_path, {"dec": -53.2})
    for key in maps:
        wide = header()
        wide["CDELT1"] *= 1.5
        fits.writeto(tmp_path / CLUSTER[key], maps[key], wide, overwrite=True)
    with pytest.raises(ValueError, match=r"are 30\.000 x 20\.000 arcsec.*photons are not interpol"):
        run(tmp_path)


def test_a3158_as_rosat_saw_it(shared_data, tmp_path):
    settings = {
        "ingest": "a3158",
        "observation": {"size": 128, "pixel_scale": 14.947, "aperture": [110.0, 750.0]},
        "sky": [25.0, 40.0],
        "clusters": {
            "a3158": {
                "image": "b_37.fits.gz",
                "exposure": "expose_mask_37.fits.gz",
                "background": "back_37.fits.gz",
                **{"ra": 55.72, "dec": -53.63, "redshift": 0.0597, "m500": 4.3e14},
            }
        },
    }
    output = str(tmp_path / "a3158.h5")
    folder = shared_data / "cluster_rosat_a3158"
    ingest.ingest(str(folder), output, "a3158", "cluster_mass", settings)
    systems, profile = store.read(output, "systems"), store.read(output, "profile")
    assert systems["counts"][0] == 6269
    assert systems["r500"][0] == pytest.approx(16.3, abs=0.1)
    # the centre of the catalogue is that of the light, to a pixel
    pixels = store.read(output, "cutouts")["pixels"][0, ..., 0] - systems["background"][0]
    y, x = np.indices(pixels.shape)
    near = np.hypot(x - 63.5, y - 63.5) < 12
    for place, name in ((x, "x"), (y, "y")):
        assert (pixels * place)[near].sum() / pixels[near].sum() == pytest.approx(
            systems[name][0], abs=1.0
        )
    found = surface_brightness.fit(profile, systems["r500"][0])
    # no cool core: a profile that the prior has, to the accuracy of 5,000 photons
    prior = population()["prior"]
    assert prior["beta"][3] < found.beta < prior["beta"][4]
    assert prior["core_radius"][3] < found.core < prior["core_radius"][4]
    assert found.deviance < 35  # 12 degrees of freedom; the cluster is no circle
    assert found.sky == pytest.approx(2.2e-4, rel=0.05)
