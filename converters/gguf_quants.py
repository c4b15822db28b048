"""GGUF's block formats to float32, in numpy.

A quantised row is a run of blocks: a few scales and the packed integers of 32 or 256 weights.
Every function takes the blocks ``[n, bytes]`` uint8 and fills ``[n, weights]`` float32. The float
operations come in the order of the ``gguf`` package, so the values are equal bit for bit.

Source: ``ggml-common.h`` and ``ggml-quants.c`` of ggml for the layouts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_CHUNK_WEIGHTS = 1 << 17  # temporaries stay in the second-level cache
_NIBBLES = np.array([0, 4], np.uint8).reshape(2, 1)
_PAIRS = np.array([0, 2, 4, 6], np.uint8).reshape(4, 1)


class Block(NamedTuple):
    """How many weights a block holds, in how many bytes, and what unpacks it."""

    name: str
    weights: int
    bytes: int
    unpack: Callable[[np.ndarray, np.ndarray], None]


def _half(blocks: np.ndarray, at: int) -> np.ndarray:
    """The float16 at byte ``at`` of each block, as float32 ``[n, 1]``."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view(np.float16).astype(np.float32)


def _nibbles(packed: np.ndarray, out: np.ndarray) -> np.ndarray:
    """``[n, 16]`` bytes to ``[n, 32]``: the low halves, then the high ones."""
    out = out.reshape(len(packed), 2, 16)
    out[:, 0] = packed & np.uint8(15)
    out[:, 1] = packed >> np.uint8(4)
    return out.reshape(len(packed), 32)


def _fives(blocks: np.ndarray, at: int) -> np.ndarray:
    """uint8 ``[n, 32]``: nibbles at ``at + 4``, a fifth bit of each in the four bytes at ``at``."""
    low = _nibbles(blocks[:, at + 4 : at + 20], np.empty((len(blocks), 32), np.uint8))
    high = np.unpackbits(blocks[:, at : at + 4], axis=1, bitorder="little")
    high <<= np.uint8(4)
    high |= low
    return high


def _q4_0(blocks: np.ndarray, out: np.ndarray) -> None:
    _nibbles(blocks[:, 2:], out)
    out -= np.float32(8)
    out *= _half(blocks, 0)


def _q4_1(blocks: np.ndarray, out: np.ndarray) -> None:
    _nibbles(blocks[:, 4:], out)
    out *= _half(blocks, 0)
    out += _half(blocks, 2)


def _q5_0(blocks: np.ndarray, out: np.ndarray) -> None:
    out[:] = _fives(blocks, 2)
    out -= np.float32(16)
    out *= _half(blocks, 0)


def _q5_1(blocks: np.ndarray, out: np.ndarray) -> None:
    out[:] = _fives(blocks, 4)
    out *= _half(blocks, 0)
    out += _half(blocks, 2)


def _q8_0(blocks: np.ndarray, out: np.ndarray) -> None:
    np.multiply(blocks[:, 2:].view(np.int8), _half(blocks, 0), out=out)


def _q2_k(blocks: np.ndarray, out: np.ndarray) -> None:
    scales = blocks[:, :16]
    step = (_half(blocks, 80) * (scales & np.uint8(15)).astype(np.float32))[:, :, None]
    base = (_half(blocks, 82) * (scales >> np.uint8(4)).astype(np.float32))[:, :, None]
    codes = (blocks[:, 16:80].reshape(-1, 2, 1, 32) >> _PAIRS) & np.uint8(3)
    out = out.reshape(-1, 16, 16)
    np.multiply(codes.reshape(out.shape), step, out=out)
    out -= base


def _q3_k(blocks: np.ndarray, out: np.ndarray) -> None:
    n = len(blocks)
    # 16 scales of 6 bits: low nibbles in 8 bytes, the two high bits of four scales in each of 4.
    low = (blocks[:, None, 96:104] >> _NIBBLES).reshape(n, 16) & np.uint8(15)
    high = (blocks[:, None, 104:108] >> _PAIRS).reshape(n, 16) & np.uint8(3)
    scales = (low | (high << np.uint8(4))).astype(np.float32) - np.float32(32)
    step = (_half(blocks, 108) * scales)[:, :, None]
    codes = (blocks[:, 32:96].reshape(n, 2, 1, 32) >> _PAIRS) & np.uint8(3)
    bits = np.arange(8, dtype=np.uint8).reshape(8, 1)
    absent = ~(blocks[:, None, :32] >> bits) & np.uint8(1)  # a clear bit takes 4 off
    codes = codes.reshape(n, 16, 16).view(np.int8) - (absent.reshape(n, 16, 16) << 2).view(np.int8)
    np.multiply(codes, step, out=out.reshape(n, 16, 16))


def _k_scales(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eight scales and eight minima of 6 bits from 12 bytes, float32 ``[n, 8]`` each."""
    scale, least, both = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    six, two, four = np.uint8(63), np.uint8(0x30), np.uint8(15)
    high_scale = (both & four) | ((scale >> np.uint8(2)) & two)
    high_least = (both >> np.uint8(4)) | ((least >> np.uint8(2)) & two)
    scales = np.concatenate([scale & six, high_scale], axis=1)
    minima = np.concatenate([least & six, high_least], axis=1)
    return scales.astype(np.float32), minima.astype(np.float32)


def _q45_k(blocks: np.ndarray, codes: np.ndarray, out: np.ndarray) -> None:
    scales, minima = _k_scales(blocks[:, 4:16])
    out = out.reshape(-1, 8, 32)
    np.multiply(codes, (_half(blocks, 0) * scales)[:, :, None], out=out)
    out -= (_half(blocks, 2) * minima)[:, :, None]


def _q4_k(blocks: np.ndarray, out: np.ndarray) -> None:
    codes = (blocks[:, 16:].reshape(-1, 4, 1, 32) >> _NIBBLES) & np.uint8(15)
    _q45_k(blocks, codes.reshape(-1, 8, 32), out)


def _q5_k(blocks: np.ndarray, out: np.ndarray) -> None:
    codes = (blocks[:, 48:].reshape(-1, 4, 1, 32) >> _NIBBLES) & np.uint8(15)
    bits = np.arange(8, dtype=np.uint8).reshape(8, 1)
    high = (blocks[:, None, 16:48] >> bits) & np.uint8(1)
    _q45_k(blocks, codes.reshape(-1, 8, 32) | (high << np.uint8(4)), out)


def _q6_k(blocks: np.ndarray, out: np.ndarray) -> None:
    n = len(blocks)
    codes = (blocks[:, :128].reshape(n, 2, 1, 64) >> _NIBBLES) & np.uint8(15)
    high = (blocks[:, 128:192].reshape(n, 2, 1, 32) >> _PAIRS) & np.uint8(3)
    codes = codes.reshape(n, 8, 32) | (high.reshape(n, 8, 32) << np.uint8(4))
    codes = codes.view(np.int8)
    codes -= np.int8(32)
    step = _half(blocks, 208) * blocks[:, 192:208].view(np.int8).astype(np.float32)
    np.multiply(codes.reshape(n, 16, 16), step[:, :, None], out=out.reshape(n, 16, 16))


BLOCKS = {
    2: Block("Q4_0", 32, 18, _q4_0),
    3: Block("Q4_1", 32, 20, _q4_1),
    6: Block("Q5_0", 32, 22, _q5_0),
    7: Block("Q5_1", 32, 24, _q5_1),
    8: Block("Q8_0", 32, 34, _q8_0),
    10: Block("Q2_K", 256, 84, _q2_k),
    11: Block("Q3_K", 256, 110, _q3_k),
    12: Block("Q4_K", 256, 144, _q4_k),
    13: Block("Q5_K", 256, 176, _q5_k),
    14: Block("Q6_K", 256, 210, _q6_k),
}

# For messages alone: what else a file may hold.
OTHER_TYPES = {
    **{4: "Q4_2", 5: "Q4_3", 9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS"},
    **{19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M"},
    **{34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4"},
}


def dequantize(data: np.ndarray, block: Block, out: np.ndarray) -> None:
    """Unpack ``[n * block.bytes]`` uint8 into ``[n * block.weights]`` float32, in pieces."""
    blocks, out = data.reshape(-1, block.bytes), out.reshape(-1, block.weights)
    step = _CHUNK_WEIGHTS // block.weights
    with np.errstate(invalid="ignore", over="ignore"):  # a scale of inf or NaN is the file's
        for start in range(0, len(blocks), step):
            block.unpack(blocks[start : start + step], out[start : start + step])
