"""Small made-up surveys: galaxies as FITS with a calibration, their table, and sources."""

import csv

import numpy as np
from astropy.io import fits

from lensmill import experiments
from lensmill.experiments.lens_finding import ingest
from lensmill.imaging import camera, noise, psf, scenes
from lensmill.imaging.render import render
from lensmill.pipeline import settings as checked

NAME = "lens_finding"
CHOICES = experiments.choices(NAME)
OBSERVATION = CHOICES["observations"]["panstarrs_gri"]
SIZE = 48
PRIOR = CHOICES["priors"]["galaxies"] | {
    "lens_fraction": 0.5,
    "source_magnitude": ["truncated_normal", 22.0, 0.8, 20.0, 24.0],
    "source_redshift": ["uniform", 1.0, 3.0],
    "mass_offset": ["truncated_normal", 0.0, 0.05, -0.15, 0.15],
    "seeing": ["truncated_lognormal", 1.0, 0.04, 0.7, 1.4],
}
CALIBRATION = {"zero_point": "FPA.ZP", "exposure": "EXPTIME", "counts": True}
MASSES = {"sigma_v": "sigma_v", "z": "z"}


def galaxies(n, seed=1):
    """Draw galaxies: what is true of each."""
    rng = np.random.default_rng(seed)
    return {
        "magnitude": rng.uniform(17.5, 19.0, n),
        "colour": rng.uniform(1.8, 2.6, n),
        "radius": rng.uniform(0.8, 1.3, n),
        "q": rng.uniform(0.5, 0.95, n),
        "phi": rng.uniform(0, np.pi, n),
        "sigma_v": rng.uniform(230, 330, n),
        "z": rng.uniform(0.2, 0.45, n),
        "exposure": rng.uniform(500, 2500, n),
        "field": np.arange(n) // 2,
    }


def render_galaxies(truth, observation=OBSERVATION):
    """Return noisy images in electrons per second, each with its own exposure."""
    n = len(truth["magnitude"])
    bands = observation["bands"].values()
    light = {name: truth[name] for name in ("magnitude", "colour")}
    flux = np.stack([camera.flux(light, band) for band in bands], axis=1)
    shape = {name: truth[name] for name in ("radius", "q", "phi")}
    parts = scenes.light(scenes.SERSIC, 0.0, 0.0, flux, index=2.0, **shape)
    scene = scenes.assemble(scenes.lenses(np.zeros(n)), (np.arange(n), parts))
    size, scale = observation["size"], observation["pixel_scale"]
    model = render(scene, size, scale, camera.psfs(observation), lensed=False)[0]
    setup = camera.exposure(observation) | {
        "exposure": np.repeat(truth["exposure"][:, None], len(bands), axis=1)
    }
    return noise.observe(model, **setup, keys=np.arange(n, dtype=np.uint64))


def write_survey(folder, truth, pixels, spoil=None):
    """Write each band of each galaxy as a file of stack counts, and the table of all."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i, image in enumerate(pixels):
        name = f"galaxy{i}"
        for k, band in enumerate("gri"):
            counts = (image[..., k] * truth["exposure"][i]).astype(np.float32)
            unit = fits.PrimaryHDU(counts)
            unit.header["SECPIX"] = 0.25
            unit.header["HIERARCH FPA.ZP"] = 25.0
            unit.header["HIERARCH CHIP.SEEING"] = "NaN"
            unit.header["EXPTIME"] = truth["exposure"][i]
            if spoil:
                spoil(i, band, unit)
            unit.writeto(folder / f"{name}_{band}.fits", overwrite=True)
        rows.append(
            {
                "name": name,
                "field": f"field {truth['field'][i]}",
                "sigma_v": f"{truth['sigma_v'][i]:.1f}",
                "z": f"{truth['z'][i]:.4f}",
            }
        )
    with (folder / "images.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "images.csv"


def ingest_survey(table, output, observation=OBSERVATION, **changes):
    """Ingest the survey as a population of hosts."""
    chosen = {
        "ingest": str(table),
        "format": "table",
        "files": "{name}_{band}.fits",
        "label": 0,
        "group": "field",
        "calibration": CALIBRATION,
        "masses": MASSES,
        **changes,
    }
    chosen = {key: value for key, value in chosen.items() if value is not None}
    whole = experiments.population_settings(NAME, chosen) | {"observation": observation}
    ingest.ingest(str(table), str(output), "hosts", NAME, whole)
    return str(output)


def make_hosts(folder, n=12, spoil=None, **changes):
    """Make hosts of a survey; return the path of their data set and what is true of them."""
    truth = galaxies(n)
    table = write_survey(folder / "survey", truth, render_galaxies(truth), spoil)
    return ingest_survey(table, folder / "hosts.h5", **changes), truth


SHARP = {
    "pixel_scale": 0.03,
    "size": 64,
    "bands": {"F": OBSERVATION["bands"]["i"] | {"wavelength": 806, "psf": {"gaussian": 0.1}}},
}


def make_sources(folder, n=6):
    """Make images of sources, sharper than the survey, with magnitudes in their table."""
    rng = np.random.default_rng(5)
    (folder / "sources").mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(n):
        light = scenes.light(
            scenes.SERSIC, 0.0, 0.0, 50.0, radius=rng.uniform(0.15, 0.3), index=1.0, q=0.6, phi=i
        )
        scene = scenes.assemble(scenes.lenses(0.0), ([0], light))
        star = psf.gaussian(0.1, 0.03)
        image = render(scene, 64, 0.03, [star], lensed=False)[0][0, ..., 0]
        image = image + rng.normal(scale=0.01, size=image.shape)
        fits.writeto(folder / "sources" / f"s{i}.fits", image.astype(np.float32), overwrite=True)
        rows.append({"name": f"s{i}", "mag_g": f"{24 + 0.1 * i:.2f}", "mag_i": "23.5"})
    table = folder / "sources" / "sources.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    chosen = {"ingest": str(table), "format": "table", "files": "{name}.fits", "label": 0}
    chosen |= {"pixel_scale": 0.03}
    whole = experiments.population_settings(NAME, chosen) | {"observation": SHARP}
    ingest.ingest(str(table), str(folder / "sources.h5"), "sources", NAME, whole)
    return str(folder / "sources.h5")


def settings_of(host, **changes):
    """Return what fixes a population painted on hosts."""
    return {
        "family": "epl_shear",
        "prior": PRIOR,
        "observation": OBSERVATION,
        "host": host,
        **changes,
    }


def whole_settings(**populations):
    """Return settings of the experiment with these populations, checked."""
    chosen = experiments.choices(NAME)
    chosen["priors"] = chosen["priors"] | {"painted": PRIOR}
    chosen["populations"] = chosen["populations"] | populations
    return experiments.check(NAME, chosen)


def population(settings, name):
    """Return what fixes a population of checked settings."""
    return checked.population(settings, name)
