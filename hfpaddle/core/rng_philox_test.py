"""Known answers of Philox4x32-10, and the layout of counters."""

from __future__ import annotations

import numpy as np
import pytest

from hfpaddle.core.errors import DistributionError, UnsupportedArgumentError
from hfpaddle.core.rng_philox import PhiloxGenerator, philox

# The known-answer tests of Random123 (kat_vectors, "philox4x32 10").
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("counter", "key", "want"), KNOWN)
def test_known_answers(counter, key, want):
    assert tuple(int(word) for word in philox(counter, key[0] | key[1] << 32)) == want


def test_threads_write_at_a_stride():
    """1 multiprocessor of 256 threads: item t + 256 k is word k of thread t; then the next turn."""
    generator = PhiloxGenerator(1, 256).manual_seed(5)
    values = generator.randint(0, 1 << 20, 3000)
    for item in (0, 1, 255, 256, 700, 1023, 1024, 2999):
        turn, rest = divmod(item, 1024)
        lane, thread = divmod(rest, 256)
        assert values[item] == int(philox((turn, 0, thread, 0), 5)[lane]) % (1 << 20)
    assert generator.offset == 12


def test_state_goes_on():
    one = PhiloxGenerator().manual_seed(1)
    one.normal(7)
    state = one.get_state()
    first = one.uniform((3, 4))
    np.testing.assert_array_equal(PhiloxGenerator().set_state(state).uniform((3, 4)), first)
    with pytest.raises(UnsupportedArgumentError, match="uint8\\[16\\]"):
        one.set_state(np.zeros(3, np.uint8))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_moments(dtype):
    generator = PhiloxGenerator().manual_seed(0)
    uniform = generator.uniform(100_000, -1.0, 3.0, dtype).astype("float64")
    assert -1 <= uniform.min() and uniform.max() < 3 and abs(uniform.mean() - 1) < 0.02
    normal = generator.normal((100, 1000), 2.0, 3.0, dtype).astype("float64")
    assert abs(normal.mean() - 2) < 0.05 and abs(normal.std() - 3) < 0.05


def test_permutations_masks_and_integers():
    generator = PhiloxGenerator().manual_seed(0)
    for n in (0, 1, 2, 1000, 40_000):
        assert np.array_equal(np.sort(generator.randperm(n)), np.arange(n))
    wide = generator.randint(-(1 << 62), 1 << 62, 1000)
    assert wide.min() < -(1 << 60) and wide.max() > 1 << 60
    assert abs(generator.dropout_mask((300, 333), 0.25).mean() - 0.75) < 0.01
    assert abs(generator.bernoulli(np.full(50_001, 0.3)).mean() - 0.3) < 0.01
    assert abs(generator.bernoulli(0.3, (50_001,)).mean() - 0.3) < 0.01
    assert abs(generator.exponential(50_000, 2.0).mean() - 0.5) < 0.01
    assert generator.uniform(0).shape == (0,)
    with pytest.raises(DistributionError):
        generator.randint(3, 3)


def test_equal_keys_are_permuted_too():
    generator = PhiloxGenerator().manual_seed(0)
    order = np.arange(6)
    generator._shuffle_equal(order, np.array([1, 2, 2, 2, 3, 3]), 0)
    assert set(order[1:4]) == {1, 2, 3} and set(order[4:]) == {4, 5} and order[0] == 0


def test_an_h100_drew_these():
    """Recorded from torch on an H100 with seed 42, one call after the other."""
    generator = PhiloxGenerator().manual_seed(42)
    uniform = [0.6129598617553711, 0.010058844462037086, 0.39841368794441223, 0.0403083972632885]
    assert generator.uniform(5).tolist() == [*uniform, 0.15626674890518188]
    normal = [0.13913755118846893, -0.10821663588285446, -0.7174222469329834, 0.756648600101471]
    np.testing.assert_allclose(generator.normal(5), [*normal, 0.3714880645275116], atol=2e-6)
    assert generator.randint(0, 1000, 5).tolist() == [13, 25, 198, 243, 804]
    wide = [505391549867, 849031617215, 283214575419]
    assert generator.randint(0, 1 << 40, 3).tolist() == wide
    assert generator.randperm(10).tolist() == [4, 0, 9, 8, 3, 1, 2, 5, 7, 6]
    assert generator.bernoulli(np.full(8, 0.5, np.float32)).tolist() == [0, 1, 0, 1, 0, 0, 0, 0]
    double = [0.43694169058651017, 0.17776686376986545, 0.38610109470329007]
    assert generator.uniform(3, dtype="float64").tolist() == double
    assert generator.offset == 48
    half = [0, 0, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0, 1]
    single = [1, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 1, 0]
    generator.manual_seed(7)
    assert generator.dropout_mask(16, 0.5, "float16").tolist() == half
    assert generator.dropout_mask(16, 0.5).tolist() == single
