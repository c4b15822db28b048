"""Convolutions. Default values are drawn as torch draws them."""

from __future__ import annotations

import math
from typing import Any

from hfpaddle.torch.nn import functional as F
from hfpaddle.torch.nn import init
from hfpaddle.torch.nn._conv import sizes
from hfpaddle.torch.nn.modules.module import Module
from hfpaddle.torch.nn.parameter import empty_parameter

__all__ = [
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d",
]  # fmt: skip


class _ConvNd(Module):
    dims: int
    transposed = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any,
        output_padding: Any, groups: int, bias: bool, dilation: Any, padding_mode: str,
        device: Any, dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        if in_channels % groups or out_channels % groups:
            raise ValueError("in_channels and out_channels must be divisible by groups")
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(f"padding_mode {padding_mode!r} is unknown")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = self._tuple(kernel_size), self._tuple(stride)
        self.padding = padding if isinstance(padding, str) else self._tuple(padding)
        self.output_padding, self.dilation = self._tuple(output_padding), self._tuple(dilation)
        self.padding_mode = padding_mode
        pair = (out_channels, in_channels // groups)
        pair = (in_channels, out_channels // groups) if self.transposed else pair
        self.weight = empty_parameter([*pair, *self.kernel_size], device, dtype)
        if bias:
            self.bias = empty_parameter([out_channels], device, dtype)
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _tuple(self, value: Any) -> tuple[int, ...]:
        return tuple(sizes(value, self.dims))

    def reset_parameters(self) -> None:
        """Uniform within 1 / sqrt(inputs of one unit)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in:
                init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        plain = (0,) * self.dims
        text += f", padding={self.padding}" if self.padding != plain else ""
        text += f", dilation={self.dilation}" if self.dilation != (1,) * self.dims else ""
        text += f", output_padding={self.output_padding}" if self.output_padding != plain else ""
        text += f", groups={self.groups}" if self.groups != 1 else ""
        text += ", bias=False" if self.bias is None else ""
        return text + (f", padding_mode={self.padding_mode}" * (self.padding_mode != "zeros"))


class _Conv(_ConvNd):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, dilation: Any = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, 0, groups, bias, dilation,
            padding_mode, device, dtype,
        )  # fmt: skip

    def _same(self) -> list[tuple[int, int]]:
        """(before, after) of each axis."""
        if not isinstance(self.padding, str):
            return [(p, p) for p in self.padding]
        if self.padding == "valid":
            return [(0, 0)] * self.dims
        total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        return [(t // 2, t - t // 2) for t in total]

    def forward(self, input):
        conv = (F.conv1d, F.conv2d, F.conv3d)[self.dims - 1]
        padding = self.padding
        if self.padding_mode != "zeros":
            ends = [side for pair in reversed(self._same()) for side in pair]
            input, padding = F.pad(input, ends, mode=self.padding_mode), 0
        return conv(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Conv):
    """``[N, C, L]``; ``weight`` ``[out, in / groups, k]``."""

    dims = 1


class Conv2d(_Conv):
    """``[N, C, H, W]``; ``weight`` ``[out, in / groups, kh, kw]``."""

    dims = 2


class Conv3d(_Conv):
    """``[N, C, D, H, W]``; ``weight`` ``[out, in / groups, kd, kh, kw]``."""

    dims = 3


class _ConvTranspose(_ConvNd):
    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, output_padding: Any = 0, groups: int = 1, bias: bool = True,
        dilation: Any = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, bias,
            dilation, padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input, output_size=None):
        conv = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.dims - 1]
        extra = self.output_padding
        if output_size is not None:
            smallest = [
                (n - 1) * s - 2 * p + d * (k - 1) + 1
                for n, s, p, d, k in zip(
                    input.shape[-self.dims :], self.stride, self.padding, self.dilation,
                    self.kernel_size, strict=True,
                )
            ]  # fmt: skip
            want = list(output_size)[-self.dims :]
            extra = [w - s for w, s in zip(want, smallest, strict=True)]
        return conv(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups,
            self.dilation,
        )  # fmt: skip


class ConvTranspose1d(_ConvTranspose):
    """The gradient of Conv1d; ``weight`` ``[in, out / groups, k]``."""

    dims = 1


class ConvTranspose2d(_ConvTranspose):
    """The gradient of Conv2d; ``weight`` ``[in, out / groups, kh, kw]``."""

    dims = 2


class ConvTranspose3d(_ConvTranspose):
    """The gradient of Conv3d; ``weight`` ``[in, out / groups, kd, kh, kw]``."""

    dims = 3
