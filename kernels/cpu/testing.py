"""What the kernels' tests share: an op against its reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle

import hfpaddle.kernels


def leaf(*shape: int, seed: int = 0, scale: float = 1.0) -> paddle.Tensor:
    """Normal float32 values that want a gradient."""
    values = np.random.default_rng((seed, *shape)).standard_normal(shape) * scale
    return paddle.to_tensor(values.astype("float32"), stop_gradient=False)


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    """Return float32 with the values of the nearest bfloat16."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)


def results(
    call: Callable, inputs: list[paddle.Tensor], second: bool, g_scale: float = 1.0
) -> list[np.ndarray]:
    """Value and gradients of ``call(*inputs)``; ``second`` also those of the gradients' squares."""
    wanted = [x for x in inputs if not x.stop_gradient]
    out = call(*inputs)
    if not wanted:
        return [out.numpy()]
    g = leaf(*out.shape, seed=9, scale=g_scale).detach()
    gradients = paddle.grad((out * g).sum(), wanted, retain_graph=True)
    found = [out, *gradients]
    if second:
        gradients = paddle.grad((call(*inputs) * g).sum(), wanted, create_graph=True)
        total = paddle.add_n([t.square().sum() for t in gradients])
        found += [t for t in paddle.grad(total, wanted, allow_unused=True) if t is not None]
    return [t.numpy() for t in found]


def agree(
    op: Any, inputs: list[paddle.Tensor], call: Callable, *, second: bool = True,
    rtol: float = 1e-5, g_scale: float = 1.0, definition: Callable | None = None,
) -> None:  # fmt: skip
    """Compare the kernel with the reference, or with a ``definition``: each result's error by its
    largest element."""
    with hfpaddle.kernels.use(**{op.name: "cpu"}):
        got = results(call, inputs, second, g_scale)
    with hfpaddle.kernels.use(**{op.name: "reference"}):
        expected = results(definition or call, inputs, second, g_scale)
    assert len(got) == len(expected)
    for actual, wanted in zip(got, expected, strict=True):
        limit = rtol * np.abs(wanted[np.isfinite(wanted)]).max(initial=0) if wanted.size else 0
        np.testing.assert_allclose(actual, wanted, rtol=rtol, atol=limit)
