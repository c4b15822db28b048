"""hfpaddle's CPU generator against torch's, live: equal bits and equal stream positions."""

import time

import numpy as np
import pytest

from hfpaddle.core import rng

torch = pytest.importorskip("torch")

SIZES = (0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 100, 1000, 1_000_003)
SEEDS = (0, 1, 42, 2**31, 2**32 - 1, 2**32, 2**40 + 5, 2**63, 2**64 - 1, -1, -(2**63))
FLOATS = ("float32", "float64", "float16", "bfloat16")


def pair(seed=0):
    return rng.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)


def same(ours, theirs, what=""):
    theirs = theirs.float().numpy() if theirs.dtype == torch.bfloat16 else theirs.numpy()
    assert ours.dtype == theirs.dtype, what
    np.testing.assert_array_equal(ours, theirs, err_msg=str(what))


def in_step(ours, theirs):
    """The next word of both streams agrees, and so does the value kept from a normal pair."""
    same(ours.normal(1, dtype="float64"), torch.randn(1, dtype=torch.float64, generator=theirs))
    same(ours.randint(0, 2**40, 3), torch.randint(0, 2**40, (3,), generator=theirs))


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds(seed):
    ours, theirs = pair(seed)
    assert ours.initial_seed() == theirs.initial_seed()
    same(ours.uniform(700), torch.rand(700, generator=theirs))
    in_step(ours, theirs)


def test_an_unseeded_generator_starts_as_torch_does():
    ours, theirs = rng.Generator(), torch.Generator()
    assert ours.initial_seed() == theirs.initial_seed()
    same(ours.normal(40), torch.randn(40, generator=theirs))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-0.3, 0.7), (5.0, 5.5), (1.0, 1.0 + 2**-22)])
def test_uniform(dtype, bounds):
    ours, theirs = pair(3)
    for n in SIZES:
        want = torch.empty(n, dtype=getattr(torch, dtype)).uniform_(*bounds, generator=theirs)
        same(ours.uniform(n, *bounds, dtype=dtype), want, n)
    in_step(ours, theirs)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("moments", [(0.0, 1.0), (0.0, 0.02), (0.5, 0.13), (-2.0, 0.0)])
def test_normal(dtype, moments):
    ours, theirs = pair(4)
    for n in SIZES:
        want = torch.empty(n, dtype=getattr(torch, dtype)).normal_(*moments, generator=theirs)
        same(ours.normal(n, *moments, dtype=dtype), want, n)
    in_step(ours, theirs)


@pytest.mark.parametrize("seed", range(20))
def test_normal_latents(seed):
    ours, theirs = pair(seed)
    same(ours.normal((1, 4, 64, 64)), torch.randn(1, 4, 64, 64, generator=theirs))


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("lambd", (1.0, 0.3, 2.5))
def test_exponential(dtype, lambd):
    ours, theirs = pair(5)
    for n in SIZES:
        want = torch.empty(n, dtype=getattr(torch, dtype)).exponential_(lambd, generator=theirs)
        same(ours.exponential(n, lambd, dtype=dtype), want, n)
    in_step(ours, theirs)


@pytest.mark.parametrize(
    "bounds",
    [
        *((0, 1), (0, 10), (-5, 7), (0, 2**28 - 1), (0, 2**28), (3, 2**32), (-(2**62), 2**62)),
        (-(2**63), 2**63 - 1),
    ],
)
def test_randint(bounds):
    ours, theirs = pair(6)
    same(ours.randint(*bounds, (7, 11)), torch.randint(*bounds, (7, 11), generator=theirs))
    in_step(ours, theirs)


@pytest.mark.parametrize("n", (0, 1, 2, 10, 1000, 100_000))
def test_randperm(n):
    ours, theirs = pair(7)
    same(ours.randperm(n), torch.randperm(n, generator=theirs))
    in_step(ours, theirs)


@pytest.mark.parametrize("p", (0.0, 0.1, 0.5, 1.0))
def test_bernoulli(p):
    ours, theirs = pair(8)
    want = torch.empty(10_000).bernoulli_(p, generator=theirs)
    same(ours.bernoulli(p, 10_000), want.bool())
    for dtype in ("float32", "float64"):
        weights = np.linspace(0, 1, 999).astype(dtype)
        want = torch.bernoulli(torch.from_numpy(weights), generator=theirs)
        same(ours.bernoulli(weights), want.bool())
    in_step(ours, theirs)


@pytest.mark.parametrize("p", (0.0, 0.1, 0.7, 1.0))
def test_dropout(p):
    torch.manual_seed(9)
    rng.manual_seed(9)
    for shape in ((3, 5), (64, 64)):
        want = torch.nn.functional.dropout(torch.ones(shape), p) != 0
        same(rng.default_generator.dropout_mask(shape, p), want)
    same(rng.default_generator.uniform(3), torch.rand(3))


def weights(rows, categories, dtype="float32", seed=0):
    logits = np.random.default_rng(seed).standard_normal((rows, categories)) * 3
    return torch.from_numpy(logits.astype(dtype)).softmax(-1)


@pytest.mark.parametrize("rows", (1, 2, 5))
@pytest.mark.parametrize("categories", (10, 99, 1000, 32000, 50257))
def test_multinomial_draws_the_tokens_of_torch(rows, categories):
    ours, theirs = pair(categories)
    probs = weights(rows, categories)
    for step in range(200):
        want = torch.multinomial(probs, num_samples=1, generator=theirs)
        same(ours.multinomial(probs.numpy(), num_samples=1), want, step)
    in_step(ours, theirs)


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("replacement", (False, True))
@pytest.mark.parametrize("shape", ((1, 10), (2, 300), (5, 50257)))
def test_multinomial_many_samples(dtype, replacement, shape):
    ours, theirs = pair(11)
    probs = weights(*shape, dtype=dtype)
    for count in (1, 2, 8, 10):
        want = torch.multinomial(probs, count, replacement, generator=theirs)
        same(ours.multinomial(probs.numpy(), count, replacement), want, count)
        want = torch.multinomial(probs[0] * 7, count, replacement, generator=theirs)
        same(ours.multinomial(probs[0].numpy() * 7, count, replacement), want, count)
    in_step(ours, theirs)


def test_multinomial_after_top_k():
    ours, theirs = pair(12)
    probs = weights(3, 5000)
    probs[probs < probs.topk(50).values[:, -1:]] = 0
    for count in (1, 8, 50):
        want = torch.multinomial(probs, count, generator=theirs)
        same(ours.multinomial(probs.numpy(), count), want, count)


@pytest.mark.parametrize(
    "bad", [[1.0, -1.0], [float("nan"), 1.0], [float("inf"), 1.0], [0.0, 0.0], []]
)
def test_both_refuse(bad):
    with pytest.raises(RuntimeError):
        torch.multinomial(torch.tensor(bad), 1)
    with pytest.raises(RuntimeError):
        rng.Generator().multinomial(np.array(bad, np.float32), 1)


@pytest.mark.parametrize("seed", range(30))
def test_interleaved_calls_stay_in_step(seed):
    ours, theirs = pair(seed)
    plan = np.random.default_rng(seed)
    probs = weights(2, 50)
    for step in range(60):
        n = int(plan.integers(0, 40))
        calls = (
            (lambda n=n: ours.uniform(n), lambda n=n: torch.rand(n, generator=theirs)),
            (lambda n=n: ours.normal(n), lambda n=n: torch.randn(n, generator=theirs)),
            (
                lambda n=n: ours.normal(n, dtype="float64"),
                lambda n=n: torch.randn(n, dtype=torch.float64, generator=theirs),
            ),
            (
                lambda n=n: ours.normal(n, dtype="bfloat16"),
                lambda n=n: torch.randn(n, dtype=torch.bfloat16, generator=theirs),
            ),
            (lambda n=n: ours.randperm(n), lambda n=n: torch.randperm(n, generator=theirs)),
            (
                lambda n=n: ours.randint(0, 9, n),
                lambda n=n: torch.randint(0, 9, (n,), generator=theirs),
            ),
            (
                lambda: ours.multinomial(probs.numpy(), 2, True),
                lambda: torch.multinomial(probs, 2, True, generator=theirs),
            ),
        )
        mine, reference = calls[plan.integers(len(calls))]
        same(mine(), reference(), step)


@pytest.mark.parametrize("drawn", (0, 1, 5, 623, 624, 625, 1300))
def test_states_travel_both_ways(drawn):
    ours, theirs = pair(13)
    ours.normal(3), torch.randn(3, generator=theirs)
    ours.random_u32(drawn)
    torch.randint(0, 9, (drawn,), generator=theirs)
    back = torch.Generator()
    back.set_state(torch.from_numpy(ours.get_state()))
    forth = rng.Generator().set_state(theirs.get_state().numpy())
    assert forth.initial_seed() == back.initial_seed() == 13
    in_step(ours, back)
    in_step(forth, theirs)


def test_a_token_is_drawn_quickly():
    ours, probs = rng.Generator(), weights(1, 50257).numpy()
    times = []
    for _ in range(30):
        start = time.perf_counter()
        ours.multinomial(probs, 1)
        times.append(time.perf_counter() - start)
    assert min(times) < 2e-3, f"{min(times) * 1e3:.2f} ms"
