"""Pooling, padding, resizing and reshaping."""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.torch.nn import functional as F
from hfpaddle.torch.nn.modules._simple import REQUIRED, simple
from hfpaddle.torch.nn.modules.module import Module

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "ChannelShuffle", "CircularPad1d",
    "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d",
    "CosineSimilarity", "Flatten", "Fold", "MaxPool1d", "MaxPool2d", "MaxPool3d", "PixelShuffle",
    "PixelUnshuffle", "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d",
    "ReplicationPad2d", "ReplicationPad3d", "Unflatten", "Unfold", "Upsample", "ZeroPad1d",
    "ZeroPad2d", "ZeroPad3d",
]  # fmt: skip


class _Pool(Module):
    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, **options: Any):
        super().__init__()
        self.kernel_size, self.padding, self.options = kernel_size, padding, options
        self.stride = kernel_size if stride is None else stride

    def forward(self, input):
        function = getattr(F, self.function_name)
        return function(
            input, self.kernel_size, stride=self.stride, padding=self.padding, **self.options
        )

    function_name: str

    def extra_repr(self) -> str:
        text = f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
        return "".join([text, *(f", {key}={value}" for key, value in self.options.items())])


class _MaxPool(_Pool):
    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            kernel_size, stride, padding, dilation=dilation, ceil_mode=ceil_mode,
            return_indices=return_indices,
        )  # fmt: skip


class MaxPool1d(_MaxPool):
    """Largest item of each window."""

    function_name = "max_pool1d"


class MaxPool2d(_MaxPool):
    """Largest item of each window."""

    function_name = "max_pool2d"


class MaxPool3d(_MaxPool):
    """Largest item of each window."""

    function_name = "max_pool3d"


class AvgPool1d(_Pool):
    """Mean of each window."""

    function_name = "avg_pool1d"

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            kernel_size, stride, padding, ceil_mode=ceil_mode, count_include_pad=count_include_pad
        )


class _AvgPool(_Pool):
    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            kernel_size, stride, padding, ceil_mode=ceil_mode,
            count_include_pad=count_include_pad, divisor_override=divisor_override,
        )  # fmt: skip


class AvgPool2d(_AvgPool):
    """Mean of each window."""

    function_name = "avg_pool2d"


class AvgPool3d(_AvgPool):
    """Mean of each window."""

    function_name = "avg_pool3d"


_OUT = {"output_size": REQUIRED}
_DOC = "Windows that give output_size positions."
AdaptiveAvgPool1d = simple("AdaptiveAvgPool1d", F.adaptive_avg_pool1d, _DOC, **_OUT)
AdaptiveAvgPool2d = simple("AdaptiveAvgPool2d", F.adaptive_avg_pool2d, _DOC, **_OUT)
AdaptiveAvgPool3d = simple("AdaptiveAvgPool3d", F.adaptive_avg_pool3d, _DOC, **_OUT)
AdaptiveMaxPool1d = simple("AdaptiveMaxPool1d", F.adaptive_max_pool1d, _DOC, **_OUT)
AdaptiveMaxPool2d = simple("AdaptiveMaxPool2d", F.adaptive_max_pool2d, _DOC, **_OUT)

Upsample = simple(
    "Upsample", F.interpolate, "Resize the positions.", size=None, scale_factor=None,
    mode="nearest", align_corners=None, recompute_scale_factor=None,
)  # fmt: skip
PixelShuffle = simple(
    "PixelShuffle", F.pixel_shuffle, "Channels to pixels.", upscale_factor=REQUIRED
)
PixelUnshuffle = simple(
    "PixelUnshuffle", F.pixel_unshuffle, "Pixels to channels.", downscale_factor=REQUIRED
)
ChannelShuffle = simple(
    "ChannelShuffle", F.channel_shuffle, "Interleave groups of channels.", groups=REQUIRED
)
Unfold = simple(
    "Unfold", F.unfold, "Windows as columns.", kernel_size=REQUIRED, dilation=1, padding=0, stride=1
)
Fold = simple(
    "Fold", F.fold, "Columns back to windows.", output_size=REQUIRED, kernel_size=REQUIRED,
    dilation=1, padding=0, stride=1,
)  # fmt: skip


class CosineSimilarity(Module):
    """Cosine of two tensors over ``dim``."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1, x2):
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class _Pad(Module):
    dims: int
    mode = "constant"

    def __init__(self, padding: Any, value: float | None = None) -> None:
        super().__init__()
        each = isinstance(padding, int)
        self.padding = (padding,) * (2 * self.dims) if each else tuple(padding)
        self.value = value

    def forward(self, input):
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}" + ("" if self.value is None else f", value={self.value}")


def _pad(name: str, dims: int, mode: str) -> type:
    body = {"dims": dims, "mode": mode, "__doc__": f"Pad {dims} axes by {mode}."}
    return type(name, (_Pad,), body | {"__module__": __name__})


ConstantPad1d, ConstantPad2d, ConstantPad3d = (
    _pad(f"ConstantPad{n}d", n, "constant") for n in (1, 2, 3)
)
ZeroPad1d, ZeroPad2d, ZeroPad3d = (_pad(f"ZeroPad{n}d", n, "constant") for n in (1, 2, 3))
ReflectionPad1d, ReflectionPad2d, ReflectionPad3d = (
    _pad(f"ReflectionPad{n}d", n, "reflect") for n in (1, 2, 3)
)
ReplicationPad1d, ReplicationPad2d, ReplicationPad3d = (
    _pad(f"ReplicationPad{n}d", n, "replicate") for n in (1, 2, 3)
)
CircularPad1d, CircularPad2d, CircularPad3d = (
    _pad(f"CircularPad{n}d", n, "circular") for n in (1, 2, 3)
)


class Flatten(Module):
    """Join the axes ``start_dim`` to ``end_dim``."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input):
        return paddle.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split the axis ``dim`` into ``unflattened_size``."""

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input):
        shape, dim = list(input.shape), self.dim % input.ndim
        return paddle.reshape(input, [*shape[:dim], *self.unflattened_size, *shape[dim + 1 :]])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
