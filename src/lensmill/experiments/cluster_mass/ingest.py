"""Ingest X-ray images of clusters: photons with their maps of exposure and background.

Nothing is resampled: an image is cut out in its own pixels, which must be those of the population's
observation. Rows run northwards and columns westwards, as such images lie; what a map of exposure
has at 0 (the rim, point sources) is left out of the profile, but stays in the image.
"""

import json
import logging
import warnings
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from lensmill.clusters import mass_function
from lensmill.experiments.cluster_mass import simulate
from lensmill.pipeline import provenance, store

log = logging.getLogger(__name__)

SCALE = 0.01  # by which pixels may differ from those of the observation
# of the rings of a profile [arcmin], up to where the sky begins
EDGES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 18.0, 21.0, 25.0)
MAPS = ("image", "exposure", "background")
KNOWN = ("ln_m500", "r500", "r500_kpc")  # where M500 is given; all of simulate.UNITS but MEASURED
MEASURED = (
    *("index", "group", "redshift", "counts", "counts_excised", "expected_counts"),
    *("area", "area_excised", "x", "y", "exposure", "background"),
)
UNITS = {
    "systems": simulate.UNITS["systems"]
    | {f"{name}_known": "" for name in simulate.UNITS["systems"] if name not in MEASURED},
    "cutouts": simulate.UNITS["cutouts"],
    "profile": {
        "system": "",
        "inner": "arcmin",
        "outer": "arcmin",
        "counts": "",
        "background": "",
        "exposure": "s arcmin2",
    },
}


class Cluster(NamedTuple):
    """One cluster as its files show it, whole fields."""

    name: str
    image: NDArray
    exposure: NDArray  # s
    background: NDArray  # counts in a pixel
    x: float  # of the centre, 0 at the centre of the first pixel
    y: float


def ingest(
    source: str, output: str, population: str, experiment: str, settings: Mapping[str, Any]
) -> None:
    """Cut clusters out of X-ray images and store them as a population.

    Parameters
    ----------
    source : path
        Folder with the files that ``settings["clusters"]`` names.
    output : path
        HDF5 file with the tables of `simulate.UNITS`, where what is not known is 0 beside a flag
        ``<column>_known``, and the table ``profile``: photons in rings around the centre, what the
        map of the background has there, and exposure times area. ``exposure`` is the mean of the
        cut-out, ``background`` that of the map and of the sky, which is taken from the ring
        ``sky``.
    population, experiment : str
        Names, stored with the file.
    settings : mapping
        Those of the population (``schema.yaml``), with its whole ``observation``.

    Raises
    ------
    ValueError
        Naming the cluster, the file, what is wrong with it, and the remedy.
    """
    observation = settings["observation"]
    parts = []
    for index, (name, chosen) in enumerate(settings["clusters"].items()):
        cluster = _read(Path(source), name, chosen, observation)
        parts.append(_tables(index, cluster, chosen, settings))
        log.info("%s: %d photons in the cut-out", name, parts[-1]["systems"]["counts"][0])
    facts = provenance.attributes(
        settings, experiment=experiment, population=population, candidates=len(parts)
    )
    store.write_parts(output, parts, UNITS, facts)


def list_files(source: str, output: str, settings: Mapping[str, Any]) -> None:
    """Write the names of all files of the clusters to ``output`` (JSON)."""
    named = [c[key] for c in settings["clusters"].values() for key in MAPS]
    Path(output).write_text(json.dumps([str(Path(source) / name) for name in named]))


def _read(folder: Path, name: str, chosen: Mapping, observation: Mapping) -> Cluster:
    """Read the maps of a cluster and find its centre, or refuse them."""
    maps, header = {}, None
    for key in MAPS:
        path = folder / chosen[key]
        if not path.is_file():
            raise ValueError(f"{name}: there is no {path}, its {key}; correct `clusters.{name}`")
        with fits.open(path) as file:
            data = file[0].data
            header = file[0].header if key == "image" else header
        if data is None or data.ndim != 2:
            raise ValueError(f"{name}: {path} has no image of two axes in its first extension")
        maps[key] = data.astype(float)
        if maps[key].shape != maps["image"].shape:
            raise ValueError(
                f"{name}: its {key} has {maps[key].shape} pixels, its image "
                f"{maps['image'].shape}; give maps of one grid"
            )
        low = -1e-3 if key == "background" else 0.0  # smoothed maps dip below nothing
        if not np.isfinite(maps[key]).all() or maps[key].min() < low:
            raise ValueError(f"{name}: {path} has pixels below 0 or not finite; mend the {key}")
    if (maps["image"] % 1 != 0).any():
        raise ValueError(
            f"{name}: {chosen['image']} has pixels that are no whole numbers of photons; give the "
            "image before it was divided by the exposure, smoothed or turned"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(header)
    scales = 3600 * proj_plane_pixel_scales(wcs)
    wanted = observation["pixel_scale"]
    if (np.abs(scales / wanted - 1) > SCALE).any():
        raise ValueError(
            f"{name}: pixels of {chosen['image']} are {scales[0]:.3f} x {scales[1]:.3f} arcsec, "
            f"those of the observation {wanted:g}; photons are not interpolated: give the "
            "population an observation of the same pixel_scale"
        )
    x, y = wcs.world_to_pixel_values(chosen["ra"], chosen["dec"])
    return Cluster(name, maps["image"], maps["exposure"], maps["background"], float(x), float(y))


def _tables(
    index: int, cluster: Cluster, chosen: Mapping, settings: Mapping[str, Any]
) -> store.Tables:
    """Cut a cluster out, take its profile, and say what is known of it."""
    observation = settings["observation"]
    size, scale = observation["size"], observation["pixel_scale"] / 60
    left, low = (round(place - (size - 1) / 2) for place in (cluster.x, cluster.y))
    height, width = cluster.image.shape
    if left < 0 or low < 0 or left + size > width or low + size > height:
        raise ValueError(
            f"{cluster.name}: a cut-out of {size} pixels around ({cluster.x:.1f}, {cluster.y:.1f}) "
            f"leaves the image of {width} x {height}; make the observation smaller"
        )
    window = slice(low, low + size), slice(left, left + size)
    pixels = cluster.image[window].astype(np.float32)
    exposure = cluster.exposure[window].mean()
    y, x = np.indices(cluster.image.shape)
    far = np.hypot(x - cluster.x, y - cluster.y) * scale
    inner, outer = settings["sky"]
    of_sky = _ring(cluster, far, inner, outer, scale)
    if of_sky["exposure"] <= 0 or exposure <= 0:
        raise ValueError(
            f"{cluster.name}: the map of exposure is 0 in the ring of the sky, {inner:g} to "
            f"{outer:g} arcmin, or at the centre; give another `sky` or map"
        )
    rate = (of_sky["counts"] - of_sky["background"]) / of_sky["exposure"]
    background = cluster.background[window].mean() + rate * exposure * scale**2
    redshift = np.array([float(chosen["redshift"])])
    mass = float(chosen["m500"] or 0.0)
    kpc = simulate.kpc_per_arcmin(redshift)
    r500 = mass_function.radius(mass, redshift) * simulate.KPC
    found = {
        "index": [index],
        "group": [cluster.name],
        "ln_m500": [np.log(mass) if mass else 0.0],
        "redshift": redshift,
        "r500": r500 / kpc,
        "r500_kpc": r500,
        "exposure": [exposure],
        "background": [background],
        "x": [cluster.x - left],
        "y": [cluster.y - low],
        **simulate.measure(pixels[None], redshift, observation),
    }
    # nobody knows what is expected of a real image: what is there
    found["expected_counts"] = found["counts"]
    if mass:
        found["mass_bin"] = simulate.mass_bin(np.log([mass]))
    systems = {name: np.asarray(found.get(name, [0.0])) for name in simulate.UNITS["systems"]}
    for name in simulate.UNITS["systems"].keys() - set(MEASURED):
        known = bool(mass) and name in (*KNOWN, "mass_bin")
        systems[f"{name}_known"] = np.array([known], np.uint8)
    edges = [edge for edge in EDGES if edge < inner] + [inner]
    rings = [_ring(cluster, far, *pair, scale) for pair in pairwise(edges)] + [of_sky]
    profile = {key: np.array([ring[key] for ring in rings]) for key in rings[0]}
    return {
        "systems": systems,
        "cutouts": {"system": np.array([index]), "pixels": pixels[None, ..., None]},
        "profile": {"system": np.full(len(rings), index), **profile},
    }


def _ring(
    cluster: Cluster, far: NDArray, inner: float, outer: float, scale: float
) -> dict[str, float]:
    """Return what is counted in a ring, where the exposure is not 0."""
    inside = (far >= inner) & (far < outer) & (cluster.exposure > 0)
    return {
        "inner": inner,
        "outer": outer,
        "counts": float(cluster.image[inside].sum()),
        "background": float(cluster.background[inside].sum()),
        "exposure": float(cluster.exposure[inside].sum()) * scale**2,
    }
