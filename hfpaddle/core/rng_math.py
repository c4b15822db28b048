"""The rounding of torch's CPU samplers, in numpy: fused multiply-add, log, sine and cosine.

torch fills float32 normals with AVX2 versions of the Cephes polynomials, built by a compiler that
fuses multiplications into additions. A numpy ``log`` or ``cos`` differs from those in one value of
six, so the polynomials are evaluated here step by step, with the same steps fused.

Source: Cephes ``logf.c`` and ``sinf.c`` (S. Moshier) for the coefficients.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

_F = np.float32
_LOG_COEFFICIENTS = tuple(
    _F(c)
    for c in (
        *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
        *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
    )
)
_LN2_LOW, _LN2_HIGH = _F(-2.12194440e-4), _F(0.693359375)
_SQRT_HALF = _F(0.707106781186547524)
_MANTISSA = np.int32(0x007FFFFF)
_HALF_EXPONENT = np.int32(0x3F000000)
_FOUR_OVER_PI = _F(1.27323954473516)
_QUARTER_PI_PARTS = (_F(-0.78515625), _F(-2.4187564849853515625e-4), _F(-3.77489497744594108e-8))
_SIN_COEFFICIENTS = (_F(-1.9515295891e-4), _F(8.3321608736e-3), _F(-1.6666654611e-1))
_COS_COEFFICIENTS = (
    _F(2.443315711809948e-5),
    _F(-1.388731625493765e-3),
    _F(4.166664568298827e-2),
)


def fma32(a, b, c) -> np.ndarray:
    """``a * b + c`` of float32 values, rounded once to float32.

    The product is exact in float64. The sum is rounded there first, so about one result in 2**29
    may be off by one unit in the last place.
    """
    product = np.multiply(a, b, dtype=np.float64)
    return np.add(product, c, out=product).astype(_F)


def fma64(a, b, c) -> np.ndarray:
    """``a * b + c`` of float64 values with the error of the product carried (Dekker)."""
    a, b, c = (np.asarray(v, np.float64) for v in (a, b, c))
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    product = a * b
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    total = product + c
    added = total - product
    lost = (product - (total - added)) + (c - added)
    return total + (lost + error)


def _split(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scaled = x * 134217729.0  # 2**27 + 1: each part keeps half of the 53 bits
    high = scaled - (scaled - x)
    return high, x - high


def libm(function: Callable[[float], float], x: np.ndarray) -> np.ndarray:
    """``function`` of the C library for each element: numpy's own vector versions round apart."""
    return np.fromiter(map(function, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)


def log32(x: np.ndarray) -> np.ndarray:
    """Natural logarithm of positive, normal float32 values."""
    bits = x.view(np.int32)
    exponent = ((bits >> 23) - 127).astype(_F) + _F(1)
    x = ((bits & _MANTISSA) | _HALF_EXPONENT).view(_F)
    small = x < _SQRT_HALF
    x = (x - _F(1)) + np.where(small, x, _F(0))
    exponent = exponent - small.astype(_F)
    y = _horner(_LOG_COEFFICIENTS, x) * x
    square = x * x
    y = fma32(y, square, exponent * _LN2_LOW) - square * _F(0.5)
    return fma32(exponent, _LN2_HIGH, x + y)


def sincos32(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine of non-negative float32 values below a few thousand."""
    octant = ((x * _FOUR_OVER_PI).astype(np.int32) + np.int32(1)) & np.int32(-2)
    turns = octant.astype(_F)
    for part in _QUARTER_PI_PARTS:
        x = fma32(turns, part, x)
    square = x * x
    y = _horner(_COS_COEFFICIENTS, square) * square
    near_cos = fma32(y, square, square * _F(-0.5)) + _F(1)
    near_sin = fma32(_horner(_SIN_COEFFICIENTS, square) * square, x, x)
    keep = (octant & np.int32(2)) == 0
    sine = np.where(keep, near_sin, near_cos)
    cosine = np.where(keep, near_cos, near_sin)
    sine.view(np.int32)[...] ^= (octant & np.int32(4)) << np.int32(29)
    cosine.view(np.int32)[...] ^= (~(octant - np.int32(2)) & np.int32(4)) << np.int32(29)
    return sine, cosine


def _horner(coefficients: tuple, x: np.ndarray) -> np.ndarray:
    y = coefficients[0]
    for c in coefficients[1:]:
        y = fma32(y, x, c)
    return y


def normal_blocks32(uniform: np.ndarray, mean: float, std: float) -> None:
    """Turn float32 uniforms into normals in place, 16 at a time (8 radii, then 8 angles).

    Args:
        uniform: ``[n]`` with ``n`` a multiple of 16, contiguous float32 in [0, 1).
    """
    blocks = uniform.reshape(-1, 2, 8)
    mean_32, std_32 = _F(mean), _F(std)
    for start in range(0, len(blocks), 1024):  # the working set stays in the second-level cache
        part = blocks[start : start + 1024]
        radius = np.sqrt(_F(-2) * log32(_F(1) - part[:, 0]))
        sine, cosine = sincos32(_F(2 * math.pi) * part[:, 1])
        part[:, 0] = fma32(radius * cosine, std_32, mean_32)
        part[:, 1] = fma32(radius * sine, std_32, mean_32)


def normal_blocks64(uniform: np.ndarray, mean: float, std: float) -> None:
    """:func:`normal_blocks32` for float64, with the C library's log, sine and cosine."""
    blocks = uniform.reshape(-1, 2, 8)
    radius = np.sqrt(-2 * libm(math.log, 1 - blocks[:, 0]))
    angle = 2 * math.pi * blocks[:, 1]
    blocks[:, 0] = fma64(radius * libm(math.cos, angle), std, mean)
    blocks[:, 1] = fma64(radius * libm(math.sin, angle), std, mean)


def round_to(values: np.ndarray, dtype: str) -> np.ndarray:
    """Round float32 values to ``float16`` (as that numpy type) or ``bfloat16`` (kept in float32).

    numpy has no bfloat16; the result is exact under a cast to it. Values must be finite.
    """
    if dtype == "float16":
        return values.astype(np.float16)
    bits = np.ascontiguousarray(values, _F).view(np.uint32)
    bits = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    return (bits & np.uint32(0xFFFF0000)).view(_F)
