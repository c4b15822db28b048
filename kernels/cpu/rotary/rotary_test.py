"""Rotary positions of the C++ library against the reference, from and to any layout of heads."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from hfpaddle import ops
from hfpaddle.core.op import discover

discover("cpu")
cpu = pytest.importorskip("hfpaddle.kernels.cpu.rotary", reason="the kernels were not built")
from hfpaddle.kernels.cpu.testing import agree, leaf  # noqa: E402

pytestmark = pytest.mark.unit


def angles(rows: int, S: int, pairs: int, seed: int = 0):
    values = np.random.default_rng(seed).uniform(-300, 300, (rows, S, pairs)).astype("float32")
    return paddle.cos(paddle.to_tensor(values)), paddle.sin(paddle.to_tensor(values))


def turned(x, cos, sin, interleaved=False):
    """By definition: the reference has no second derivative."""
    P = cos.shape[-1]
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    first = x[..., : 2 * P]
    a, b = first[..., :P], first[..., P:]
    if interleaved:
        first = first.reshape([*x.shape[:3], P, 2])
        a, b = first[..., 0], first[..., 1]
    pair = [a * cos - b * sin, b * cos + a * sin]
    flat = (
        paddle.stack(pair, axis=-1).reshape([*x.shape[:3], -1])
        if interleaved
        else paddle.concat(pair, axis=-1)
    )
    return paddle.concat([flat, x[..., 2 * P :]], axis=-1) if x.shape[-1] > 2 * P else flat


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("pairs, D", [(1, 2), (3, 8), (16, 32), (20, 64), (32, 64)])
def test_pairs_turn(pairs, D, rows, interleaved):
    cos, sin = angles(rows, 7, pairs)
    agree(ops.rotary, [leaf(2, 3, 7, D)], lambda x: ops.rotary(x, cos, sin, interleaved),
          definition=lambda x: turned(x, cos, sin, interleaved))  # fmt: skip
    projected = leaf(2, 7, 3, D)
    agree(ops.rotary, [projected],
          lambda x: ops.rotary(x.transpose([0, 2, 1, 3]), cos, sin, interleaved),
          second=False)  # fmt: skip


def test_a_part_of_a_joint_projection_and_strided_elements():
    cos, sin = angles(1, 5, 4)
    joint = leaf(2, 5, 6, 8)
    agree(ops.rotary, [joint],
          lambda x: ops.rotary(x[:, :, 2:5].transpose([0, 2, 1, 3]), cos, sin),
          second=False)  # fmt: skip
    agree(ops.rotary, [leaf(2, 3, 5, 16)], lambda x: ops.rotary(x[..., ::2], cos, sin),
          second=False)  # fmt: skip
    with paddle.no_grad():
        agree(ops.rotary, [leaf(1, 2, 5, 8).detach()], lambda x: ops.rotary(x, cos, sin))


@pytest.mark.parametrize("scale", [1e-37, 1e37])
def test_both_ends_of_the_range(scale):
    cos, sin = angles(1, 5, 4)
    agree(ops.rotary, [leaf(1, 2, 5, 8, scale=scale)], lambda x: ops.rotary(x, cos, sin),
          second=False)  # fmt: skip


def test_what_is_declined():
    x, (cos, sin) = leaf(1, 2, 5, 8), angles(1, 5, 4)
    assert ops.rotary.choose(x, cos, sin) is cpu.rotary_cpu
    cos.stop_gradient = False
    assert ops.rotary.choose(x, cos, sin) is ops.rotary.reference
    cos = cos.detach()[:, :3]
    assert ops.rotary.choose(x, cos, sin[:, :3]) is ops.rotary.reference
