"""Elementary functions in single precision that a compiler can vectorise.

The mathematical library is called one number at a time; these polynomials (fitted for the smallest
largest error) go through eight at once and are accurate to about 1e-7, the rounding of float32.
"""

import numpy as np

from lensmill.imaging.compiling import fast

F = np.float32
ONE, HALF, TINY = F(1), F(0.5), F(1e-30)
LN2 = F(np.log(2.0))
_ZERO, _QUARTER, _PER_RADIAN = F(0), F(0.25), F(0.5 / np.pi)

_SQRT_HALF = np.int32(0x3F3504F3)  # the bits of sqrt(1/2)
_LOWEST = F(-126.0)
_BIAS, _BIAS_AND_HALF = np.int32(127), F(127.5)

_E0, _E1, _E2 = F(1.00000007), F(0.693146967), F(0.240221197)
_E3, _E4, _E5 = F(0.0555071327), F(0.00967554133), F(0.0013276472)

_L0, _L1, _L2, _L3 = F(1.44269479), F(-0.721356648), F(0.48093847), F(-0.360103826)
_L4, _L5, _L6, _L7 = F(0.286727341), F(-0.249923669), F(0.236746033), F(-0.145990584)

_A0, _A1, _A2, _A3 = F(0.999999911), F(-0.333320935), F(0.199713751), F(-0.140294198)
_A4, _A5, _A6, _A7 = F(0.0994275922), F(-0.0599047182), F(0.0245571268), F(-0.00478045614)

_H0, _H1, _H2 = F(0.999999979), F(0.333339244), F(0.199735625)
_H3, _H4, _H5 = F(0.1471354), F(0.0806072064), F(0.184461927)

_S0, _S1, _S2 = F(6.28318528), F(-41.3416807), F(81.6024851)
_S3, _S4 = F(-76.5813964), F(39.761617)


@fast
def exp2(x):
    """``2**x`` for x below 127; 1e-38 and less is as good as zero."""
    x = max(x, _LOWEST)
    exponent = np.int32(x + _BIAS_AND_HALF)
    # subtracted as integers: fast mathematics would add 127 to x first and lose its last bits
    f = x - F(np.int32(exponent - _BIAS))
    p = _E0 + f * (_E1 + f * (_E2 + f * (_E3 + f * (_E4 + f * _E5))))
    return p * np.int32(exponent << np.int32(23)).view(np.float32)


@fast
def log2(x):
    """Logarithm to base 2 of a positive, normal number; absolute error 5e-8 near 1."""
    bits = np.float32(x).view(np.int32)
    exponent = np.int32((bits - _SQRT_HALF) >> np.int32(23))
    f = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32) - ONE
    p = _L0 + f * (_L1 + f * (_L2 + f * (_L3 + f * (_L4 + f * (_L5 + f * (_L6 + f * _L7))))))
    return F(exponent) + f * p


@fast
def atan_ratio(u):
    """``atan(t) / t`` of ``u = t**2`` in [0, 1]."""
    return _A0 + u * (_A1 + u * (_A2 + u * (_A3 + u * (_A4 + u * (_A5 + u * (_A6 + u * _A7))))))


@fast
def atanh_ratio(u):
    """``atanh(t) / t`` of ``u = t**2`` in [0, 1/4]."""
    return _H0 + u * (_H1 + u * (_H2 + u * (_H3 + u * (_H4 + u * _H5))))


@fast
def sin_quarter(t):
    """Sine of ``t`` turns, for t in [-1/4, 1/4]."""
    u = t * t
    return t * (_S0 + u * (_S1 + u * (_S2 + u * (_S3 + u * _S4))))


@fast
def cosine(t):
    """Cosine of ``t`` turns."""
    t = abs(t)
    t -= F(np.int32(t))
    return sin_quarter(abs(t - HALF) - _QUARTER)


@fast
def turns(x, y):
    """Position angle of a point, in turns from -1/2 to 1/2."""
    a, b = abs(x), abs(y)
    t = min(a, b) / max(max(a, b), TINY)
    angle = t * atan_ratio(t * t) * _PER_RADIAN
    angle = _QUARTER - angle if b > a else angle
    angle = HALF - angle if x < _ZERO else angle
    return np.copysign(angle, y)
