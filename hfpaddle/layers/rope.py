"""Rotary frequencies and their published scalings.

Each function below returns the inverse frequencies (float32, one a pair of elements, in radians per
position) and the factor that multiplies cos and sin. Sources: linear arXiv:2306.15595, dynamic NTK
and yarn arXiv:2309.00071, longrope arXiv:2402.13753, llama3 the Llama 3.1 model card.

Shape letters: B batch, S sequence, P pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import paddle
from paddle import nn

from hfpaddle.core.errors import UnsupportedConfigError, nearest

Scaled = tuple[np.ndarray, float]


def _exponents(dim: int) -> np.ndarray:
    return np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)


def _frequencies(theta: float, dim: int) -> np.ndarray:
    return (1.0 / np.float32(theta) ** _exponents(dim)).astype(np.float32)


def _default(p: Mapping[str, Any], dim: int, max_positions: int, length: int | None) -> Scaled:
    return _frequencies(p["rope_theta"], dim), 1.0


def _linear(p: Mapping[str, Any], dim: int, max_positions: int, length: int | None) -> Scaled:
    return _frequencies(p["rope_theta"], dim) / np.float32(p["factor"]), 1.0


def _dynamic(p: Mapping[str, Any], dim: int, max_positions: int, length: int | None) -> Scaled:
    factor = p["factor"]
    length = max(length or 0, max_positions)
    growth = factor * length / max_positions - (factor - 1)
    return _frequencies(p["rope_theta"] * growth ** (dim / (dim - 2)), dim), 1.0


def _yarn_scale(factor: float, mscale: float = 1.0) -> float:
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def _yarn(p: Mapping[str, Any], dim: int, max_positions: int, length: int | None) -> Scaled:
    theta, original = p["rope_theta"], p["original_max_position_embeddings"]
    factor = p["factor"] if p["factor"] is not None else max_positions / original
    attention = p.get("attention_factor")
    if attention is None:
        mscale, all_dim = p.get("mscale"), p.get("mscale_all_dim")
        attention = _yarn_scale(factor)
        if mscale and all_dim:
            attention = _yarn_scale(factor, mscale) / _yarn_scale(factor, all_dim)

    def boundary(rotations: float) -> float:
        return dim * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low, high = boundary(p.get("beta_fast") or 32), boundary(p.get("beta_slow") or 1)
    if p.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    high += 0.001 if low == high else 0
    ramp = np.clip((np.arange(dim // 2, dtype=np.float32) - low) / (high - low), 0, 1)
    plain = _frequencies(theta, dim)
    return (plain / factor * ramp + plain * (1 - ramp)).astype(np.float32), float(attention)


def _longrope(p: Mapping[str, Any], dim: int, max_positions: int, length: int | None) -> Scaled:
    original = p["original_max_position_embeddings"]
    factor = p.get("factor")
    if factor is None:
        factor = max_positions / original
    attention = p.get("attention_factor")
    if attention is None:
        grown = 1 + math.log(factor) / math.log(original) if factor > 1 else 1.0
        attention = math.sqrt(grown)
    long = length is not None and length > original
    per_pair = np.asarray(p["long_factor"] if long else p["short_factor"], dtype=np.float32)
    return 1.0 / (per_pair * np.float32(p["rope_theta"]) ** _exponents(dim)), float(attention)


def _llama3(p: Mapping[str, Any], dim: int, max_positions: int, length: int | None) -> Scaled:
    plain = _frequencies(p["rope_theta"], dim)
    factor, low, high = p["factor"], p["low_freq_factor"], p["high_freq_factor"]
    original = p["original_max_position_embeddings"]
    wavelength = 2 * np.pi / plain
    slow = np.where(wavelength > original / low, plain / factor, plain)
    smooth = (original / wavelength - low) / (high - low)
    blended = (1 - smooth) * slow / factor + smooth * slow
    middle = ~(wavelength < original / high) & ~(wavelength > original / low)
    return np.where(middle, blended, slow).astype(np.float32), 1.0


SCALINGS: dict[str, Callable[..., Scaled]] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "longrope": _longrope,
    "llama3": _llama3,
}


class RotaryEmbedding(nn.Layer):
    """Gives cos and sin of each position's angles.

    Args:
        head_dim: elements of a head.
        rope_parameters: transformers' dict: ``rope_type``, ``rope_theta``, optional
            ``partial_rotary_factor`` and the scaling's own keys.
        max_position_embeddings: in tokens.
    Raises: UnsupportedConfigError for an unknown ``rope_type``.
    """

    def __init__(
        self, head_dim: int, rope_parameters: Mapping[str, Any], max_position_embeddings: int
    ) -> None:
        super().__init__()
        self.rope_type = rope_parameters.get("rope_type", "default")
        if self.rope_type not in SCALINGS:
            raise UnsupportedConfigError(
                f"rope_parameters['rope_type'] = {self.rope_type!r} is not implemented"
                f"{nearest(str(self.rope_type), SCALINGS)}. Known: {sorted(SCALINGS)}."
            )
        self.parameters_ = dict(rope_parameters)
        self.dim = int(head_dim * rope_parameters.get("partial_rotary_factor", 1.0))
        self.max_positions = max_position_embeddings
        self.longest = max_position_embeddings  # dynamic scaling remembers the longest input
        self.frequencies, self.scale = self._scaled(None)
        self._moved: tuple[np.ndarray, paddle.Tensor] | None = None

    def _scaled(self, length: int | None) -> Scaled:
        return SCALINGS[self.rope_type](self.parameters_, self.dim, self.max_positions, length)

    def _follow_length(self, position_ids_BS: paddle.Tensor) -> None:
        """Recompute the frequencies of the scalings that depend on the input's length."""
        length = int(position_ids_BS.max()) + 1
        if self.rope_type == "longrope":
            self.frequencies, _ = self._scaled(length)
        elif length > self.longest:
            self.frequencies, self.scale = self._scaled(length)
            self.longest = length
        elif length < self.max_positions < self.longest:
            self.frequencies, self.scale = self._scaled(None)
            self.longest = self.max_positions

    def forward(self, position_ids_BS: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Return cos and sin, each ``[B, S, P]`` float32, on the device of ``position_ids``."""
        if self.rope_type in ("dynamic", "longrope"):
            self._follow_length(position_ids_BS)
        angles_BSP = position_ids_BS.astype("float32").unsqueeze(-1) * self._on(position_ids_BS)
        cos, sin = paddle.cos(angles_BSP), paddle.sin(angles_BSP)
        return (cos, sin) if self.scale == 1.0 else (cos * self.scale, sin * self.scale)

    def _on(self, like: paddle.Tensor) -> paddle.Tensor:
        """Return the frequencies on the device of ``like``; moved there once."""
        known = self._moved
        if (
            known is None
            or known[0] is not self.frequencies
            or not known[1].place._equals(like.place)
        ):
            known = (self.frequencies, paddle.to_tensor(self.frequencies, place=like.place))
            self._moved = known
        return known[1]

    def extra_repr(self) -> str:
        return f"dim={self.dim}, rope_type={self.rope_type!r}"
