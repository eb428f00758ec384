"""Counter-based random numbers: a function of key and place, without state or order.

Philox 4x32 with 10 rounds (Salmon et al. 2011): a 128-bit counter and a 64-bit key give four words
of 32 bits. The first word of a system's key pair is the key of the cipher, the second is half of
the counter, the purpose and the place in the image are the rest.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensmill.imaging.approximations import LN2, F, log2, sin_quarter
from lensmill.imaging.compiling import exact, fast

# purposes: streams of one key that have nothing to do with each other
NOISE, COUNTS, PIXELS, COLUMNS, RAYS = (np.uint64(purpose) for purpose in range(5))

CIPHER, COUNTER = 0, 1  # which word of a pair is the key of the cipher, which half the counter

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _UP = np.uint64(0xFFFFFFFF), np.uint64(32)
_PER_31_BITS, _PER_32_BITS, _HALF = F(2.0**-31), F(2.0**-32), F(0.5)
_TWO_LN2, _QUARTER = F(2) * LN2, F(0.25)
_PER_53_BITS = 2.0**-53


def pairs(keys: ArrayLike, n: int) -> NDArray:
    """Return ``n`` keys of one or two 64-bit words as an array of shape (n, 2)."""
    keys = np.asarray(keys)
    if keys.dtype != np.uint64 or keys.shape not in ((n,), (n, 1), (n, 2)):
        raise ValueError(
            f"keys of type {keys.dtype} and shape {keys.shape} do not fit {n} systems; give uint64 "
            f"of shape ({n},) or ({n}, 2)"
        )
    both = np.zeros((n, 2), dtype=np.uint64)
    both[:, : keys.size // max(n, 1)] = keys.reshape(n, -1)
    return both


@exact
def _round(c0, c1, c2, c3, k0, k1):
    # 32-bit numbers held in uint64: only so are these the multiplications of a vector unit
    a, b = _M0 * c0, _M1 * c2
    return (b >> _UP) ^ c1 ^ k0, b & _LOW, (a >> _UP) ^ c3 ^ k1, a & _LOW


@exact
def philox(c0, c1, c2, c3, k0, k1):
    """Philox 4x32-10: four random words of counter and key, 32-bit numbers held in uint64."""
    for _ in range(10):
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@exact
def words(key, purpose, out):
    """Fill ``out``, shape (4, blocks), uint32: block j holds the words of counter j."""
    k0, k1 = key[CIPHER] & _LOW, key[CIPHER] >> _UP
    c2, c3 = key[COUNTER] & _LOW, key[COUNTER] >> _UP
    out0, out1, out2, out3 = out[0], out[1], out[2], out[3]
    for j in range(out.shape[1]):
        # `philox`, written out: it is too long to be put in by the compiler and made a vector loop
        w0, w1, w2, w3, a, b = np.uint64(j), purpose, c2, c3, k0, k1
        for _ in range(10):
            w0, w1, w2, w3 = _round(w0, w1, w2, w3, a, b)
            a, b = (a + _W0) & _LOW, (b + _W1) & _LOW
        out0[j], out1[j], out2[j], out3[j] = w0, w1, w2, w3


@exact
def draw(key, purpose, place):
    """Return the four words, held in uint64, of one place."""
    k0, k1 = key[CIPHER] & _LOW, key[CIPHER] >> _UP
    return philox(place, purpose, key[COUNTER] & _LOW, key[COUNTER] >> _UP, k0, k1)


@fast
def normals(bits, out):
    """Fill ``out`` with normal numbers by Box and Muller from words, both of shape (4, blocks).

    The largest possible is 6.7.
    """
    for half in range(0, 4, 2):
        for j in range(bits.shape[1]):
            # conversions from signed integers are faster: 31 bits for the radius, 32 for the angle
            u = (F(np.int32(bits[half, j] >> np.uint32(1))) + _HALF) * _PER_31_BITS
            turn = F(np.int32(bits[half + 1, j])) * _PER_32_BITS  # -1/2 to 1/2
            r = np.sqrt(max(-_TWO_LN2 * log2(u), F(0)))
            fold = abs(turn) - _QUARTER
            out[half, j] = r * np.copysign(sin_quarter(_QUARTER - abs(fold)), turn)
            out[half + 1, j] = -r * sin_quarter(fold)


@exact
def uniform(first, second):
    """Return a double in (0, 1) from two words."""
    high, low = first << np.uint64(21), second >> np.uint64(11)
    return (float(high | low) + 0.5) * _PER_53_BITS
