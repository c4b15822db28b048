"""Which implementation runs: by device, dtype and arguments, by the user, by the environment."""

from __future__ import annotations

import os
import subprocess
import sys

import paddle
import pytest

import hfpaddle.kernels
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.op import OPS, implements, op

pytestmark = pytest.mark.unit


@pytest.fixture
def doubled():
    """An op with a reference and two implementations, which say their names."""

    @op
    def doubled(x):
        return "reference"

    def attach(name, **limits):
        implements(doubled, name=name, devices=("cpu",), **limits)(lambda x: name)

    attach("whole", dtypes=("float32", "int32"))
    attach("small", dtypes=("float32",), accepts=lambda x: x.shape[0] < 3)
    yield doubled
    del OPS["doubled"]


def test_the_last_attached_that_fits_runs(doubled):
    assert doubled(paddle.zeros([2])) == "small"
    assert doubled(paddle.zeros([4])) == "whole"
    assert doubled(paddle.zeros([2], "int32")) == "whole"
    assert doubled(paddle.zeros([2], "int64")) == "reference"


def test_use_forces_one_within_the_block(doubled):
    x = paddle.zeros([2])
    with hfpaddle.kernels.use(doubled="whole"):
        assert doubled(x) == "whole"
        with hfpaddle.kernels.use(doubled="reference"):
            assert doubled(x) == "reference"
            assert "doubled: small" in hfpaddle.kernels.report()
            assert "[forced: reference]" in hfpaddle.kernels.report()
        with pytest.raises(UnsupportedArgumentError, match="no such implementation for .*int64"):
            doubled(paddle.zeros([2], "int64"))
    assert doubled(x) == "small"
    with pytest.raises(UnsupportedArgumentError, match="known implementations: .*'whole'"):
        hfpaddle.kernels.use(doubled="hole").__enter__()
    with pytest.raises(UnsupportedArgumentError, match="nearest: 'doubled'"):
        hfpaddle.kernels.use(doubbled="whole").__enter__()


def test_a_name_is_attached_once(doubled):
    with pytest.raises(ValueError, match="'whole' already"):
        implements(doubled, name="whole", devices=("cpu",), dtypes=("int64",))(print)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("", "rms_norm=None"),
        ("reference", "rms_norm=reference"),
        ("rms_norm=reference, linear=cpu", "rms_norm=reference"),
        ("rms_norn=reference", "nearest: 'rms_norm'"),
        ("rms_norm", "Known ops"),
    ],
)
def test_environment(said, answer):
    code = """
import paddle, hfpaddle.ops
from hfpaddle.core.op import choices
try:
    hfpaddle.ops.rms_norm(paddle.ones([1, 8]), paddle.ones([8]))
    print(f"rms_norm={choices().get('rms_norm')}")
except ValueError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "HFPADDLE_KERNELS": said},
        capture_output=True,
        text=True,
    )
    assert answer in done.stdout, done.stdout + done.stderr
