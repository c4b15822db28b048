"""Process-wide settings, most of which Paddle decides by itself."""

from __future__ import annotations

import os
from typing import Any

import paddle

from hfpaddle.core.logging import warn_once

__emulated__ = True

_threads = {"inter": 1, "intra": None}
_flags: dict[str, Any] = {"precision": "highest", "deterministic": False}


def get_num_threads() -> int:
    """Threads of one operation."""
    return _threads["intra"] or int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


def set_num_threads(num: int) -> None:
    """Set them."""
    if not isinstance(num, int) or num < 1:
        raise RuntimeError("set_num_threads expects a positive integer")
    _threads["intra"] = num
    paddle.base.core.set_num_threads(num)


def get_num_interop_threads() -> int:
    """Operations run one after the other."""
    return _threads["inter"]


def set_num_interop_threads(num: int) -> None:
    """Noted only."""
    _threads["inter"] = num


def get_float32_matmul_precision() -> str:
    """What was set."""
    return _flags["precision"]


def set_float32_matmul_precision(precision: str) -> None:
    """Noted; "high" and "medium" allow TF32 on a GPU."""
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"set_float32_matmul_precision: unknown precision {precision!r}")
    _flags["precision"] = precision
    if paddle.is_compiled_with_cuda():
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0" if precision == "highest" else "1"


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask Paddle for deterministic kernels."""
    _flags["deterministic"] = bool(mode)
    if paddle.is_compiled_with_cuda():
        paddle.set_flags({"FLAGS_cudnn_deterministic": bool(mode)})


def are_deterministic_algorithms_enabled() -> bool:
    """What was set."""
    return _flags["deterministic"]


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether an autocast context is on."""
    return bool(paddle.is_autocast_enabled())


def compile(model: Any = None, **_: Any) -> Any:
    """The model itself: Paddle runs it as it is."""
    if model is None:
        return lambda function: function
    warn_once("torch.compile: hfpaddle runs the model as it is; nothing is compiled.")
    return model


def set_default_tensor_type(t: Any) -> None:
    """The old way to set the default dtype."""
    from hfpaddle.torch._create import TYPED
    from hfpaddle.torch._dtypes import BY_NAME, set_default_dtype

    name = t if isinstance(t, str) else t.__name__
    set_default_dtype(BY_NAME[TYPED[name.rpartition(".")[2]]])


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Never."""
    return False


__all__ = [
    "are_deterministic_algorithms_enabled", "compile", "get_float32_matmul_precision",
    "get_num_interop_threads", "get_num_threads", "is_autocast_enabled", "set_default_tensor_type",
    "set_float32_matmul_precision", "set_num_interop_threads", "set_num_threads",
    "use_deterministic_algorithms", "is_deterministic_algorithms_warn_only_enabled",
]  # fmt: skip
