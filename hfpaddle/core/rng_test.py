"""Numbers recorded from torch 2.13 (CPU, AVX2), and what the generator refuses."""

import numpy as np
import pytest

from hfpaddle.core import rng
from hfpaddle.core.errors import DeviceError, DistributionError, UnsupportedArgumentError

pytestmark = pytest.mark.unit


def fresh():
    return rng.Generator().manual_seed(42)


def floats(text):
    return [float.fromhex(word) for word in text.split()]


RANDN_17 = floats(
    "0x1.ed4a52p+0 -0x1.46db0ap-3 -0x1.fd55c8p-2 0x1.c223bp-2 -0x1.8429c4p-1 0x1.140cap+0 "
    "0x1.9a0288p-1 0x1.ae3d26p+0 0x1.6c668ap-2 0x1.4be25ep+0 0x1.388f1p-1 0x1.55b16p+0 "
    "-0x1.da5ddap-3 0x1.5618p-5 -0x1.019cf4p-2 0x1.b83f6p-1 -0x1.3d2904p-2"
)


def test_uniform():
    want = floats("0x1.c3b8ccp-1 0x1.d47b66p-1 0x1.880d7p-2 0x1.eb2a1cp-1")
    assert fresh().uniform(4).tolist() == want
    want = floats("0x1.02fa3ep-2 0x1.1062b8p-2 0x1.b35e34p-5 0x1.228816p-2")
    assert fresh().uniform((2, 2), -0.1, 0.3).ravel().tolist() == want
    want = floats("0x1.dc66cbea3db30p-5 0x1.01ae177aca870p-4 0x1.fa3563ccea238p-4")
    assert fresh().uniform(3, dtype="float64").tolist() == want


def test_normal_keeps_the_second_value_of_a_pair():
    generator = fresh()
    assert generator.normal(3).tolist() == floats("0x1.58c55cp-2 0x1.07cd3ap-3 0x1.e02dcep-3")
    state = generator.get_state()
    want = floats("0x1.d7b8d8p-3 -0x1.1f7384p+0")
    assert generator.normal(2).tolist() == want
    assert fresh().set_state(state).normal(2).tolist() == want


def test_normal_in_blocks():
    assert fresh().normal(17).tolist() == RANDN_17
    want = floats(
        "-0x1.ca51a01b5635ep+0 -0x1.bf975374a1832p+0 0x1.63479875eff86p-3 0x1.113f545630654p-2"
    )
    assert fresh().normal(16, dtype="float64")[6:10].tolist() == want
    want = floats("0x1.eep+0 0x1.a4p+0 -0x1.46p-3 -0x1.fep-2")
    assert fresh().normal(17, dtype="bfloat16")[:4].tolist() == want


def test_integers():
    assert fresh().randint(-3, 100, 6).tolist() == [19, 16, 90, 29, 11, 2]
    assert fresh().randint(0, 2**40, 3).tolist() == [441507790259, 395924837646, 458615280711]
    assert fresh().randperm(10).tolist() == [2, 6, 1, 8, 4, 5, 0, 9, 3, 7]


def test_exponential_and_bernoulli():
    assert fresh().exponential(3, 2.0).tolist() == floats(
        "0x1.ead0ccp-6 0x1.0a2468p-5 0x1.0e2a62p-4"
    )
    want = [1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0]
    assert fresh().bernoulli(0.3, 12).tolist() == want
    assert fresh().dropout_mask((3, 4), 0.7).ravel().tolist() == want
    assert fresh().bernoulli(np.linspace(0, 1, 8, dtype=np.float32)).tolist() == [0] * 4 + [1] * 4


def test_multinomial():
    generator, weights = fresh(), np.arange(1, 21, dtype=np.float32).reshape(2, 10)
    assert generator.multinomial(weights).tolist() == [[8], [6]]
    assert generator.multinomial(weights, 4).tolist() == [[4, 5, 9, 7], [7, 8, 2, 1]]
    assert generator.multinomial(weights, 4, True).tolist() == [[9, 3, 6, 5], [9, 8, 4, 1]]


def test_multinomial_never_draws_a_zero_weight_while_others_are_left():
    weights = np.zeros(1000, np.float32)
    weights[[3, 77, 500]] = 1
    for _ in range(50):
        assert set(rng.default_generator.multinomial(weights, 3).tolist()) == {3, 77, 500}


def test_nothing_is_drawn_for_a_certain_dropout_or_an_empty_shape():
    generator = fresh()
    assert generator.dropout_mask((2, 2), 0.0).all()
    assert not generator.dropout_mask((2, 2), 1.0).any()
    assert generator.normal((0, 3)).shape == (0, 3)
    assert generator.uniform(4).tolist() == fresh().uniform(4).tolist()


def test_seeds():
    assert rng.manual_seed(-1) is rng.default_generator
    assert rng.initial_seed() == 2**64 - 1
    assert rng.default_generator.seed() == rng.initial_seed()
    for seed in (2**64, -(2**63) - 1):
        with pytest.raises(UnsupportedArgumentError, match="modulo"):
            rng.manual_seed(seed)


@pytest.mark.parametrize(
    "call",
    [
        lambda g: g.uniform(3, 1.0, 0.0),
        lambda g: g.uniform(3, 0.0, float("inf")),
        lambda g: g.normal(3, std=-1.0),
        lambda g: g.exponential(3, 0.0),
        lambda g: g.randint(3, 3),
        lambda g: g.randint(0, 2**64),
        lambda g: g.bernoulli(1.5, 3),
        lambda g: g.dropout_mask(3, float("nan")),
        lambda g: g.randperm(-1),
        lambda g: g.multinomial(np.ones(3, np.float32), 4),
        lambda g: g.multinomial(np.ones(3, np.float32), 0),
        lambda g: g.multinomial(np.array([0.5, np.nan], np.float32)),
        lambda g: g.multinomial(np.array([[0.5, 1], [0, 0]], np.float32)),
        lambda g: g.multinomial(np.ones((1, 1, 3), np.float32)),
    ],
)
def test_impossible_distributions_draw_nothing(call):
    generator = fresh()
    with pytest.raises(DistributionError):
        call(generator)
    assert generator.uniform(4).tolist() == fresh().uniform(4).tolist()


@pytest.mark.parametrize(
    "call",
    [
        lambda g: g.normal(3, dtype="int64"),
        lambda g: g.exponential(3, dtype="float16"),
        lambda g: g.multinomial(np.ones(3, np.int64)),
        lambda g: g.uniform(-1),
        lambda g: g.set_state(np.zeros(5056, np.uint8)),
        lambda g: g.set_state(np.zeros(8, np.uint8)),
    ],
)
def test_unsupported_arguments(call):
    with pytest.raises(UnsupportedArgumentError):
        call(fresh())


def test_only_the_cpu_has_a_stream():
    with pytest.raises(DeviceError, match="cuda"):
        rng.Generator("cuda")
