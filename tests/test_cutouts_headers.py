"""What a file says is taken from the header that belongs to the image, or refused by name."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from ingested import complete

from lensmill.cutouts import headers as cutout_wcs
from lensmill.cutouts import ingest as cutouts
from lensmill.pipeline import store

SIZE = 24
DEGREE = 3600.0
ONE = {"pixel_scale": 0.1, "size": SIZE, "bands": ["VIS"]}
TWO = ONE | {"bands": ["g", "r"]}
CASES = Path(__file__).parents[2] / "shared/cases"


def galaxy(seed=1, size=SIZE, flux=2000.0):
    """Return an image with noise 1 and sky 5."""
    axis = np.arange(size) - (size - 1) / 2
    light = np.exp(-(axis[:, None] ** 2 + axis**2) / 18)
    noise = np.random.default_rng(seed).normal(5.0, 1.0, (size, size))
    return (noise + flux * light / light.sum()).astype(np.float32)


def wcs(scale=0.1, kind="TAN", middle=(SIZE + 1) / 2, **cards):
    """Return the cards of a WCS, north up and east left; None leaves one out."""
    step = scale / DEGREE
    cards = {
        **{"CTYPE1": f"RA---{kind}", "CTYPE2": f"DEC--{kind}", "CRVAL1": 150.0, "CRVAL2": 2.0},
        **{"CRPIX1": middle, "CRPIX2": middle, "CD1_1": -step, "CD2_2": step},
    } | cards
    return {key: value for key, value in cards.items() if value is not None}


NO_CD = {"CD1_1": None, "CD2_2": None}


def extension(pixels, name=None, cards=None, kind=fits.ImageHDU, version=None):
    header = fits.Header(list((wcs() if cards is None else cards).items()))
    if name:
        header["EXTNAME"] = name
    if version:
        header["EXTVER"] = version
    return kind(pixels, header)


def write(path, *units):
    path.parent.mkdir(parents=True, exist_ok=True)
    first = [] if isinstance(units[0], fits.PrimaryHDU) else [fits.PrimaryHDU()]
    fits.HDUList([*first, *units]).writeto(path)
    return path


def image(path, pixels=None, **cards):
    return write(
        path, extension(galaxy() if pixels is None else pixels, None, cards, fits.PrimaryHDU)
    )


def ingest(path, tmp_path, **settings):
    """Return systems, pixels, and what is said of refused files and of used ones."""
    output = tmp_path / "dataset.h5"
    settings = {"observation": ONE, "format": "classes", "max_masked_fraction": 1.0} | settings
    cutouts.ingest(path, output, "mine", "lens_finding", complete(settings))
    said = [store.read(output, name) for name in ("refused", "notes")]
    refused, notes = (dict(zip(s["file"], s["reason"], strict=True)) for s in said)
    return store.read(output, "systems"), store.memmap(output, "cutouts", "pixels"), refused, notes


def table(tmp_path, text, **settings):
    path = tmp_path / "in/t.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return ingest(path, tmp_path, format="table", **settings)


def scales(tmp_path, **headers):
    """Return the pixel scales that headers give by name, or why they are refused."""
    for name, cards in headers.items():
        image(tmp_path / f"in/{name}.fits", **cards)
    image(tmp_path / "in/zz.fits", **wcs())
    systems, _, refused, _ = ingest(tmp_path / "in", tmp_path)
    found = dict(zip(systems["name"], systems["native_pixel_scale"], strict=True)) | refused
    return {name.removesuffix(".fits"): value for name, value in found.items()}


def test_each_extension_has_a_scale_and_a_saturation_of_its_own(tmp_path):
    fine = extension(galaxy(1), "VIS", wcs(0.1) | {"SATURATE": 6.0})
    coarse = extension(galaxy(2), "NISP", wcs(0.3))
    write(tmp_path / "in/x.fits", fine, coarse)
    systems, *_ = table(tmp_path, "name,VIS\na,x.fits[2]\n")
    assert systems["native_pixel_scale"] == pytest.approx([0.3])
    assert systems["saturated_fraction"].tolist() == [0.0]
    assert systems["resampled"].tolist() == [1]


def test_each_band_has_the_scale_of_its_own_extension(tmp_path):
    write(tmp_path / "in/x.fits", extension(galaxy(1), "g"), extension(galaxy(2), "r", wcs(0.3)))
    systems, *_ = table(tmp_path, "name,g,r\na,x.fits[g],x.fits[R]\n", observation=TWO)
    assert systems["native_pixel_scale_g"] == pytest.approx([0.1])
    assert systems["native_pixel_scale_r"] == pytest.approx([0.3])
    assert systems["resampled"].tolist() == [1]  # by its second band
    assert "1 of 1 resampled" in store.attributes(tmp_path / "dataset.h5")["psf"]
    assert store.units(tmp_path / "dataset.h5")["systems"]["native_pixel_scale_r"] == "arcsec"


def test_an_image_inherits_the_wcs_of_the_primary_header_if_it_says_so(tmp_path):
    primary = fits.PrimaryHDU(header=fits.Header([*wcs(0.2).items(), ("SATURATE", 6.0)]))
    write(tmp_path / "in/a.fits", primary, extension(galaxy(), "SCI", {"INHERIT": True}))
    write(tmp_path / "in/b.fits", primary, extension(galaxy(), "SCI", {"INHERIT": False}))
    own = {"INHERIT": True, "CDELT1": -0.1 / DEGREE, "CDELT2": 0.1 / DEGREE}
    write(tmp_path / "in/c.fits", primary, extension(galaxy(2), "SCI", own))
    settings = {"max_saturated_fraction": 1.0}
    systems, _, refused, _ = ingest(tmp_path / "in", tmp_path, **settings)
    assert systems["native_pixel_scale"] == pytest.approx([0.2, 0.1])
    assert (systems["saturated_fraction"] > 0.1).all()
    assert "neither a WCS nor its header" in refused["b.fits"]


def test_every_way_to_write_a_matrix_is_understood(tmp_path):
    step = 0.2 / DEGREE
    turned = NO_CD | {"CDELT1": -step, "CDELT2": step, "CROTA2": 30.0}
    sides = NO_CD | {"CDELT1": -0.2, "CDELT2": 0.2, "CUNIT1": "arcsec", "CUNIT2": "arcsec"}
    first = {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 2.0, "CRVAL2": 150.0}
    found = scales(
        tmp_path,
        pc=wcs(**NO_CD, PC1_1=-step, PC2_2=step),
        turned_by_90=wcs(**NO_CD, CD1_2=step, CD2_1=step),
        both=wcs(0.2, CDELT1=1.0, CDELT2=1.0),
        crota=wcs(**turned),
        arcsec=wcs(**(sides | {"CRVAL1": 540000.0, "CRVAL2": 7200.0})),
        latitude_first=wcs(0.2, **first),
        text=wcs(0.2, CD1_1=str(-step)),
    )
    assert found.pop("zz") == pytest.approx(0.1)
    assert len(found) == 7
    assert found == pytest.approx(dict.fromkeys(found, 0.2))


def test_distorted_projections_have_the_scale_of_the_middle_of_the_image(tmp_path):
    far = 3000.0  # pixels from the reference, where the distortion is felt
    radians = np.radians((far - (SIZE + 1) / 2) * 0.2 / DEGREE)
    vista = {"PV2_1": 1.0, "PV2_3": 1e3}
    ukirt = {"PROJP1": 1.0, "PROJP3": 0.0}
    sip = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2e-6, "A_1_1": 0.0, "B_0_2": 0.0, "B_1_1": 2e-6}
    found = scales(
        tmp_path,
        zpn=wcs(0.2, "ZPN", CRPIX1=far, **vista),
        ukirt=wcs(0.2, "ZPN", **ukirt),
        tpv=wcs(0.2, "TPV", PV1_1=1.01, PV2_1=1.01),
        tpv_without_pv=wcs(0.2, "TPV"),
        scamp=wcs(0.2, "TAN", PV1_0=0.0, PV1_1=1.01, PV2_0=0.0, PV2_1=1.01),
        sip=wcs(0.2, "TAN-SIP", CRPIX1=far, **sip),
        left_over=wcs(0.2, "TAN", CRPIX1=far, **sip),
        no_pv=wcs(0.2, "ZPN"),
        beyond=wcs(0.2, "ZPN", CRPIX1=1e7, PV2_1=1.0, PV2_3=-50.0),
        cylinder=wcs(0.2, "CAR", CRVAL2=0.0, CRPIX2=-60 / (0.2 / DEGREE)),
    )
    assert "its WCS cannot be understood" in found.pop("no_pv")
    assert "its WCS cannot be understood" in found.pop("beyond")
    # at 60 degrees a degree of right ascension is half as long
    assert "its pixels are not square: 0.2 x 0.1 arcsec" in found.pop("cylinder")
    expected = {"ukirt": 0.2, "tpv": 0.202, "tpv_without_pv": 0.2, "scamp": 0.202, "zz": 0.1}
    expected["left_over"] = 0.2
    # ZPN: R = r + 1e3 r^3 on the detector at a distance r on the sky, which Newton finds
    r = radians
    for _ in range(20):
        r -= (r + 1e3 * r**3 - radians) / (1 + 3e3 * r**2)
    expected["zpn"] = 0.2 * np.sqrt(1 / (1 + 3e3 * r**2) * r / radians)
    # SIP: u + A u^2 and v + B u v, with u = -2987.5, to both of which 2 A u and B u are added
    u = (SIZE + 1) / 2 - far
    expected["sip"] = 0.2 * np.sqrt((1 + 4e-6 * u) * (1 + 2e-6 * u))
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("key", ["CD1_1", "CRVAL1", "PV1_1"])
def test_t_is_no_number_in_a_wcs(tmp_path, key):
    found = scales(tmp_path, a=wcs(**{key: True}))
    assert f"{key} = T is not a number" in found["a"]


def test_t_is_no_number_in_any_header(tmp_path):
    image(tmp_path / "in/saturate.fits", **wcs(), SATURATE=True)
    image(tmp_path / "in/scale.fits", PIXSCALE=True)
    image(tmp_path / "in/text.fits", PIXSCALE="0.2")
    image(tmp_path / "in/level.fits", **wcs(), SATURATE="6.0")
    path = image(tmp_path / "in/zero.fits", **wcs(), BZERQ=True)
    path.write_bytes(path.read_bytes().replace(b"BZERQ", b"BZERO"))
    systems, _, refused, _ = ingest(tmp_path / "in", tmp_path)
    assert systems["name"].tolist() == ["saturate.fits", "text.fits"]
    assert systems["native_pixel_scale"] == pytest.approx([0.1, 0.2])
    assert "neither a WCS nor its header" in refused["scale.fits"]
    assert "saturated" in refused["level.fits"]
    assert "its BZERO is T or F and not a number" in refused["zero.fits"]


def test_a_wcs_that_cannot_be_is_refused_with_its_numbers_and_can_be_overridden(tmp_path):
    image(tmp_path / "in/degrees.fits", **wcs(0.1 * DEGREE))  # arcsec written as degrees
    image(tmp_path / "in/radians.fits", **wcs(1e-6))
    image(tmp_path / "in/zero.fits", **wcs(CD2_2=0.0))
    image(tmp_path / "in/good.fits", **wcs())
    systems, _, refused, notes = ingest(tmp_path / "in", tmp_path)
    assert systems["name"].tolist() == ["good.fits"]
    assert "its pixels of 360 arcsec cannot be" in refused["degrees.fits"]
    assert "would be 0.0067 of them (at least 8)" in refused["degrees.fits"]
    assert "its pixels of 1e-06 arcsec cannot be: the whole image" in refused["radians.fits"]
    assert "set pixel_scale" in refused["zero.fits"]
    assert not notes
    systems, _, refused, notes = ingest(tmp_path / "in", tmp_path, pixel_scale=0.1)
    assert systems["native_pixel_scale"] == pytest.approx([0.1] * 4)
    assert not refused
    assert set(notes) == {"degrees.fits", "radians.fits", "zero.fits"}
    assert "says 360 arcsec a pixel; pixel_scale: 0.1 is used" in notes["degrees.fits"]


def test_a_given_pixel_scale_that_agrees_is_not_worth_a_word(tmp_path):
    image(tmp_path / "in/a.fits", **wcs(0.1005))
    systems, _, _, notes = ingest(tmp_path / "in", tmp_path, pixel_scale=0.1)
    assert systems["native_pixel_scale"].tolist() == [0.1]
    assert not notes


@pytest.mark.parametrize(
    ("cards", "said"),
    [
        (wcs(CRVAL2=100.0), "its WCS cannot be understood"),
        (wcs(kind="SIN", CRPIX1=1e9), "the image lies nowhere on its sky"),
        (wcs(kind="DSS"), "Unrecognized projection code"),
    ],
)
def test_a_wcs_of_no_sky_is_overridden_in_several_bands_and_in_a_cube(tmp_path, cards, said):
    image(tmp_path / "in/a_g.fits", galaxy(1), **cards)
    image(tmp_path / "in/a_r.fits", galaxy(2), **cards)
    image(tmp_path / "in/b.fits", np.stack([galaxy(3), galaxy(4)]), **cards)
    text = "name,g,r,ra,dec\na,a_g.fits,a_r.fits,150,2\nb,b.fits[0],b.fits[1],150,2\n"
    with pytest.raises(ValueError, match="none of 2") as error:
        table(tmp_path, text, observation=TWO)
    for where in ("a_g.fits, band 'g': ", "b.fits, band 'g': "):
        assert where + "its WCS cannot be understood" in str(error.value)
    assert "repair it, or set pixel_scale" in str(error.value)
    systems, _, refused, notes = table(tmp_path, text, observation=TWO, pixel_scale=0.1)
    assert systems["name"].tolist() == ["a", "b"]
    assert systems["off_centre"].tolist() == [0, 0]
    assert not refused
    assert all(said in note and "pixel_scale: 0.1 is used" in note for note in notes.values())


@pytest.mark.parametrize(
    "third",
    [
        {"CTYPE3": "WAVE", "CUNIT3": "A", "CD3_3": 1.0},  # ampere
        {"CTYPE3": "WAVE", "CUNIT3": "furlong", "CD3_3": 1.0},
        {**NO_CD, "CDELT1": -0.1 / DEGREE, "CDELT2": 0.1 / DEGREE, "CTYPE3": "FREQ", "CDELT3": 0.0},
        {"CTYPE3": "FELO-HEL", "CUNIT3": "km/s", "CD3_3": 1.0},
        {"CTYPE3": "BAND", "CRVAL3": "g"},
    ],
)
def test_whatever_is_wrong_with_the_axis_of_the_bands_the_sky_is_known(tmp_path, third):
    image(tmp_path / "in/a.fits", np.stack([galaxy(1), galaxy(2)]), **wcs(**third))
    systems, *_ = ingest(tmp_path / "in", tmp_path, observation=TWO)
    assert systems["native_pixel_scale"] == pytest.approx([0.1])


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (wcs(CD1_1=0.1 / DEGREE), "one is mirrored"),
        (wcs(CTYPE1="DEC--TAN", CTYPE2="RA---TAN", CRVAL1=2.0, CRVAL2=150.0), "one is mirrored"),
        (wcs(**NO_CD, CD1_2=0.1 / DEGREE, CD2_1=0.1 / DEGREE), "turned by -?90.00 degrees"),
        (wcs(CD1_1=0.1 / DEGREE, CD2_2=-0.1 / DEGREE), "turned by -?180.00 degrees"),
        (wcs(CRPIX1=(SIZE + 1) / 2 + 5), r"shifted by 0.5 arcsec \(at most 0.15\)"),
        (wcs(CRVAL2=2.0 + 3 / DEGREE), "shifted by 3 arcsec"),
        (wcs(0.1, "ZPN", PV2_1=1.0, CRVAL1=150.0 + 2 / DEGREE), "shifted by 1.999 arcsec"),
    ],
)
def test_bands_that_lie_differently_on_the_sky_are_refused_by_name(tmp_path, other, expected):
    image(tmp_path / "in/a_g.fits", galaxy(1), **wcs())
    image(tmp_path / "in/a_r.fits", galaxy(2), **other)
    with pytest.raises(ValueError, match=f"bands 'g' and 'r' lie differently.*{expected}"):
        table(tmp_path, "name\na\n", files="{name}_{band}.fits", observation=TWO)
    with pytest.raises(ValueError, match=f"bands 'g' and 'r' lie differently.*{expected}"):
        settings = {"files": "{name}_{band}.fits", "observation": TWO | {"size": 9}}
        table(tmp_path, "name\na\n", place="corners", **settings)


def galactic():
    """Return the same image of the sky as `wcs`, in galactic coordinates."""
    here, north = (SkyCoord(150.0, dec, unit="deg").galactic for dec in (2.0, 2.0 + 1 / DEGREE))
    angle = here.position_angle(north).rad
    step = 0.1 / DEGREE
    matrix = {"CD1_1": -step * np.cos(angle), "CD1_2": step * np.sin(angle)}
    matrix |= {"CD2_1": step * np.sin(angle), "CD2_2": step * np.cos(angle)}
    names = {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}
    return wcs(**names, **matrix, CRVAL1=here.l.deg, CRVAL2=here.b.deg)


@pytest.mark.parametrize(
    "other",
    [
        {"PIXSCALE": 0.1},  # says nothing
        wcs(CRPIX1=(SIZE + 1) / 2 + 0.6),  # cut out at whole pixels
        wcs(CRPIX1=1.0, CRVAL1=150.0 + 1.15 / DEGREE / np.cos(np.radians(2))),
        galactic(),
    ],
)
def test_bands_that_agree_on_the_sky_are_used_however_they_say_it(tmp_path, other):
    image(tmp_path / "in/a_g.fits", galaxy(1), **wcs())
    image(tmp_path / "in/a_r.fits", galaxy(2), **other)
    systems, *_ = table(tmp_path, "name\na\n", files="{name}_{band}.fits", observation=TWO)
    assert systems["name"].tolist() == ["a"]


def test_where_an_image_lies_does_not_depend_on_the_files_before_it():
    places = []
    bare = cutout_wcs.read(wcs(CRVAL1=None, CRVAL2=None, CRPIX1=None, CRPIX2=None))
    for declination in (2.0, 30.0):
        cutout_wcs.locate(cutout_wcs.read(wcs(CRVAL2=declination)), (1.0, 1.0))
        cutout_wcs.locate.cache_clear()
        places.append(cutout_wcs.locate(bare, (1.0, 1.0)).middle)
    # what is left out is 0 by the standard, and pixel 1 is 0.1 arcsec from pixel 0
    origin = np.array([1.0, 0.0, 0.0])
    assert np.abs(np.array(places) - origin).max() < 1e-6


def beside(name):
    return extension(np.ones((SIZE, SIZE), np.float32) + galaxy(9), name)


@pytest.mark.parametrize(
    "names",
    [
        ("WEIGHT", "SCI"),
        ("MASK", "sci"),
        ("IMAGE", "MASK", "VARIANCE"),
        ("err", "dq", "Science"),
        ("WHT", None),
        ("VAR_POISSON", "EXPTIME", "data"),
        ("vis", "vis.rms", "vis.flg"),
    ],
)
def test_the_image_among_masks_and_weights_is_found_by_its_name(tmp_path, names):
    science = [n for n in names if n in ("SCI", "sci", "IMAGE", "Science", None, "data", "vis")]
    units = [extension(galaxy(), n) if n in science else beside(n) for n in names]
    write(tmp_path / "in/x.fits", *units)
    image(tmp_path / "in/y.fits", **wcs())
    systems, *_ = ingest(tmp_path / "in", tmp_path)
    assert systems["content_hash"][0] == systems["content_hash"][1]


def test_what_is_no_image_by_its_name_or_not_the_only_one_is_refused_with_the_names(tmp_path):
    write(tmp_path / "in/mask.fits", beside("MASK"))
    write(tmp_path / "in/two.fits", extension(galaxy(1), "VIS"), extension(galaxy(2), "NISP"))
    write(tmp_path / "in/chips.fits", *(extension(galaxy(k), "SCI", version=k) for k in (1, 2)))
    typed = beside(None)
    typed.header["EXTTYPE"] = "VARIANCE"
    write(tmp_path / "in/typed.fits", typed)
    primary = extension(galaxy(3), None, wcs(), fits.PrimaryHDU)
    write(tmp_path / "in/first.fits", primary, extension(galaxy(4)))
    write(tmp_path / "in/alike.fits", *(extension(galaxy(k), "SCI") for k in (1, 2)))
    systems, _, refused, _ = ingest(tmp_path / "in", tmp_path)
    assert systems["name"].tolist() == ["first.fits"]
    assert "there are: [1] of 24 x 24, [2] of 24 x 24" in refused["alike.fits"]
    assert (
        "none of its images is one of the sky by its name; there are: [MASK]"
        in refused["mask.fits"]
    )
    assert "[VIS] of 24 x 24, [NISP] of 24 x 24; write one" in refused["two.fits"]
    assert "[SCI,1] of 24 x 24, [SCI,2] of 24 x 24" in refused["chips.fits"]
    assert "[VARIANCE]" in refused["typed.fits"]


def test_an_extension_that_is_called_by_a_number_is_found_by_it(tmp_path):
    write(tmp_path / "in/x.fits", extension(galaxy(1), "606"), extension(galaxy(2), "814"))
    image(tmp_path / "in/y.fits", galaxy(2), **wcs())
    systems, *_ = table(tmp_path, "name,VIS\nx,x.fits[814]\ny,y.fits\n")
    assert systems["content_hash"][0] == systems["content_hash"][1]


def test_an_extension_is_named_by_name_version_or_number_and_a_plane_behind_it(tmp_path):
    rows = fits.BinTableHDU.from_columns([fits.Column("z", "E", array=[1.0])], name="CATALOG")
    write(
        tmp_path / "in/x.fits",
        *(extension(galaxy(1), "Sci", version=1), rows, extension(galaxy(2), "SCI", version=2)),
        *(fits.CompImageHDU(galaxy(3), fits.Header(list(wcs().items())), name="packed"),),
        *(extension(np.stack([galaxy(4), galaxy(5)]), "cube"), beside("MASK")),
    )
    images = [galaxy(k) for k in (1, 2, 4, 5)]
    for k, pixels in enumerate(images):
        image(tmp_path / f"in/r{k}.fits", pixels, **wcs())
    text = (
        'name,VIS\na,"x.fits[SCI,1]"\nb,"x.fits[sci, 2]"\nc,x.fits[3]\nd,x.fits[cube][0]\n'
        "e,x.fits[5] [1]\nf,x.fits[PACKED]\ng,x.fits[SCI]\nh,x.fits[CATALOG]\ni,x.fits[GONE]\n"
        "j,x.fits[cube][2]\nk,x.fits[MASK]\nr0,r0.fits\nr1,r1.fits\nr2,r2.fits\nr3,r3.fits\n"
    )
    systems, pixels, refused, _ = table(tmp_path, text)
    hashes = dict(zip(systems["name"], systems["content_hash"], strict=True))
    for pair in ("a r0", "b r1", "c r1", "d r2", "e r3"):
        one, other = pair.split()
        assert hashes[one] == hashes[other], pair
    assert {"f", "k"} <= {*hashes}
    assert "it has 2 extensions [SCI]; there are: [SCI,1]" in refused["x.fits[SCI]"]
    assert "it has no image in an extension [CATALOG]" in refused["x.fits[CATALOG]"]
    assert "it has no image in an extension [GONE]" in refused["x.fits[GONE]"]
    assert "it has no plane 2" in refused["x.fits[cube][2]"]
    assert not {*"ghij"} & {*hashes}


def test_planes_are_taken_by_number_from_cubes_of_any_length(tmp_path):
    cube = np.stack([galaxy(n, flux=1000.0 * (n + 1)) for n in range(3)])
    image(tmp_path / "in/a.fits", cube, **wcs())
    for bands, names, flux in (
        ({"g": 0, "r": 1}, ["g", "r"], [1000, 2000]),
        ({"r": 1}, ["g", "r"], [1000, 2000]),
        ({"r": 1}, ["r"], [2000]),
        ({"g": 2, "r": 0}, ["g", "r"], [3000, 1000]),
    ):
        settings = {"bands": bands, "observation": ONE | {"bands": names}}
        _, pixels, *_ = ingest(tmp_path / "in", tmp_path, **settings)
        assert pixels[0].sum(axis=(0, 1)) == pytest.approx(flux, abs=150)
    with pytest.raises(ValueError, match="it has no plane 3"):
        ingest(tmp_path / "in", tmp_path, bands={"r": 3}, observation=ONE | {"bands": ["r"]})
    with pytest.raises(ValueError, match=r"not one image for 2 bands.*bands: \{r: 1\}"):
        ingest(tmp_path / "in", tmp_path, observation=TWO)
    np.save(tmp_path / "in/last.npy", np.moveaxis(cube, 0, -1))
    settings = {"bands": {"r": 1}, "format": "npy", "pixel_scale": 0.1}
    _, pixels, *_ = ingest(tmp_path / "in", tmp_path, observation=TWO, **settings)
    assert pixels[0].sum(axis=(0, 1)) == pytest.approx([1000, 2000], abs=150)
    (tmp_path / "in/last.npy").unlink()
    many = np.stack([galaxy(n, flux=1000.0 * (n + 1)) for n in range(12)])
    np.save(tmp_path / "in/first.npy", many)
    np.save(tmp_path / "in/last.npy", np.moveaxis(many, 0, -1))
    systems, pixels, *_ = ingest(tmp_path / "in", tmp_path, observation=TWO, **settings)
    assert systems["content_hash"][0] == systems["content_hash"][1]
    assert pixels[1].sum(axis=(0, 1)) == pytest.approx([1000, 2000], abs=150)
    with pytest.raises(ValueError, match="number the plane that is meant, as in bands"):
        ingest(tmp_path / "in", tmp_path, format="npy", pixel_scale=0.1)


@pytest.mark.parametrize(
    ("card", "damaged", "said"),
    [
        (b"SIMPLE  =                    T", b"SIMPLE  =                    F", "no image"),
        (b"NAXIS1  =                   24", b"NAXIS1  = 'abc               '", "damaged"),
        (b"NAXIS2  =                   24", b"NAXIS2  = 99999999999999999999", "damaged"),
        (b"CTYPE1  = 'RA---TAN'          ", b"CTYPE1  = 'RA---T\xc4N'          ", "its WCS"),
        (b"TTYPE1  = 'COMPRESSED_DATA'   ", b"TTYPE1  = 12                  ", "damaged"),
        (b"TFORM1  = '1PB", b"TFORM1  = '1?B", "damaged"),
    ],
)
def test_a_damaged_file_is_refused_alone(tmp_path, card, damaged, said):
    image(tmp_path / "in/a.fits", **wcs())
    write(tmp_path / "in/b.fits", extension(galaxy(), kind=fits.CompImageHDU))
    for name in ("a", "b"):
        data = (tmp_path / f"in/{name}.fits").read_bytes()
        (tmp_path / f"in/{name}.fits").write_bytes(data.replace(card, damaged))
    image(tmp_path / "in/c.fits", **wcs())
    systems, _, refused, _ = ingest(tmp_path / "in", tmp_path)
    assert "c.fits" in systems["name"]
    assert refused
    assert all(said in reason for reason in refused.values())


def test_a_compressed_stream_that_is_damaged_is_refused_alone(tmp_path):
    write(tmp_path / "in/a.fits", extension(galaxy(), kind=fits.CompImageHDU))
    data = (tmp_path / "in/a.fits").read_bytes()
    with fits.open(tmp_path / "in/a.fits", disable_image_compression=True) as file:
        header = file[1].header
        heap = file[1].fileinfo()["datLoc"] + header["NAXIS1"] * header["NAXIS2"]
    zeros = bytes(len(data) - heap)
    (tmp_path / "in/a.fits").write_bytes(data[:heap] + zeros)
    image(tmp_path / "in/b.fits", **wcs())
    systems, _, refused, _ = ingest(tmp_path / "in", tmp_path)
    assert systems["name"].tolist() == ["b.fits"]
    assert "truncated or damaged" in refused["a.fits"]


def test_axes_of_length_one_do_not_count_and_those_of_the_sky_are_found(tmp_path):
    cube = np.stack([galaxy(1), galaxy(2)])
    third = {"CTYPE3": "FREQ", "CRVAL3": 1e9, "CDELT3": 1e6, "CRPIX3": 1.0}
    sky = NO_CD | {"CDELT1": -0.1 / DEGREE, "CDELT2": 0.1 / DEGREE}
    image(tmp_path / "in/four.fits", galaxy()[None, None], **wcs(**sky, **third, CTYPE4="STOKES"))
    write(tmp_path / "in/one.fits", extension(galaxy()[None], "SCI"))
    image(tmp_path / "in/freq.fits", cube[:, None], **wcs(**sky, CTYPE4="FREQ"))
    first = {"CTYPE1": "FREQ", "CDELT1": 1e6, "CTYPE2": "RA---TAN", "CTYPE3": "DEC--TAN"}
    place = {"CRVAL2": 150.0, "CRVAL3": 2.0, "CRPIX2": 12.5, "CRPIX3": 12.5}
    steps = {"CDELT2": -0.1 / DEGREE, "CDELT3": 0.1 / DEGREE}
    image(tmp_path / "in/last.fits", np.moveaxis(cube, 0, -1), **first, **place, **steps)
    text = "name,VIS\n" + "".join(
        f"{k},{name}.fits{plane}\n"
        for k, (name, plane) in enumerate(
            [("four", ""), ("four", "[0]"), ("one", "[0]"), ("one", "[1]"), ("freq", "[0]"),
             ("last", "[0]"), ("freq", "[1]"), ("last", "[1]")]
        )
    )  # fmt: skip
    systems, *_ = table(tmp_path, text)
    assert systems["native_pixel_scale"] == pytest.approx([0.1] * 8)
    assert len({*systems["content_hash"][:6]}) == 1
    assert len({*systems["content_hash"][6:]}) == 1
    assert systems["content_hash"][0] != systems["content_hash"][6]


def test_blank_marks_missing_pixels_of_integers_of_any_kind(tmp_path):
    counts = np.round(galaxy() * 100).astype(np.int16)
    counts[3:6, 3:6] = -32768
    for name, cards in (
        ("plain", {}),
        ("scaled", {"BSCALE": 0.5, "BZERO": 10.0}),
        ("unsigned", {"BZERO": 32768}),
    ):
        header = fits.Header(
            [
                ("SIMPLE", True),
                ("BITPIX", 16),
                ("NAXIS", 2),
                ("NAXIS1", SIZE),
                ("NAXIS2", SIZE),
                ("BLANK", -32768),
                *wcs().items(),
                *cards.items(),
            ]
        )
        data = header.tostring().encode() + counts.astype(">i2").tobytes()
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / f"in/{name}.fits").write_bytes(data.ljust(-(-len(data) // 2880) * 2880, b"\0"))
    systems, *_ = ingest(tmp_path / "in", tmp_path)
    assert systems["masked_fraction"] == pytest.approx([9 / SIZE**2] * 3)


@pytest.mark.parametrize("position", [(5, 50), (95, 50), (50, 3), (50, 97), (5, 3), (4, 4)])
@pytest.mark.parametrize("field", [False, True])
def test_an_image_trimmed_at_an_edge_is_flagged_by_how_far_its_target_is_off(
    tmp_path, position, field
):
    pixels = np.random.default_rng(1).normal(5, 1, (100, 100)).astype(np.float32)
    x, y = position
    # the reference is the target, or that of a field of which the image is a part
    reference = {"CRPIX1": x + 1.0, "CRPIX2": y + 1.0}
    if field:
        reference = {"CRPIX1": 5000.0, "CRPIX2": -3000.0}
    sky = WCS(fits.Header(list(wcs(**reference).items())))
    cut = Cutout2D(pixels, position, 31, wcs=sky, mode="trim")
    image(tmp_path / "in/cut.fits", cut.data, **dict(cut.wcs.to_header()))
    whole = Cutout2D(pixels, (50, 50), 31, wcs=sky, mode="trim")
    image(tmp_path / "in/whole.fits", whole.data, **dict(whole.wcs.to_header()))
    systems, _, _, notes = ingest(tmp_path / "in", tmp_path)
    off = [max(15 - p, p - 84, 0) / 2 * 0.1 for p in position]
    # without the target in the header the shorter side shows it; a smaller square shows nothing
    expected = abs(off[0] - off[1]) if field else max(off)
    if expected > 0.15:  # 1.5 pixels, which cutting at whole pixels may explain
        assert systems["off_centre"] == pytest.approx([expected, 0.0], abs=0.01)
        assert "looks as if trimmed at an edge" in notes["cut.fits"]
    # with the position in the table it is known in every case
    ra, dec = sky.all_pix2world([position, (50, 50)], 0).T
    text = f"name,VIS,RA,Dec\na,cut.fits,{ra[0]},{dec[0]}\nb,whole.fits,{ra[1]},{dec[1]}\n"
    systems, _, _, notes = table(tmp_path, text)
    assert systems["off_centre"] == pytest.approx([np.hypot(*off), 0.0], abs=0.01)
    assert "by the table's position" in notes["cut.fits"]


@pytest.mark.parametrize(
    "names",
    [
        *("RA,Dec", "RAJ2000,DEJ2000", "RAdeg,DEdeg", "_RAJ2000,_DEJ2000", "RA_ICRS,DE_ICRS"),
        *("ra_deg,dec_deg", "ALPHA_J2000,DELTA_J2000", "right_ascension,declination"),
    ],
)
def test_positions_are_known_by_the_names_that_catalogues_give_them(tmp_path, names):
    image(tmp_path / "in/a.fits", **wcs())
    text = f"name,VIS,{names}\na,a.fits,150.0,{2.0 + 1 / DEGREE:.9f}\n"
    systems, *_ = table(tmp_path, text)
    assert systems["off_centre"] == pytest.approx([1.0], abs=1e-3)


def test_a_sky_of_single_photons_is_called_so_and_zeros_beyond_an_edge_are_not(tmp_path):
    rng = np.random.default_rng(3)
    light = np.maximum(galaxy() - 8, 0)
    photons = rng.poisson(0.3 + light)
    image(tmp_path / "in/counts.fits", photons.astype(np.int32), **wcs())
    image(tmp_path / "in/rate.fits", (photons / 1800.0).astype(np.float32), **wcs())
    edge = np.where(np.arange(SIZE) < 15, 0, rng.poisson(200, (SIZE, SIZE)))
    image(tmp_path / "in/edge.fits", edge.astype(np.int32), **wcs())
    image(tmp_path / "in/good.fits", **wcs())
    _, _, refused, _ = ingest(tmp_path / "in", tmp_path)
    for name in ("counts.fits", "rate.fits"):
        assert "its sky is counted in single photons (0.3" in refused[name]
    assert "photons" not in refused.get("edge.fits", "")


PRESETS = Path(__file__).parents[1] / "src/lensmill/experiments/lens_finding/defaults.yaml"


@pytest.mark.parametrize(
    ("case", "preset", "settings", "expected"),
    [
        ("mef_two_scales/in/t.csv", "euclid_vis", {"format": "table"}, 0.3),
        ("inherit/in", "euclid_vis", {}, 0.1),
        ("psf_first/in", "euclid_vis", {}, 0.1),
        ("named_extension/in/t.csv", "euclid_vis", {"format": "table"}, 0.1),
        ("four_axes/in/t.csv", "euclid_vis", {"format": "table"}, 0.1),
        ("legacy_cube/in", "des_i", {"bands": {"g": 0, "r": 1}}, 0.262),
        ("legacy_cube/in", "des_i", {"bands": {"r": 1}}, 0.262),
        ("trim_off_centre/in", "euclid_vis", {}, 0.1),
    ],
)
def test_the_reduced_cases_come_out_right(tmp_path, case, preset, settings, expected):
    if not (CASES / case).exists():
        pytest.skip(f"the reduced inputs are not here ({case})")
    presets = yaml.safe_load(PRESETS.read_text())["experiments"]["lens_finding"]["observations"]
    observation = presets[preset]
    if "bands" in settings:
        observation = observation | {"bands": {"g": {}, "r": {}}}
    systems, pixels, refused, notes = ingest(
        CASES / case, tmp_path, observation=observation, **settings
    )
    assert systems["native_pixel_scale"] == pytest.approx(expected)
    assert not refused
    if "bands" in settings:
        assert pixels[0].sum(axis=(0, 1)) == pytest.approx([235.9, 603.5], abs=0.1)
    if "trim" in case:
        assert systems["off_centre"] == pytest.approx([1.5])
        assert list(notes) == ["trim.fits"]
    if "psf" in case:
        assert systems["snr"][0] == pytest.approx(30.7, abs=0.1)
