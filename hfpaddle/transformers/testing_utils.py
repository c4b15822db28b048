"""Mirror of ``transformers.testing_utils``: upstream's own, which asks for the mirrors.

Scripts take ``CaptureLogger`` from it, and upstream's tests their conditions: those that need torch
run where a mirror stands for it.
"""

from __future__ import annotations

import unittest
from collections.abc import Callable
from typing import Any

import paddle
from transformers import testing_utils as upstream

from hfpaddle.transformers import availability


def _needs(package: str) -> Callable[[Any], Any]:
    def require(test_case: Any) -> Any:
        there = getattr(availability, f"is_{package}_available")()
        return unittest.skipUnless(there, f"test requires {package}")(test_case)

    require.__name__ = f"require_{package}"
    return require


require_torch = _needs("torch")
require_torchvision = _needs("torchvision")
require_peft = _needs("peft")


def require_accelerate(test_case: Any, min_version: str | None = None) -> Any:
    """Skip ``test_case`` without accelerate; its mirror has every version that tests ask for."""
    return _needs("accelerate")(test_case)


def __getattr__(name: str) -> Any:
    if name == "torch_device":
        return "cuda" if paddle.device.cuda.device_count() else "cpu"
    return getattr(upstream, name)
