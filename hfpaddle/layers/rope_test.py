"""Rotary frequencies against their formulas, computed here in float64."""

import math

import numpy as np
import paddle
import pytest

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.layers.rope import SCALINGS, RotaryEmbedding

pytestmark = pytest.mark.unit

DIM, THETA, LONGEST = 8, 100.0, 64
PLAIN = THETA ** -(np.arange(0, DIM, 2) / DIM)
LONG, SHORT = [1.5, 2.0, 3.0, 4.0], [1.0, 1.1, 1.2, 1.3]


def make(kind, **keys):
    return RotaryEmbedding(DIM, {"rope_type": kind, "rope_theta": THETA, **keys}, LONGEST)


def angles(rotary, positions):
    """Frequencies and scale as cos and sin show them."""
    cos, sin = rotary(paddle.to_tensor([positions]))
    assert cos.shape == sin.shape == [1, len(positions), rotary.dim // 2]
    assert cos.dtype == paddle.float32
    return cos.numpy()[0], sin.numpy()[0]


def expect(rotary, frequencies, scale=1.0, positions=(0, 1, 5, 11)):
    cos, sin = angles(rotary, positions)
    want = np.asarray(positions)[:, None] * np.asarray(frequencies)
    np.testing.assert_allclose(cos, scale * np.cos(want), atol=2e-6)
    np.testing.assert_allclose(sin, scale * np.sin(want), atol=2e-6)


def test_default_and_linear():
    expect(make("default"), PLAIN)
    expect(make("linear", factor=4.0), PLAIN / 4)
    expect(RotaryEmbedding(DIM, {"rope_theta": THETA}, LONGEST), PLAIN)


def test_partial():
    rotary = make("default", partial_rotary_factor=0.5)
    assert rotary.dim == 4
    expect(rotary, THETA ** -(np.arange(0, 4, 2) / 4))


def test_dynamic_follows_the_length():
    """It grows beyond the trained length, remembers the longest, and goes back for short inputs."""
    rotary = make("dynamic", factor=2.0)

    def grown(length):
        base = THETA * (2.0 * length / LONGEST - 1.0) ** (DIM / (DIM - 2))
        return base ** -(np.arange(0, DIM, 2) / DIM)

    expect(rotary, PLAIN)
    expect(rotary, grown(100), positions=(0, 99))
    expect(rotary, grown(100), positions=(70, 80))
    expect(rotary, PLAIN, positions=(0, 3))


def test_yarn():
    original, factor = 16, 4.0
    rotary = make("yarn", factor=factor, original_max_position_embeddings=original)

    def boundary(rotations):
        return DIM * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(THETA))

    low, high = max(math.floor(boundary(32)), 0), min(math.ceil(boundary(1)), DIM - 1)
    ramp = np.clip((np.arange(DIM // 2) - low) / (high - low), 0, 1)
    scale = 0.1 * math.log(factor) + 1
    expect(rotary, PLAIN / factor * ramp + PLAIN * (1 - ramp), scale)
    given = make("yarn", factor=factor, original_max_position_embeddings=16, attention_factor=2.0)
    expect(given, PLAIN / factor * ramp + PLAIN * (1 - ramp), 2.0)


def test_llama3():
    original = 32
    keys = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rotary = make("llama3", original_max_position_embeddings=original, **keys)
    want = []
    for frequency in PLAIN:
        length = 2 * math.pi / frequency
        if length < original / 4.0:
            want.append(frequency)
        elif length > original / 1.0:
            want.append(frequency / 8.0)
        else:
            smooth = (original / length - 1.0) / 3.0
            want.append((1 - smooth) * frequency / 8.0 + smooth * frequency)
    assert len({round(w / f, 4) for w, f in zip(want, PLAIN, strict=True)}) >= 3
    expect(rotary, want)


def test_longrope_switches_with_the_length():
    rotary = make(
        "longrope", factor=4.0, original_max_position_embeddings=16, long_factor=LONG,
        short_factor=SHORT,
    )  # fmt: skip
    scale = math.sqrt(1 + math.log(4.0) / math.log(16))
    expect(rotary, PLAIN / SHORT, scale, (0, 15))
    expect(rotary, PLAIN / LONG, scale, (0, 16))
    expect(rotary, PLAIN / SHORT, scale, (0, 3))


def test_unknown():
    assert set(SCALINGS) == {"default", "linear", "dynamic", "yarn", "longrope", "llama3"}
    with pytest.raises(UnsupportedConfigError, match="'liner'.*nearest: 'linear'"):
        make("liner", factor=2.0)
