"""State dicts come back as they were, and damage is told."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest

from hfpaddle.core.errors import CheckpointError, UnsupportedArgumentError
from hfpaddle.transformers import trainer_random
from hfpaddle.transformers.trainer_state_io import read_state, write_state

pytestmark = pytest.mark.unit

STATE = {
    "state": {0: {"step": 3, "m": paddle.arange(4, dtype="float32")}, 1: {}},
    "groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 1], "fused": None}],
    "numbers": [1e-300, math.pi, float("inf"), True, "text", np.float64(0.5)],
    "array": np.arange(6).reshape(2, 3),
}


def test_round_trip(tmp_path):
    write_state(tmp_path, "x", STATE)
    got = read_state(tmp_path, "x")
    moment = got["state"][0].pop("m")
    assert moment.dtype == paddle.float32 and moment.tolist() == [0, 1, 2, 3]
    assert got["state"] == {0: {"step": 3}, 1: {}}
    assert got["groups"] == STATE["groups"] and isinstance(got["groups"][0]["betas"], tuple)
    assert got["numbers"] == STATE["numbers"]
    np.testing.assert_array_equal(got["array"], STATE["array"])


def test_what_cannot_be_kept_is_told(tmp_path):
    with pytest.raises(UnsupportedArgumentError, match="x.a.*function"):
        write_state(tmp_path, "x", {"a": lambda: 0})


def test_damage_is_told(tmp_path):
    write_state(tmp_path, "x", STATE)
    (tmp_path / "x.safetensors").unlink()
    with pytest.raises(CheckpointError, match="lacks"):
        read_state(tmp_path, "x")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        read_state(tmp_path, "x")


def test_random_streams_come_back():
    import random

    from hfpaddle.core import rng

    def draws():
        stream = rng.default_generator
        return [random.random(), random.gauss(0, 1), *np.random.randn(3), *stream.normal((3,))]

    draws()
    state = trainer_random.to_json(trainer_random.snapshot())
    want = draws()
    draws()
    trainer_random.restore(trainer_random.from_json(state))
    assert draws() == want
