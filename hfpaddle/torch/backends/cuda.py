"""``torch.backends.cuda``: its flags are kept, and Paddle decides."""

import contextlib
from types import SimpleNamespace

import paddle

__emulated__ = True

matmul = SimpleNamespace(
    allow_tf32=False,
    allow_fp16_reduced_precision_reduction=True,
    allow_bf16_reduced_precision_reduction=True,
    fp32_precision="none",
)
cufft_plan_cache = SimpleNamespace(size=0, max_size=0)
_enabled = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True}


def is_built() -> bool:
    """Whether Paddle was built for CUDA."""
    return paddle.is_compiled_with_cuda()


def flash_sdp_enabled() -> bool:
    """What was set."""
    return _enabled["flash"]


def mem_efficient_sdp_enabled() -> bool:
    """What was set."""
    return _enabled["mem_efficient"]


def math_sdp_enabled() -> bool:
    """What was set."""
    return _enabled["math"]


def enable_flash_sdp(enabled: bool) -> None:
    """Noted; Paddle chooses the kernel."""
    _enabled["flash"] = enabled


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Noted; Paddle chooses the kernel."""
    _enabled["mem_efficient"] = enabled


def enable_math_sdp(enabled: bool) -> None:
    """Noted; Paddle chooses the kernel."""
    _enabled["math"] = enabled


def enable_cudnn_sdp(enabled: bool) -> None:
    """Noted; Paddle chooses the kernel."""
    _enabled["cudnn"] = enabled


@contextlib.contextmanager
def sdp_kernel(*_, **__):
    """Kernels allowed inside a ``with``; Paddle chooses."""
    yield
