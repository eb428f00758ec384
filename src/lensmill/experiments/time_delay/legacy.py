"""Import of pickled catalogues: ``valShear_*.npy``, arrays of one dict per lens.

``PYTHONPATH=src python -m lensmill.experiments.time_delay.legacy OLD.npy [MORE.npy ...] NEW.h5``
writes the tables ``systems`` and ``images`` of our datasets. A pickle is a program; here it may
only fill in records of this module that stand for the few numpy and astropy classes such a file
needs. No code of numpy or astropy runs, so the file can be of any age (Python 2 as well, whose text
is read as the bytes it was), and anything else in it is refused by name.

The old files do not hold, and the new one therefore lacks: the cosmology (``h0``, ``omega_m``),
the distances, ``status``, ``n_faint`` (central images had been removed) and the caustic areas.
Derived from what they hold: ``type`` (a singular isothermal lens has no maxima) and ``fermat``.
"""

import argparse
import hashlib
import logging
import pickle
from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.pipeline import provenance, store

SECONDS_PER_DAY = 86400.0
CLOSURE = 1e-4  # [arcsec]; the old solver stopped at 1e-5
DAMAGE = (AttributeError, EOFError, IndexError, KeyError, TypeError)
# Of numpy's header, a Python literal, or of a length in the pickle
DAMAGE += (MemoryError, OverflowError, SyntaxError, TokenError)

SYSTEM_UNITS = {
    "index": "",
    "theta_e": "arcsec",
    "q": "",
    "phi": "rad",
    "slope": "",
    "gamma1": "",
    "gamma2": "",
    "kappa_ext": "",
    "lens_x": "arcsec",
    "lens_y": "arcsec",
    "source_x": "arcsec",
    "source_y": "arcsec",
    "z_lens": "",
    "z_source": "",
    "n_images": "",
    "first_image": "",
}
IMAGE_UNITS = {
    "system": "",
    "x": "arcsec",
    "y": "arcsec",
    "magnification": "",
    "type": "",
    "potential": "arcsec2",
    "deflection_x": "arcsec",
    "deflection_y": "arcsec",
    "fermat": "arcsec2",
    "delay": "day",
}
UNITS = {"systems": SYSTEM_UNITS, "images": IMAGE_UNITS}

NUMBERS = (
    "einrad",
    "ellipc",
    "ellips",
    "gammc",
    "gamms",
    "betaOne",
    "betaTwo",
    "zLens",
    "zSrc",
)  # one per lens
ROWS = {"img": (2,), "mu": (), "time": (), "potent": (), "deflec": (2,)}  # shape per image


class _Type:
    """Stands for ``numpy.dtype``: floats, integers or objects, nothing else."""

    def __init__(self, code: str, *_: Any) -> None:
        if code not in ("f8", "f4", "i8", "i4", "O8", "O"):
            raise pickle.UnpicklingError(f"refused: an array of type {code!r}")
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple) -> None:
        self.order = ">" if state[1] == ">" else "<"

    def values(self, data: bytes) -> NDArray:
        if isinstance(data, str):  # of Python 2, read as latin1: a letter is a byte
            data = data.encode("latin1")
        return np.frombuffer(data, f"{self.order}{self.code}").astype(float)


class _Array:
    """Stands for ``numpy.ndarray`` and, with a unit, for an astropy ``Quantity``."""

    unit: "_Unit | None" = None

    def __setstate__(self, state: tuple) -> None:
        if isinstance(state[0], tuple):  # a Quantity: its array's state, then its attributes
            state, self.unit = state[0], state[1]["_unit"]
        _, shape, kind, fortran, data = state
        if kind.code not in ("O8", "O"):
            self.values: Any = kind.values(data).reshape(shape, order="F" if fortran else "C")
        else:
            self.values = list(data)


class _Unit:
    """Stands for the units of astropy, which pickle as a chain of definitions."""

    def __setstate__(self, state: dict) -> None:
        self.definition = state

    def seconds(self) -> float:
        """Return the length of this unit of time [s]."""
        definition = self.definition
        if "_represents" in definition:  # a name for another unit
            return definition["_represents"].seconds()
        if "_bases" in definition:  # a number times powers of other units
            bases = [base.seconds() for base in definition["_bases"]]
            return float(definition["_scale"] * np.prod(np.power(bases, definition["_powers"])))
        if "s" in definition["_names"]:
            return 1.0
        raise ValueError(f"a delay is in {definition['_names'][0]}, which is not a unit of time")


def _scalar(kind: _Type, data: bytes) -> float:
    return float(kind.values(data)[0])


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _bytes(text: str, encoding: str) -> bytes:
    """Stand for ``_codecs.encode``, by which protocols 0 to 2 of Python 3 write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError(f"refused: bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _no_bytes(*arguments: Any) -> bytes:
    """Stand for ``bytes``, by which protocols 0 to 2 of Python 3 write bytes that are empty."""
    if arguments:
        raise pickle.UnpicklingError("refused: bytes that are made of something")
    return b""


def _base_unit(_: type, names: list[str], *__: Any) -> _Unit:
    unit = _Unit()
    unit.definition = {"_names": names}
    return unit


ADMITTED = {
    ("_codecs", "encode"): _bytes,
    ("__builtin__", "bytes"): _no_bytes,  # so written by Python 3 for Python 2
    ("builtins", "bytes"): _no_bytes,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,  # the same before numpy 2
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("astropy.units.quantity", "Quantity"): _Array,
    ("astropy.units.core", "Unit"): _Unit,
    ("astropy.units.core", "CompositeUnit"): _Unit,
    ("astropy.units.core", "IrreducibleUnit"): _Unit,
    ("astropy.units.core", "_recreate_irreducible_unit"): _base_unit,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"refused: it asks for {module}.{name}, which no lens catalogue needs; "
                "a pickle can run any program, so do not load this file by other means"
            ) from None


def load(path: str | Path) -> list[dict[str, Any]]:
    """Read the dicts of an old catalogue without running what the file says.

    Returns
    -------
    list of dict
        The entries of the README of the old code: ``img`` and ``deflec`` (n, 2) [arcsec], ``mu``,
        ``potent`` (n,) [arcsec^2], ``time`` (n,) [day], and numbers.

    Raises
    ------
    ValueError
        If the file is not such a catalogue, or asks for a class that none needs.
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            header = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[header]
            kind = read_header(file)[2]
            if not kind.hasobject:
                raise ValueError(f"it holds an array of {kind}, not one dict per lens")
            entries = _Unpickler(file, encoding="latin1").load()
            entries = getattr(entries, "values", entries)
            if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
                raise ValueError("it does not hold one dict per lens")
            return [_entry(number, entry) for number, entry in enumerate(entries)]
        except (ValueError, pickle.UnpicklingError) as error:
            raise ValueError(f"{path.name}: {error}") from error
        except DAMAGE as error:
            raise ValueError(
                f"{path.name} is damaged or not a lens catalogue: {error!r}"
            ) from error


def _entry(number: int, entry: dict) -> dict[str, Any]:
    """Turn the stand-ins of one dict into floats and arrays, all of the right shape."""
    missing = [key for key in (*NUMBERS, *ROWS) if key not in entry]
    if missing:
        raise ValueError(f"lens {number} has no {missing}")
    plain: dict[str, Any] = {key: float(entry[key]) for key in NUMBERS}
    n_images = len(entry["mu"].values)
    for key, shape in ROWS.items():
        values = np.asarray(entry[key].values, float)
        if values.shape != (n_images, *shape):
            raise ValueError(
                f"lens {number}: {key!r} has shape {values.shape}, but 'mu' lists {n_images} images"
            )
        plain[key] = values
    unit = entry["time"].unit
    if unit is not None:  # a catalogue without units is in days
        plain["time"] = plain["time"] * (unit.seconds() / SECONDS_PER_DAY)
    return plain


def tables(entries: Sequence[dict[str, Any]]) -> store.Tables:
    """Arrange old entries as our tables ``systems`` and ``images``, in our conventions.

    The old ``einrad`` is ``b`` of kappa = b / (2 R), ours is ``b / sqrt(q)``; ``ellipc`` and
    ``ellips`` are the components of e = 1 - q, with e the length and twice the position angle of
    the major axis the direction.

    Raises
    ------
    ValueError
        If a value is not finite, or an image does not obey the lens equation with the deflection
        and the source on its lens' record (which is what shifted labels look like).
    """
    numbers = {key: np.array([entry[key] for entry in entries], float) for key in NUMBERS}
    rows = {
        key: np.concatenate([entry[key] for entry in entries]) if entries else np.empty((0, *shape))
        for key, shape in ROWS.items()
    }
    n_images = np.array([len(entry["mu"]) for entry in entries], np.int64)
    system = np.repeat(np.arange(len(entries), dtype=np.int64), n_images)
    order = np.lexsort((rows["time"], system))  # by arrival inside each system
    rows = {key: values[order] for key, values in rows.items()}

    q = 1 - np.hypot(numbers["ellipc"], numbers["ellips"])
    source = np.stack([numbers["betaOne"], numbers["betaTwo"]], axis=-1)
    _refuse_inconsistent(numbers, rows, system, source, q)

    first_image = np.cumsum(n_images) - n_images
    start = rows["time"][np.minimum(first_image, max(len(system) - 1, 0))][system]
    zero = np.zeros(len(entries))
    systems = {
        "index": np.arange(len(entries), dtype=np.int64),
        "theta_e": numbers["einrad"] / np.sqrt(q),
        "q": q,
        "phi": np.arctan2(numbers["ellips"], numbers["ellipc"]) / 2 % np.pi,
        "slope": zero + 2,
        "gamma1": numbers["gammc"],
        "gamma2": numbers["gamms"],
        "kappa_ext": zero,
        "lens_x": zero,
        "lens_y": zero,
        "source_x": source[:, 0],
        "source_y": source[:, 1],
        "z_lens": numbers["zLens"],
        "z_source": numbers["zSrc"],
        "n_images": n_images,
        "first_image": first_image,
    }
    images = {
        "system": system,
        "x": rows["img"][:, 0],
        "y": rows["img"][:, 1],
        "magnification": rows["mu"],
        "type": (rows["mu"] < 0).astype(np.uint8),
        "potential": rows["potent"],
        "deflection_x": rows["deflec"][:, 0],
        "deflection_y": rows["deflec"][:, 1],
        "fermat": ((rows["img"] - source[system]) ** 2).sum(axis=1) / 2 - rows["potent"],
        "delay": rows["time"] - start,
    }
    return {"systems": systems, "images": images}


def _refuse_inconsistent(
    numbers: dict[str, NDArray],
    rows: dict[str, NDArray],
    system: NDArray,
    source: NDArray,
    q: NDArray,
) -> None:
    for key, values in numbers.items():
        if not np.isfinite(values).all():
            raise ValueError(f"lens {int(np.argmin(np.isfinite(values)))}: {key!r} is not finite")
    for key, values in rows.items():
        bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if bad.any():
            raise ValueError(f"lens {system[bad.argmax()]}: {key!r} is not finite")
    if (q <= 0).any():
        i = int((q <= 0).argmax())
        raise ValueError(f"lens {i}: ellipticity {1 - q[i]:.3f} must lie below 1")
    open_by = np.abs(rows["img"] - rows["deflec"] - source[system]).max(axis=1, initial=0)
    if (open_by > CLOSURE).any():
        i = int(open_by.argmax())
        raise ValueError(
            f"lens {system[i]}: an image minus its deflection misses the source by "
            f"{open_by[i]:.2g} arcsec (limit {CLOSURE:g}); are its labels those of another image?"
        )


def convert(olds: Sequence[str | Path], new: str | Path) -> None:
    """Write one dataset from old catalogues, one after the other; lenses are numbered through."""
    entries = [entry for old in olds for entry in load(old)]
    origin = {Path(old).name: hashlib.sha256(Path(old).read_bytes()).hexdigest() for old in olds}
    store.write(new, tables(entries), UNITS, provenance.attributes({"imported": origin}))
    logging.getLogger(__name__).info("%d lenses written to %s", len(entries), new)


def main() -> None:
    """Run the command line ``OLD.npy [MORE.npy ...] NEW.h5``."""
    parser = argparse.ArgumentParser(
        prog="lensmill.experiments.time_delay.legacy", description=convert.__doc__
    )
    parser.add_argument("old", nargs="+", help="pickled catalogues, valShear_*.npy")
    parser.add_argument("new", help="the HDF5 dataset to write")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        convert(arguments.old, arguments.new)
    except (OSError, ValueError) as error:
        raise SystemExit(f"nothing written: {error}") from error


if __name__ == "__main__":
    main()
