"""LoKr beside linear layers and convolutions.

Shape letters: r rank; a weight ``[o1 o2, i1 i2, *kernel]`` is a product of ``[o1, i1]`` and
``[o2, i2, *kernel]``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import paddle

from hfpaddle.peft.tuners.additive import ScaledLayer
from hfpaddle.peft.tuners.loha.layer import core_product
from hfpaddle.peft.utils.arrays import ParameterDict, kaiming_uniform, new_parameter


class LoKrLayer(ScaledLayer):
    """``scaling * kron(W1, W2)``; each whole, or a product of low rank."""

    adapter_layer_names = (
        "lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2",
    )  # fmt: skip

    def make_holders(self) -> None:
        super().make_holders()
        for name in self.adapter_layer_names:
            setattr(self, name, ParameterDict())

    def has(self, adapter: str) -> bool:
        return adapter in self.r  # type: ignore[attr-defined]

    def update_layer(self, adapter_name: str, config: Any, r: int = 0, alpha: float = 0) -> None:
        self.note_sizes(adapter_name, config, r, alpha)
        shapes = self._shapes(config, r)
        zeros = self._zeros(config, shapes)
        # Drawn in this order, whichever there are.
        for name in self.adapter_layer_names:
            if name in shapes:
                shape = shapes[name]
                values = np.zeros(shape, "float32") if name in zeros else kaiming_uniform(shape)
                getattr(self, name)[adapter_name] = new_parameter(values)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _shapes(self, config: Any, r: int) -> dict[str, list[int]]:
        out, inner, *kernel = (int(n) for n in self.get_base_layer().weight.shape)
        if self.fan_in_fan_out:
            out, inner = inner, out
        o1, o2 = factorization(out, config.decompose_factor)
        i1, i2 = factorization(inner, config.decompose_factor)
        if config.decompose_both and r < max(o1, i1) / 2:
            shapes = {"lokr_w1_a": [o1, r], "lokr_w1_b": [r, i1]}
        else:
            shapes = {"lokr_w1": [o1, i1]}
        apart = config.use_effective_conv2d and any(size != 1 for size in kernel)
        if r >= max(o2, i2) / 2:
            return shapes | {"lokr_w2": [o2, i2, *kernel]}
        if apart:
            core = [r, r, *kernel, *([1] if len(kernel) == 1 else [])]
            return shapes | {"lokr_w2_a": [r, o2], "lokr_w2_b": [r, i2], "lokr_t2": core}
        return shapes | {"lokr_w2_a": [o2, r], "lokr_w2_b": [r, i2 * math.prod(kernel)]}

    @staticmethod
    def _zeros(config: Any, shapes: dict[str, list[int]]) -> tuple[str, ...]:
        if config.init_weights == "lycoris":
            return ("lokr_w2", "lokr_w2_b")
        return ("lokr_w1", "lokr_w1_a") if config.init_weights else ()

    def get_delta_weight(self, adapter: str, **_: Any) -> paddle.Tensor:
        if adapter in self.lokr_w1:
            first = self.lokr_w1[adapter]
        else:
            first = self.lokr_w1_a[adapter] @ self.lokr_w1_b[adapter]
        if adapter in self.lokr_w2:
            second = self.lokr_w2[adapter]
        elif adapter in self.lokr_t2:
            factors = self.lokr_w2_a[adapter], self.lokr_w2_b[adapter]
            second = core_product(self.lokr_t2[adapter], *factors)
        else:
            second = self.lokr_w2_a[adapter] @ self.lokr_w2_b[adapter]
        if second.ndim == 4:
            first = first.unsqueeze(-1).unsqueeze(-1)
        weight = kron(first, second) * self.scaling[adapter]  # type: ignore[attr-defined]
        weight = weight.T if self.fan_in_fan_out else weight
        return weight.reshape(list(self.get_base_layer().weight.shape))

    def __repr__(self) -> str:
        return "lokr." + super().__repr__()


def factorization(dimension: int, factor: int = -1) -> tuple[int, int]:
    """``dimension`` as ``m * n`` with ``m <= n``, as equal as ``factor`` (a bound of m) allows.

    A ``factor`` that divides is ``m`` itself.
    """
    if factor > 0 and dimension % factor == 0:
        return factor, dimension // factor
    factor = dimension if factor == -1 else factor
    m, n = 1, dimension
    length = m + n
    while m < n:
        new_m = m + 1
        while dimension % new_m:
            new_m += 1
        new_n = dimension // new_m
        if new_m + new_n > length or new_m > factor:
            break
        m, n = new_m, new_n
    return (n, m) if m > n else (m, n)


def kron(first: paddle.Tensor, second: paddle.Tensor) -> paddle.Tensor:
    """The Kronecker product; the tensor with fewer axes gets axes of size 1 in front."""
    axes = max(first.ndim, second.ndim)
    a = [1] * (axes - first.ndim) + [int(n) for n in first.shape]
    b = [1] * (axes - second.ndim) + [int(n) for n in second.shape]
    left = first.reshape([size for n in a for size in (n, 1)])
    right = second.reshape([size for n in b for size in (1, n)])
    return (left * right).reshape([m * n for m, n in zip(a, b, strict=True)])
