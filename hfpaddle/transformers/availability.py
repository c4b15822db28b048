"""``is_torch_available`` and its kin, as a script's own ``import torch`` will turn out.

Under the hook the mirrors are what a script imports. Without it these are transformers' answers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import paddle
from transformers.utils import import_utils

from hfpaddle.core.mirrors import is_hooked, mirrored

__emulated__ = True


def _by_mirror(name: str, package: str) -> Callable[..., bool]:
    original: Callable[..., bool] = getattr(import_utils, name)

    @functools.wraps(original)
    def available(*args: Any, **kwargs: Any) -> bool:
        return mirrored(package) if is_hooked() else original(*args, **kwargs)

    return available


def _with_a_gpu(name: str) -> Callable[..., bool]:
    original: Callable[..., bool] = getattr(import_utils, name)

    @functools.wraps(original)
    def available(*args: Any, **kwargs: Any) -> bool:
        return paddle.device.cuda.device_count() > 0 if is_hooked() else original(*args, **kwargs)

    return available


is_torch_available = _by_mirror("is_torch_available", "torch")
is_torch_distributed_available = _by_mirror("is_torch_distributed_available", "torch")
is_torchvision_available = _by_mirror("is_torchvision_available", "torchvision")
is_torchvision_v2_available = _by_mirror("is_torchvision_v2_available", "torchvision")
is_accelerate_available = _by_mirror("is_accelerate_available", "accelerate")
is_peft_available = _by_mirror("is_peft_available", "peft")
is_torch_accelerator_available = _with_a_gpu("is_torch_accelerator_available")
is_torch_cuda_available = _with_a_gpu("is_torch_cuda_available")
