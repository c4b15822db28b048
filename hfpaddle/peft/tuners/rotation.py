"""Adapters that turn the input: block-diagonal orthogonal matrices and their arithmetic.

Shape letters: r blocks, b size of a block, I in = r * b, O out, e = b (b - 1) / 2 free numbers.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import paddle

from hfpaddle.peft.tuners.layer_base import BaseTunerLayer, check_adapters_to_merge
from hfpaddle.peft.utils import layers


def skew(values_re: paddle.Tensor, size: int) -> paddle.Tensor:
    """Skew-symmetric matrices ``[r, b, b]`` from what stands above their diagonals, row by row."""
    rows, columns = np.triu_indices(size, 1)
    place, sign = np.zeros([size, size], "int64"), np.zeros([size, size], "float32")
    place[rows, columns] = place[columns, rows] = np.arange(len(rows))
    sign[rows, columns], sign[columns, rows] = 1, -1
    index = paddle.to_tensor(place.ravel(), place=values_re.place)
    spread = paddle.index_select(values_re, index, axis=1)
    signs = paddle.to_tensor(sign.ravel(), place=values_re.place).astype(values_re.dtype)
    return (spread * signs).reshape([-1, size, size])


def cayley(skew_rbb: paddle.Tensor) -> paddle.Tensor:
    """``(1 - Q) (1 + Q)^-1``: orthogonal for a skew-symmetric ``Q``."""
    one = paddle.eye(skew_rbb.shape[-1], dtype=skew_rbb.dtype)
    left, right = (one + skew_rbb).transpose([0, 2, 1]), (one - skew_rbb).transpose([0, 2, 1])
    return paddle.linalg.solve(left, right).transpose([0, 2, 1])


def cayley_neumann(skew_rbb: paddle.Tensor, terms: int) -> paddle.Tensor:
    """The series ``1 + 2 Q + 2 Q^2 + ... + Q^(terms - 1)`` that stands for `cayley` near 1."""
    one = paddle.eye(skew_rbb.shape[-1], dtype=skew_rbb.dtype)
    total = one.unsqueeze(0).expand(skew_rbb.shape)
    if terms > 1:
        total = total + 2.0 * skew_rbb
    if terms > 2:
        power = skew_rbb @ skew_rbb
        total = total + 2.0 * power
        for _ in range(3, terms - 1):
            power = power @ skew_rbb
            total = total + 2.0 * power
        total = total + power @ skew_rbb
    return total


def rotate(x: paddle.Tensor, blocks_rbb: paddle.Tensor) -> paddle.Tensor:
    """``x @ block_diag(blocks)`` for ``x`` ``[..., I]``; a single block serves for all."""
    shape, size = list(x.shape), int(blocks_rbb.shape[-1])
    count = shape[-1] // size
    rows = x.reshape([-1, count, size]).transpose([1, 0, 2])
    blocks = blocks_rbb.expand([count, size, size]).astype(x.dtype)
    return (rows @ blocks).transpose([1, 0, 2]).reshape(shape)


class RotationLayer(BaseTunerLayer):
    """A base layer whose input each adapter turns (an embedding's output).

    A method gives `has` and `blocks`, and `scale` if outputs are scaled, too.
    """

    on_output = False

    def has(self, adapter: str) -> bool:
        """Whether the adapter has this layer."""
        raise NotImplementedError

    def blocks(self, adapter: str, merging: bool = False) -> paddle.Tensor:
        """The adapter's orthogonal blocks ``[r or 1, b, b]``."""
        raise NotImplementedError

    def scale(self, adapter: str) -> paddle.Tensor | None:
        """What outputs are multiplied by, ``[O]``."""
        return None

    def _turned(self, weight: paddle.Tensor, adapter: str, back: bool) -> paddle.Tensor:
        """The base weight ``[O, I]`` (a table ``[rows, I]``) with the rotation in it."""
        blocks = self.blocks(adapter, merging=True).astype("float32")
        if back:
            blocks = paddle.linalg.inv(blocks)
        if not self.on_output:
            # x D W^T: the weight's rows are turned the other way around.
            blocks = blocks.transpose([0, 2, 1])
        return rotate(weight, blocks)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Turn the base weight; ``safe_merge`` refuses what is not finite."""
        for adapter in check_adapters_to_merge(self, adapter_names):
            if self.has(adapter):
                self._set(adapter, back=False, safe=safe_merge)
                self.merged_adapters.append(adapter)

    def unmerge(self) -> None:
        """Turn the base weight back."""
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
            return
        while self.merged_adapters:
            adapter = self.merged_adapters.pop()
            if self.has(adapter):
                self._set(adapter, back=True, safe=False)

    @paddle.no_grad()
    def _set(self, adapter: str, back: bool, safe: bool) -> None:
        transposed = layers.is_paddle_linear(self.get_base_layer())
        weight = self.weight.detach().astype("float32")
        weight = self._turned(weight.T if transposed else weight, adapter, back)
        scale = self.scale(adapter)
        if scale is not None:
            factor = scale.astype("float32").reshape([-1, 1])
            weight = weight / factor if back else weight * factor
        weight = weight.T if transposed else weight
        self.set_base_weight(self.checked_finite(weight, adapter) if safe else weight)

    def forward(self, x: paddle.Tensor, *args: Any, **kwargs: Any) -> paddle.Tensor:
        if self.disable_adapters and self.merged:
            self.unmerge()
        own = [name for name in self.active_adapters if self.has(name)]
        if self.disable_adapters or self.merged or not own:
            return self.base_layer(x, *args, **kwargs)
        if self.on_output:
            result = self.base_layer(x, *args, **kwargs)
            for adapter in own:
                result = rotate(result, self.blocks(adapter))
            return result
        for adapter in self.in_order(own):
            x = rotate(x, self.blocks(adapter))
        return self._scaled(self.base_layer(x, *args, **kwargs), own)

    def in_order(self, adapters: list[str]) -> list[str]:
        """The order in which several active adapters turn the input."""
        return adapters

    def _scaled(self, result: paddle.Tensor, adapters: list[str]) -> paddle.Tensor:
        scales = [s for s in map(self.scale, adapters) if s is not None]
        if not scales:
            return result
        bias = None if self.bias is None else self.bias.astype(result.dtype)
        result = result if bias is None else result - bias
        for scale in scales:
            result = result * scale.flatten().astype(result.dtype)
        return result if bias is None else result + bias

    def _warn_scaling(self, *_: Any, **__: Any) -> None:
        warnings.warn("A rotation has no scale; it stays 1.", stacklevel=2)

    set_scale = scale_layer = unscale_layer = _warn_scaling
