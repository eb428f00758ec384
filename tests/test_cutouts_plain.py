"""The short way to read a plain FITS file gives what astropy gives, and takes nothing else."""

import numpy as np
import pytest
from astropy.io import fits

from lensmill.cutouts import files, headers
from lensmill.imaging import cleaning, quality

KINDS = (np.uint8, np.int16, np.int32, np.int64, np.float32, np.float64)


def image(kind=np.float32, shape=(12, 15)):
    return np.random.default_rng(1).normal(50, 9, shape).astype(kind)


def written(tmp_path, pixels, *more, **cards):
    hdu = fits.PrimaryHDU(pixels, fits.Header([(k, v) for k, v in cards.items()]))
    fits.HDUList([hdu, *more]).writeto(tmp_path / "one.fits")
    return (tmp_path / "one.fits").read_bytes()


WCS = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.5, "CRVAL2": -3.25, "CRPIX1": 8.0}
WCS |= {"CRPIX2": 6.5, "CDELT1": -0.1 / 3600, "CDELT2": 0.1 / 3600, "CUNIT1": "deg"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_plain_is_read_as_astropy_reads_it(tmp_path, kind):
    cards = WCS | {"EXTNAME": "SCI", "SATURATE": 7e4, "OBJECT": "it's", "COMMENT": "one", "T": True}
    data = written(tmp_path, image(kind), **cards)
    plain, other = files._plain_fits(data), files._fits(data, data)
    assert plain is not None
    assert plain.units == other.units and plain.first == other.first
    assert [*plain.first] == [*other.first]
    assert plain.storage == other.storage
    assert plain.file.dtype == other.file[0].data.dtype
    assert np.array_equal(plain.file, other.file[0].data)
    source = files.Source(tmp_path / "one.fits")
    assert files.card(source, "OBJECT") == "it's" and files.card(source, "NONE") is None
    assert files.read(source).pixel_scale == pytest.approx(0.1)


def edited(data, key, card):
    """Replace the card of a header that begins with a key."""
    place = next(i for i in range(0, 2880, 80) if data[i : i + 8].rstrip() == key)
    return data[:place] + card.ljust(80) + data[place + 80 :]


def test_what_is_not_plain_is_left_to_astropy(tmp_path):
    pixels = image(shape=(30, 30))
    good = written(tmp_path, pixels, **WCS, EXPTIME=1.0)
    assert files._plain_fits(good) is not None
    others = [
        good[:-1],
        good + bytes(2880),
        good[:-2880],
        edited(good, b"EXPTIME", b"BZERO   =               32768"),
        edited(good, b"EXPTIME", b"BSCALE  =                    T"),
        edited(good, b"EXPTIME", b"BLANK   =                   -1"),
        edited(good, b"EXPTIME", b"NAXIS3  =                    1"),
        edited(good, b"EXPTIME", b"GROUPS  =                    T"),
        edited(good, b"EXPTIME", b"COMMENT caf\xe9"),
        edited(good, b"EXPTIME", b"COMMENT \x00"),
        edited(good, b"BITPIX", b"BITPIX  =                  -33"),
        edited(good, b"BITPIX", b"BITPIX  =                  -64"),
        edited(good, b"NAXIS", b"NAXIS   =                    3"),
        edited(good, b"NAXIS1", b"NAXIS1  =                   -4"),
        edited(good, b"SIMPLE", b"SIMPLE  =                    F"),
        good.replace(b"END" + 77 * b" ", b"END" + 76 * b" " + b"x"),
    ]
    assert [files._plain_fits(data) for data in others] == [None] * len(others)
    (tmp_path / "one.fits").unlink()
    assert files._plain_fits(written(tmp_path, pixels, fits.ImageHDU(pixels))) is None
    (tmp_path / "one.fits").unlink()
    assert files._plain_fits(written(tmp_path, image(shape=(2, 30, 30)))) is None
    assert files._plain_fits(edited(good, b"EXPTIME", b"BSCALE  =                  1.0"))


def test_the_wcs_of_a_survey_is_read_once_and_that_of_each_file_is_its_own():
    def scale(**more):
        header = headers.read(WCS | more)
        return headers.scale(header, (8.0, 6.0)), headers.locate(header, (8.0, 6.0)).middle

    first, second = scale(), scale(CRVAL1=200.0)
    assert first[0] == second[0] == pytest.approx(0.1)
    assert headers.distance(first[1], second[1]) > 1e5
    with pytest.raises(headers.Refused, match=r"CRVAL1 = T is not a number"):
        scale(CRVAL1=True)
    with pytest.raises(headers.Refused, match=r"CRPIX1 = 'inf' is not a number"):
        scale(CRPIX1="inf")
    with pytest.raises(headers.Refused, match="not square"):
        scale(CDELT1=-0.2 / 3600)
    with pytest.raises(headers.Refused, match="cannot be understood"):
        scale(CDELT1=0.0)


def test_median_and_scatter_are_those_of_numpy_to_the_bit():
    rng = np.random.default_rng(2)
    for n in (1, 2, 3, 4, 7, 50, 333, 3640):
        for values in (
            rng.normal(5, 2, n),
            rng.integers(-2, 3, n).astype(float),
            np.round(rng.normal(0, 1, n), 1),
            np.where(rng.random(n) < 0.6, 2.0, rng.standard_cauchy(n)),
        ):
            level = np.median(values)
            scatter = quality.MAD_TO_SIGMA * np.median(np.abs(values - level))
            assert cleaning._middle(np.sort(values)) == (level, scatter)
            for limit in (0.0, scatter, 3 * scatter, np.nan):
                first, last = cleaning._within(np.sort(values), float(level), limit)
                kept = np.sort(values[np.abs(values - level) <= limit])
                assert np.array_equal(np.sort(values)[first:last], kept)


def test_values_that_repeat_are_never_overlooked():
    rng = np.random.default_rng(3)
    sky = cleaning.Sky(5.0, 1.0)
    for kind in (np.float32, np.float64):
        plain = rng.normal(5, 1, (64, 64)).astype(kind)
        assert not cleaning.alike(np.sort(plain.ravel()), 9)
        for value, blur in ((5.25, 0.0), (100.0, 1e-7), (-7.0, 0.0)):
            marked = plain.copy()
            marked.ravel()[:40] = value * (1 + blur * rng.random(40))
            found = cleaning.repeated(marked, np.zeros(marked.shape, bool), sky, 9, 0.0, 3.0)
            assert cleaning.alike(np.sort(marked.ravel()), 9) >= bool(found)
            assert found
    assert cleaning.alike(np.sort(plain.ravel()), 1000)  # too many to be told by this
