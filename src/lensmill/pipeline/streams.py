"""Counter-based random streams: the numbers of a system, whatever shard it is made in."""

import zlib

import numpy as np
from numpy.typing import NDArray

SMALLEST = 2.0**-54  # half a step of the generator: keeps inverse CDFs of open priors finite
UNSEEN = 2**40  # first index of systems that are of a population, but in no data set


def uniforms(
    seed: int, experiment: str, population: str, first: int, count: int, width: int
) -> NDArray:
    """Return the uniform random numbers of systems ``first ... first + count - 1``.

    The same for a system whatever shard it is in: ``width`` numbers of one counter-based stream
    (Philox4x64: Salmon et al. 2011, SC '11) belong to each.

    Parameters
    ----------
    seed : int
        The seed of the configuration.
    experiment, population : str
        Key the stream, with the seed.
    first, count : int
        Range of system indices.
    width : int
        Numbers per system; a multiple of 4, the step of Philox.

    Returns
    -------
    array, shape (count, width)
        In (0, 1).

    Raises
    ------
    ValueError
        If ``width`` is not a multiple of 4.
    """
    if width % 4:
        raise ValueError(f"width = {width} must be a multiple of 4, the step of Philox")
    name = zlib.crc32(f"{experiment}/{population}".encode())
    key = np.random.SeedSequence([seed, name]).generate_state(2, np.uint64)
    stream = np.random.Philox(key=key).advance(first * width // 4)
    return np.maximum(np.random.Generator(stream).random((count, width)), SMALLEST)


def of_objects(
    seed: int,
    experiment: str,
    population: str,
    first: int,
    count: int,
    width: int,
    systems: int,
    shared: int,
) -> NDArray:
    """Return uniform numbers as `uniforms` does, of systems that show the same object.

    Parameters
    ----------
    systems : int
        Of one object: those with numbers ``k systems ... (k + 1) systems - 1``.
    shared : int
        So many of the first numbers of each are those of the first of its object. The object is
        the same whatever shard its systems are made in.
    """
    start = first // systems * systems
    numbers = uniforms(seed, experiment, population, start, first - start + count, width)
    rows = np.arange(first - start, first - start + count)
    mine = numbers[rows]
    mine[:, :shared] = numbers[rows // systems * systems, :shared]
    return mine


def generator(seed: int, experiment: str, name: str, index: int) -> np.random.Generator:
    """Return a generator of its own for one system: for samplers, which need any number of draws.

    Parameters
    ----------
    seed, experiment : int, str
        As in `uniforms`.
    name : str
        What it is for.
    index : int
        Of the system.
    """
    key = np.random.SeedSequence([seed, zlib.crc32(f"{experiment}/{name}".encode()), index])
    return np.random.Generator(np.random.Philox(key))
