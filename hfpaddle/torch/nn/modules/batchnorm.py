"""Norms over the batch and over positions, with running values."""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.torch.nn import functional as F
from hfpaddle.torch.nn import init
from hfpaddle.torch.nn.modules.module import Module
from hfpaddle.torch.nn.parameter import empty_parameter

__all__ = [
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "InstanceNorm1d", "InstanceNorm2d",
    "InstanceNorm3d", "SyncBatchNorm",
]  # fmt: skip


class _NormBase(Module):
    dims: tuple[int, ...]

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = True, track_running_stats: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        for name in ("weight", "bias"):
            made = empty_parameter([num_features], device, dtype) if affine else None
            self.register_parameter(name, made)
        buffers: dict[str, Any] = dict.fromkeys(
            ("running_mean", "running_var", "num_batches_tracked")
        )
        if track_running_stats:
            kind = dtype or paddle.get_default_dtype()
            buffers["running_mean"] = paddle.zeros([num_features], kind)
            buffers["running_var"] = paddle.ones([num_features], kind)
            buffers["num_batches_tracked"] = paddle.zeros([], "int64")
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget what was seen."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, nothing seen."""
        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Any) -> None:
        if input.ndim not in self.dims:
            raise ValueError(
                f"expected {' or '.join(f'{d}D' for d in self.dims)} input (got {input.ndim}D "
                "input)"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    def forward(self, input):
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats:
            init.write(self.num_batches_tracked, int(self.num_batches_tracked) + 1)
            if self.momentum is None:
                momentum = 1.0 / int(self.num_batches_tracked)
        batch = self.training or self.running_mean is None
        tracked = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if tracked else None,
            self.running_var if tracked else None,
            self.weight, self.bias, batch, momentum, self.eps,
        )  # fmt: skip


class BatchNorm1d(_BatchNorm):
    """``[N, C]`` or ``[N, C, L]``."""

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """``[N, C, H, W]``."""

    dims = (4,)


class BatchNorm3d(_BatchNorm):
    """``[N, C, D, H, W]``."""

    dims = (5,)


class SyncBatchNorm(_BatchNorm):
    """BatchNorm of one process."""

    dims = (2, 3, 4, 5)


class _InstanceNorm(_NormBase):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def forward(self, input):
        self._check_input_dim(input)
        if input.ndim == self.dims[0]:
            return paddle.squeeze(self.forward(paddle.unsqueeze(input, 0)), 0)
        return F.instance_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias,
            self.training or not self.track_running_stats, self.momentum, self.eps,
        )  # fmt: skip


class InstanceNorm1d(_InstanceNorm):
    """``[N, C, L]`` or ``[C, L]``."""

    dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """``[N, C, H, W]`` or ``[C, H, W]``."""

    dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """``[N, C, D, H, W]`` or ``[C, D, H, W]``."""

    dims = (4, 5)
