"""The CPU random streams of torch, in numpy: same seed, same numbers.

A :class:`Generator` holds the state of a 32-bit Mersenne Twister and turns it into samples by
torch's rules, so that every method leaves the stream where the torch call of that name leaves it.
Results are bit-equal to torch's on an x86 CPU with AVX2 or better; the limits are
told per method. numpy arrays come out: this layer knows nothing of tensors.

Source: mt19937 (Matsumoto and Nishimura, 1998) with Knuth's initialiser; the sampling rules were
checked against torch 2.13 by ``compat_tests/core/test_rng.py``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from hfpaddle.core.errors import DeviceError, DistributionError, UnsupportedArgumentError
from hfpaddle.core.rng_math import (
    fma32,
    fma64,
    libm,
    normal_blocks32,
    normal_blocks64,
    round_to,
)

Shape = int | Sequence[int]

DEFAULT_SEED = 67280421310721
_MASK32, _MASK53 = (1 << 32) - 1, (1 << 53) - 1
_WIDE_RANGE = 1 << 28  # from here on an integer takes 64 bits of the stream
_HALF_TYPES = ("float16", "bfloat16")

# The bytes of ``torch.Generator.get_state()``, so that a saved state goes either way.
_STATE = np.dtype(
    [
        *(("seed", "<u8"), ("left", "<i4"), ("seeded", "<i4"), ("next", "<u8")),
        *(("key", "<u8", (624,)), ("unused_x", "<f8"), ("normal", "<f8"), ("unused_rho", "<f8")),
        *(("has_normal", "<i4"), ("pad", "<i4"), ("tail", "<u8")),
    ]
)


class Generator:
    """A seeded stream, as ``torch.Generator`` on the CPU.

    In each method ``shape`` is an int or a sequence of ints and ``dtype`` a name. ``"bfloat16"``
    samples come as float32 arrays whose values bfloat16 holds exactly; numpy has no such type.
    """

    def __init__(self, device: str = "cpu"):
        if str(device) != "cpu":
            raise DeviceError(f"Generator(device={device!r}): only 'cpu' streams exist. Use 'cpu'.")
        self.device = "cpu"
        self.manual_seed(DEFAULT_SEED)

    # State

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of ``seed``, an integer in [-2**63, 2**64)."""
        seed = int(seed)
        if not -(1 << 63) <= seed < 1 << 64:
            raise UnsupportedArgumentError(
                f"manual_seed({seed}): the seed must lie in [-2**63, 2**64). Take it modulo 2**64."
            )
        self._seed = seed % (1 << 64)
        self._engine = np.random.RandomState(self._seed & _MASK32)
        self._normal: float | None = None  # the second value of a pair, not yet handed out
        return self

    def initial_seed(self) -> int:
        """The seed that this stream began with, in [0, 2**64)."""
        return self._seed

    def seed(self) -> int:
        """Start a stream from the system's entropy and return its seed."""
        return self.manual_seed(int.from_bytes(os.urandom(8), "little")).initial_seed()

    def get_state(self) -> np.ndarray:
        """The whole state as uint8 ``[5056]``, in torch's own layout."""
        twister: Any = self._engine.get_state(legacy=False)
        key, position = twister["state"]["key"], twister["state"]["pos"]
        state = np.zeros((), _STATE)
        state["seed"], state["seeded"], state["key"] = self._seed, 1, key
        state["left"], state["next"] = max(1, 625 - position), position
        if self._normal is not None:
            state["normal"], state["has_normal"] = self._normal, 1
        return np.frombuffer(state.tobytes(), np.uint8).copy()

    def set_state(self, state) -> Generator:
        """Go back to what :meth:`get_state`, here or in torch, returned."""
        raw = np.ascontiguousarray(state)
        if raw.dtype != np.uint8 or raw.size != _STATE.itemsize:
            raise UnsupportedArgumentError(
                f"set_state: {raw.dtype}{list(raw.shape)} is not a CPU generator's state, which is "
                f"uint8[{_STATE.itemsize}]. Pass what get_state() returned."
            )
        fields = np.frombuffer(raw.tobytes(), _STATE)[0]
        left, position = int(fields["left"]), int(fields["next"])
        if not fields["seeded"] or not 1 <= left <= 624 or position > 624:
            raise UnsupportedArgumentError(
                f"set_state: the counters {left} and {position} are outside a stream of 624 words. "
                "The state is damaged; pass what get_state() returned."
            )
        position = 624 if left == 1 else position  # torch notes a fresh stream as (1, 0)
        self._seed = int(fields["seed"])
        self._engine.set_state(("MT19937", fields["key"].astype(np.uint32), position, 0, 0.0))
        self._normal = float(fields["normal"]) if fields["has_normal"] else None
        return self

    def twister(self) -> tuple[np.ndarray, int]:
        """Its own words, uint32 ``[624]``, a copy, and how many of them are used up."""
        state: Any = self._engine.get_state(legacy=False)
        return state["state"]["key"], state["state"]["pos"]

    def set_twister(self, key: np.ndarray, position: int) -> None:
        """Go on from words that :meth:`twister` returned and someone else counted on."""
        self._engine.set_state(("MT19937", key, position, 0, 0.0))

    # Integers

    def random_u32(self, n: int) -> np.ndarray:
        """The next ``n`` words of the stream, uint32 ``[n]``."""
        return self._engine.randint(0, 1 << 32, size=n, dtype=np.uint32)

    def random_u64(self, n: int) -> np.ndarray:
        """uint64 ``[n]``: the first of two words is the high half."""
        pairs = self.random_u32(2 * n).reshape(n, 2).astype(np.uint64)
        return (pairs[:, 0] << np.uint64(32)) | pairs[:, 1]

    def randint(self, low: int, high: int, shape: Shape = ()) -> np.ndarray:
        """int64 in [low, high), as ``torch.randint``."""
        low, high = int(low), int(high)
        if low >= high:
            raise DistributionError(
                f"randint: low must be less than high, got low={low} and high={high}."
            )
        if low < -(1 << 63) or high > 1 << 63:
            raise DistributionError(f"randint: [{low}, {high}) does not fit in int64.")
        count, span = _count(shape), high - low
        if span >= 1 << 64:
            raise DistributionError(
                "randint: the full range of int64 has no half-open form. Use random_u64."
            )
        if span >= _WIDE_RANGE:
            offset = self.random_u64(count) % np.uint64(span)
        else:
            offset = (self.random_u32(count) % np.uint32(span)).astype(np.uint64)
        return (offset + np.uint64(low % (1 << 64))).view(np.int64).reshape(shape)

    def randperm(self, n: int) -> np.ndarray:
        """A permutation of 0..n-1, int64 ``[n]``."""
        if not 0 <= n < _MASK32 // 20:
            raise DistributionError(f"randperm({n}): n must lie in [0, {_MASK32 // 20}).")
        order = list(range(n))
        if n > 1:
            here = np.arange(n - 1, dtype=np.uint32)
            there = here + self.random_u32(n - 1) % (np.uint32(n) - here)
            for i, j in enumerate(there.tolist()):
                order[i], order[j] = order[j], order[i]
        return np.array(order, dtype=np.int64)

    # Continuous distributions

    def uniform(
        self, shape: Shape = (), low: float = 0.0, high: float = 1.0, dtype: str = "float32"
    ) -> np.ndarray:
        """Uniform in [low, high), as ``torch.rand`` and ``uniform_``."""
        if not low <= high or not math.isfinite(high - low):
            raise DistributionError(f"uniform: need finite low <= high, got {low} and {high}.")
        count = _count(shape)
        if dtype == "float64":
            sample = self._unit64(count)
            if (low, high) != (0.0, 1.0):
                sample = fma64(sample, high - low, low)
        elif dtype in ("float32", *_HALF_TYPES):
            sample = self._unit32(count)
            if (low, high) != (0.0, 1.0):
                first, last = np.float32(low), np.float32(high)
                sample = fma32(sample, last - first, first)
            if dtype in _HALF_TYPES:
                sample = round_to(sample, dtype)
                low, high = (float(v) for v in round_to(np.array([low, high], np.float32), dtype))
        else:
            raise _unsupported_dtype("uniform", dtype)
        sample[sample == sample.dtype.type(high)] = low  # rounding may reach the open end
        return sample.reshape(shape)

    def normal(
        self, shape: Shape = (), mean: float = 0.0, std: float = 1.0, dtype: str = "float32"
    ) -> np.ndarray:
        """Normal samples, as ``torch.randn`` and ``normal_`` on a contiguous tensor.

        Fewer than 16 values come from float64 pairs, whose unused half waits for the next call;
        more are made in blocks of 16, and a last partial block is drawn anew.
        """
        if dtype not in ("float32", "float64", *_HALF_TYPES):
            raise _unsupported_dtype("normal", dtype)
        if not std >= 0:
            raise DistributionError(f"normal: std must be at least 0, got {std}.")
        count = _count(shape)
        if count < 16:
            sample = fma64(self._normal_pairs(count), std, mean)
            sample = sample if dtype == "float64" else sample.astype(np.float32)
        elif dtype == "float64":
            sample = self._normal_blocks(self._unit64, normal_blocks64, count, mean, std, count)
        else:
            # The half types skip the words that float32 draws for the partial block and discards.
            drawn = count // 16 * 16 if dtype in _HALF_TYPES else count
            sample = self._normal_blocks(self._unit32, normal_blocks32, count, mean, std, drawn)
        if dtype in _HALF_TYPES:
            sample = round_to(sample, dtype)
        return sample.reshape(shape)

    def exponential(
        self, shape: Shape = (), lambd: float = 1.0, dtype: str = "float32"
    ) -> np.ndarray:
        """Exponential samples of rate ``lambd``, as ``exponential_``."""
        if not lambd > 0:
            raise DistributionError(f"exponential: lambd must be above 0, got {lambd}.")
        if dtype not in ("float32", "float64"):
            raise _unsupported_dtype("exponential", dtype)
        uniform = np.negative(self._unit64(_count(shape)))
        if dtype == "float64":
            return ((-1.0 / lambd) * libm(math.log1p, uniform)).reshape(shape)
        sample = np.log1p(uniform, out=uniform)
        sample *= -1.0 / lambd
        return sample.astype(np.float32).reshape(shape)

    # Discrete distributions

    def bernoulli(self, p, shape: Shape | None = None) -> np.ndarray:
        """bool: True with probability ``p``.

        A number draws like ``tensor.bernoulli_(p)`` for ``shape``; an array like
        ``torch.bernoulli(p)``, with ``shape`` its own or one it broadcasts to.
        """
        probability = np.asarray(p)
        if not ((probability >= 0) & (probability <= 1)).all():
            raise DistributionError(
                f"bernoulli: every p must lie in [0, 1], got {probability.min()} to "
                f"{probability.max()}."
            )
        is_number = not isinstance(p, (np.ndarray, np.generic))
        shape = (() if is_number else probability.shape) if shape is None else shape
        if is_number or probability.dtype == np.float64:
            return self._unit64(_count(shape)).reshape(shape) < probability
        return self._unit32(_count(shape)).reshape(shape) < probability.astype(np.float32)

    def dropout_mask(self, shape: Shape, p: float) -> np.ndarray:
        """bool, True where ``F.dropout(x, p)`` keeps ``x``; it then divides by ``1 - p``.

        Nothing is drawn for ``p`` of 0 or 1, as in torch.
        """
        if not 0 <= p <= 1:
            raise DistributionError(f"dropout: p must lie in [0, 1], got {p}.")
        if p in (0, 1):
            return np.full(shape, p == 0)
        return self.bernoulli(float(1 - p), shape)

    def multinomial(
        self, probs: np.ndarray, num_samples: int = 1, replacement: bool = False
    ) -> np.ndarray:
        """Category indices drawn with weights ``probs``, as ``torch.multinomial``.

        Args:
            probs: ``[C]`` or ``[B, C]``, float32 or float64; rows need not sum to 1.
            num_samples: draws in each row.
            replacement: whether a category may come twice.
        Returns: int64 ``[num_samples]`` or ``[B, num_samples]``.
        Raises: DistributionError for a negative, infinite or NaN weight, a row of zeros, or more
            draws without replacement than categories.

        Where a row has fewer non-zero weights than draws without replacement, torch fills up with
        zero-weight categories in the order its partial sort leaves them; here it is index order.
        """
        probs = np.asarray(probs)
        _check_weights(probs, num_samples, replacement)
        if replacement and num_samples > 1:
            return self._multinomial_replaced(probs, num_samples)
        score = self.exponential(probs.shape, dtype=probs.dtype.name)
        with np.errstate(divide="ignore", invalid="ignore"):
            np.divide(probs, score, out=score)
        if num_samples == 1:
            return score.argmax(axis=-1, keepdims=True)
        return _top_indices(score, num_samples)

    def _multinomial_replaced(self, probs: np.ndarray, num_samples: int) -> np.ndarray:
        rows = probs.reshape(-1, probs.shape[-1])
        chosen = np.empty((len(rows), num_samples), np.int64)
        for row, out in zip(rows, chosen, strict=True):
            edges = np.cumsum(row, dtype=row.dtype)
            edges /= edges[-1]
            edges[-1] = 1
            out[:] = np.searchsorted(edges.astype(np.float64), self._unit64(num_samples))
        return chosen.reshape(*probs.shape[:-1], num_samples)

    # Words to unit intervals, and pairs to normals

    def _unit32(self, n: int) -> np.ndarray:
        words = self.random_u32(n)
        words &= np.uint32((1 << 24) - 1)
        return words.astype(np.float32) * np.float32(2.0**-24)

    def _unit64(self, n: int) -> np.ndarray:
        words = self.random_u64(n)
        words &= np.uint64(_MASK53)
        return words.view(np.int64).astype(np.float64) * 2.0**-53

    def _normal_blocks(self, draw, transform, count, mean, std, drawn) -> np.ndarray:
        sample = np.empty(count, draw(0).dtype)
        sample[:drawn] = draw(drawn)
        transform(sample[: count // 16 * 16], mean, std)
        if count % 16:
            sample[-16:] = draw(16)
            transform(sample[-16:], mean, std)
        return sample

    def _normal_pairs(self, n: int) -> np.ndarray:
        waiting = [] if self._normal is None or not n else [self._normal]
        if waiting:
            self._normal = None
        pairs = self._unit64((n - len(waiting) + 1) // 2 * 2).reshape(-1, 2)
        radius = np.sqrt(-2.0 * libm(math.log1p, -pairs[:, 1]))
        angle = 2.0 * math.pi * pairs[:, 0]
        fresh = radius * libm(math.cos, angle), radius * libm(math.sin, angle)
        sample = np.concatenate([waiting, np.stack(fresh, axis=1).ravel()])
        if len(sample) > n:
            self._normal = float(sample[-1])
        return sample[:n]


def _count(shape: Shape) -> int:
    count = math.prod(shape) if isinstance(shape, Sequence) else int(shape)
    if count < 0:
        raise UnsupportedArgumentError(f"shape {shape} has a negative size.")
    return count


def _unsupported_dtype(method: str, dtype: str) -> UnsupportedArgumentError:
    return UnsupportedArgumentError(
        f"{method}: dtype {dtype!r} has no sampler here. Draw 'float32' and cast."
    )


def _check_weights(probs: np.ndarray, num_samples: int, replacement: bool) -> None:
    if probs.ndim not in (1, 2) or not probs.size:
        raise DistributionError(
            f"multinomial: probs must be non-empty with 1 or 2 axes, got shape {probs.shape}."
        )
    if probs.dtype not in (np.float32, np.float64):
        raise _unsupported_dtype("multinomial", probs.dtype.name)
    if num_samples < 1 or (not replacement and num_samples > probs.shape[-1]):
        raise DistributionError(
            f"multinomial: cannot draw {num_samples} of {probs.shape[-1]} categories without "
            "replacement."
        )
    low, high = probs.min(), probs.max()
    if not (low >= 0 and high < np.inf):
        raise DistributionError(
            "multinomial: probability tensor contains either `inf`, `nan` or element < 0 "
            f"(from {low} to {high})."
        )
    if not (probs.max(axis=-1) > 0).all():
        raise DistributionError(
            "multinomial: invalid distribution (sum of probabilities <= 0): a row has only zeros."
        )


def _top_indices(score: np.ndarray, k: int) -> np.ndarray:
    """Indices of the ``k`` largest along the last axis, largest first."""
    negated = -score
    if (np.count_nonzero(score, axis=-1) < k).any():  # ties at zero: keep the order of the indices
        return np.argsort(negated, axis=-1, kind="stable")[..., :k]
    some = np.argpartition(negated, k - 1, axis=-1)[..., :k]
    order = np.argsort(np.take_along_axis(negated, some, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(some, order, axis=-1)


default_generator = Generator()
default_generator.seed()


def manual_seed(seed: int) -> Generator:
    """Seed :data:`default_generator` and return it."""
    return default_generator.manual_seed(seed)


def initial_seed() -> int:
    """The seed of :data:`default_generator`."""
    return default_generator.initial_seed()
