"""C3A beside linear layers.

Shape letters: m blocks of the output, n blocks of the input, b size of a block.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import paddle

from hfpaddle.peft.tuners.additive import AdditiveLayer
from hfpaddle.peft.utils.arrays import ParameterDict, new_parameter, normal, uniform


class C3ALayer(AdditiveLayer):
    """A linear layer to which circulant blocks are added; the kernel ``[m, n, b]`` holds them."""

    adapter_layer_names = ("c3a_kernel",)
    other_param_names = ("block_size",)

    def make_holders(self) -> None:
        self.block_size: dict[str, int] = {}
        self.c3a_kernel = ParameterDict()

    def has(self, adapter: str) -> bool:
        return adapter in self.c3a_kernel

    def update_layer(self, adapter_name: str, config: Any, block_size: int = 256) -> None:
        """Add an adapter. Raises: ValueError for blocks that do not divide, and unknown inits."""
        if block_size <= 0:
            raise ValueError(
                f"`block_size` should be a positive integer value but the value passed is "
                f"{block_size}"
            )
        out, inner = int(self.out_features or 0), int(self.in_features or 0)
        for side, size in (("input", inner), ("output", out)):
            if size % block_size:
                raise ValueError(
                    f"The block size should be a factor of the {side} size. However, the {side} "
                    f"size is {size} and the block size is {block_size}"
                )
        self.block_size[adapter_name] = block_size
        shape = [out // block_size, inner // block_size, block_size]
        drawn = initial(shape, config.init_weights, inner, out)
        self.c3a_kernel[adapter_name] = new_parameter(drawn)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def get_delta_weight(self, adapter: str, **_: Any) -> paddle.Tensor:
        kernel_mnb = self.c3a_kernel[adapter].astype("float32")
        m, n, b = (int(size) for size in kernel_mnb.shape)
        # Row i of a block is its kernel read backwards from i.
        turn = (np.arange(b)[None] - np.arange(b)[:, None]) % b
        index = paddle.to_tensor(turn.ravel(), place=kernel_mnb.place)
        blocks = paddle.index_select(kernel_mnb, index, axis=2).reshape([m, n, b, b])
        weight = blocks.transpose([0, 2, 1, 3]).reshape([m * b, n * b]) / (n * b)
        return weight.T if self.fan_in_fan_out else weight

    def activation(self, adapter: str, x: paddle.Tensor) -> paddle.Tensor:
        # A product of transforms: the blocks themselves would be as large as the weight.
        kernel_mnb = self.c3a_kernel[adapter].astype("float32")
        m, n, b = (int(size) for size in kernel_mnb.shape)
        lead = list(x.shape[:-1])
        parts = paddle.fft.rfft(x.astype("float32").reshape([-1, n, b]))
        kernels = paddle.fft.rfft(kernel_mnb)
        # Per frequency: [tokens, n] @ [n, m], with the kernel conjugated.
        left, right = parts.transpose([2, 0, 1]), kernels.conj().transpose([2, 1, 0])
        product = (left @ right).transpose([1, 2, 0])
        return paddle.fft.irfft(product, n=b).reshape([*lead, m * b]) / (n * b)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return True

    def __repr__(self) -> str:
        return "c3a." + super().__repr__()


def initial(shape: list[int], kind: Any, fan_in: int, fan_out: int) -> np.ndarray:
    """First values of a kernel. Raises: ValueError for an unknown ``kind``."""
    if kind is True:
        return np.zeros(shape, "float32")
    if kind == "gaussian":
        return normal(shape)
    if kind in ("xavier_uniform", False):
        bound = math.sqrt(3.0) * math.sqrt(2.0 / float(fan_in + fan_out))
    elif kind == "kaiming_uniform":
        bound = math.sqrt(1.0 / float(fan_in))
    else:
        raise ValueError(f"Unknown init_weights: {kind}")
    return uniform(shape, -bound, bound)
