"""The CUDA random streams of torch, in numpy: Philox4x32-10 with torch's layout of counters.

A :class:`PhiloxGenerator` stands for ``torch.Generator("cuda")``: it holds a seed and an offset.
Each thread of torch's kernel has the subsequence of its number and takes four words a turn; the
k-th of them goes to item ``thread + k * threads``. So the numbers of a large tensor depend on how
many threads the GPU runs at once, which is told to the constructor.

Not reproduced to the last bit: normal samples of float32, whose sine and cosine are the GPU's fast
instructions (2**-21 off at most), and exponential ones, whose logarithm is.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011); curand_philox4x32_x.h
for the word order and the conversions; ATen/native/cuda/DistributionTemplates.h for the counters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from hfpaddle.core.errors import DistributionError, UnsupportedArgumentError
from hfpaddle.core.rng import DEFAULT_SEED, Generator
from hfpaddle.core.rng_math import fma32, fma64, round_to

Shape = int | Sequence[int]

BLOCK = 256  # threads of a block, in every kernel of torch that draws
_HALF_TYPES = ("float16", "bfloat16")
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_WIDE_RANGE = 1 << 28  # from here on an integer takes two words
_INV32, _INV53 = 2.0**-32, 2.0**-53
_TWO_PI_INV32 = np.float32(2.0**-32 * 6.2831855)


def philox(counter: tuple, seed: int) -> list[np.ndarray]:
    """Ten rounds: four uint32 words for each counter.

    Args:
        counter: four uint64 arrays (or numbers) below 2**32 that broadcast: low word first.
        seed: the 64-bit key.
    """
    c = [np.asarray(word, np.uint64) for word in counter]
    key = [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF]
    for turn in range(10):
        if turn:
            key = [(k + w) & 0xFFFFFFFF for k, w in zip(key, _WEYL, strict=True)]
        first, second = _MULTIPLIERS[0] * c[0], _MULTIPLIERS[1] * c[2]
        c = [
            (second >> _32) ^ c[1] ^ np.uint64(key[0]), second & _LOW,
            (first >> _32) ^ c[3] ^ np.uint64(key[1]), first & _LOW,
        ]  # fmt: skip
    return [word.astype(np.uint32) for word in np.broadcast_arrays(*c)]


class PhiloxGenerator(Generator):
    """The stream of ``torch.Generator("cuda")``.

    Args:
        multiprocessors, threads: of the GPU whose numbers are wanted: its streaming
            multiprocessors, and the threads that one can hold (H100 and H200: 132 and 2048; A100:
            108 and 2048; RTX 4090: 128 and 1536).
    """

    def __init__(self, multiprocessors: int = 132, threads: int = 2048) -> None:
        self.device = "cuda"
        self.most_blocks = multiprocessors * (threads // BLOCK)
        self.manual_seed(DEFAULT_SEED)

    # State

    def manual_seed(self, seed: int) -> PhiloxGenerator:
        """Start the stream of ``seed``."""
        self._seed, self.offset = int(seed) % (1 << 64), 0
        return self

    def get_state(self) -> np.ndarray:
        """uint8 ``[16]``: seed and offset, as torch's."""
        return np.array([self._seed, self.offset], "<u8").view(np.uint8).copy()

    def set_state(self, state: np.ndarray) -> PhiloxGenerator:
        """Go back to what :meth:`get_state`, here or in torch, returned."""
        raw = np.ascontiguousarray(state)
        if raw.dtype != np.uint8 or raw.size != 16:
            raise UnsupportedArgumentError(
                f"set_state: {raw.dtype}{list(raw.shape)} is not the state of a CUDA generator, "
                "which is uint8[16]. Pass what its get_state() returned."
            )
        self._seed, self.offset = (int(v) for v in raw.view("<u8"))
        return self

    # Words

    def random_u32(self, n: int) -> np.ndarray:
        raise UnsupportedArgumentError(
            "A CUDA generator has no such stream of words here (multinomial with replacement). "
            "Use a generator of the CPU."
        )

    def _take(self, increment: int) -> int:
        """The offset at which a kernel begins; the next one begins ``increment`` later."""
        start = self.offset
        self.offset += (increment + 3) // 4 * 4
        return start

    def _words(self, count: int, values: int, even: bool = False) -> tuple[list[np.ndarray], int]:
        """The words of a grid-stride kernel whose threads make ``values`` samples a turn.

        Args:
            even: add a turn to an odd number of them, without taking more of the stream.
        Returns: four arrays ``[turns, threads]``, and the number of threads.
        """
        blocks = min(-(-count // BLOCK), self.most_blocks)
        threads = BLOCK * blocks
        turns = (count - 1) // (threads * values) + 1
        start = self._take(turns * 4) // 4
        turns += turns % 2 if even else 0
        turn = np.uint64(start) + np.arange(turns, dtype=np.uint64)[:, None]
        thread = np.arange(threads, dtype=np.uint64)[None, :]
        return philox((turn & _LOW, turn >> _32, thread, 0), self._seed), threads

    def _draw(self, count: int, values: int, transform: Callable) -> np.ndarray:
        """``transform(four words)`` gives ``values`` arrays; laid out as the kernel writes them."""
        if not count:
            return transform([np.empty(0, np.uint32)] * 4)[0]
        words, _ = self._words(count, values)
        return np.stack(transform(words), axis=1).reshape(-1)[:count]

    def _unit(self, count: int, dtype: str) -> np.ndarray:
        """Samples in (0, 1]."""
        if dtype == "float64":
            return self._draw(count, 2, lambda w: [_unit64(w[0], w[1]), _unit64(w[2], w[3])])
        return self._draw(count, 4, lambda w: [_unit32(word) for word in w])

    # Samples

    def uniform(
        self, shape: Shape = (), low: float = 0.0, high: float = 1.0, dtype: str = "float32"
    ) -> np.ndarray:
        """Uniform in [low, high), as ``torch.rand`` and ``uniform_``."""
        _check_dtype("uniform", dtype)
        count = _count(shape)
        sample = self._unit(count, dtype)
        if dtype == "float64":
            sample = sample if (low, high) == (0, 1) else fma64(sample, high - low, low)
        else:
            first, last = (round_to(np.array([v], np.float32), dtype)[0] for v in (low, high)) if (
                dtype in _HALF_TYPES
            ) else (np.float32(low), np.float32(high))  # fmt: skip
            sample = fma32(sample, last - first, first)
            low, high = float(first), float(last)
            if dtype in _HALF_TYPES:
                sample = round_to(sample, dtype)
        sample[sample == sample.dtype.type(high)] = low  # the open end is the other one
        return sample.reshape(shape)

    def normal(
        self, shape: Shape = (), mean: float = 0.0, std: float = 1.0, dtype: str = "float32"
    ) -> np.ndarray:
        """Normal samples, as ``torch.randn`` and ``normal_``."""
        _check_dtype("normal", dtype)
        if not std >= 0:
            raise DistributionError(f"normal: std must be at least 0, got {std}.")
        count = _count(shape)
        if dtype == "float64":
            sample = fma64(self._draw(count, 2, _normal64), std, mean)
        else:
            sample = fma32(self._draw(count, 4, _normal32), np.float32(std), np.float32(mean))
            if dtype in _HALF_TYPES:
                sample = round_to(sample, dtype)
        return sample.reshape(shape)

    def exponential(
        self, shape: Shape = (), lambd: float = 1.0, dtype: str = "float32"
    ) -> np.ndarray:
        """Exponential samples of rate ``lambd``, as ``exponential_``."""
        if not lambd > 0:
            raise DistributionError(f"exponential: lambd must be above 0, got {lambd}.")
        sample = self._unit(_count(shape), dtype)
        half = np.finfo(sample.dtype).eps / 2
        with np.errstate(divide="ignore"):
            log = np.where(sample >= 1 - half, -half, np.log(sample)).astype(sample.dtype)
        return (sample.dtype.type(-1.0 / lambd) * log).reshape(shape)

    def randint(self, low: int, high: int, shape: Shape = ()) -> np.ndarray:
        """int64 in [low, high), as ``torch.randint`` of any dtype."""
        if low >= high:
            raise DistributionError(
                f"randint: low must be less than high, got low={low} and high={high}."
            )
        span, count = int(high) - int(low), _count(shape)
        if span >= _WIDE_RANGE:
            words = self._draw(count, 2, lambda w: [_join(w[0], w[1]), _join(w[2], w[3])])
        else:
            words = self._draw(count, 4, list).astype(np.uint64)
        offset = words % np.uint64(span)
        return (offset + np.uint64(int(low) % (1 << 64))).view(np.int64).reshape(shape)

    def randperm(self, n: int) -> np.ndarray:
        """A permutation of 0..n-1, int64 ``[n]``: the order of random keys of just enough bits."""
        if n == 0:
            return np.empty(0, np.int64)
        limit = math.log(0.9) * 12
        bits = min(64, math.ceil(math.log2(n - (6 * n * n + 1) / limit)))
        width = 63 if bits > 32 else 31
        keys = self.randint(-(1 << width), (1 << width) - 1, n).view(np.uint64)
        keys &= np.uint64((1 << bits) - 1)
        order = np.argsort(keys, kind="stable").astype(np.int64)
        self._shuffle_equal(order, keys[order], self._take(n))
        return order

    def _shuffle_equal(self, order: np.ndarray, keys: np.ndarray, offset: int) -> None:
        """Permute each run of equal keys, by the stream of the thread at its beginning."""
        same = keys[1:] == keys[:-1]
        begins = np.flatnonzero(same & ~np.concatenate([[False], same[:-1]]))
        for begin in begins.tolist():
            end = begin + 1
            while end < len(keys) and keys[end] == keys[begin]:
                end += 1
            for i in range(end - begin - 1, 0, -1):
                turn, lane = divmod(offset + end - begin - 1 - i, 4)
                word = philox((turn & 0xFFFFFFFF, turn >> 32, begin, 0), self._seed)[lane]
                j = int(word) % (i + 1)
                a, b = begin + i, begin + j
                order[a], order[b] = order[b], order[a]

    def bernoulli(self, p, shape: Shape | None = None, dtype: str = "float32") -> np.ndarray:
        """bool: a number draws like ``tensor.bernoulli_(p)``, an array like ``torch.bernoulli``.

        Args:
            dtype: of the tensor that ``bernoulli_`` fills; float64 draws otherwise.
        """
        if not isinstance(p, (np.ndarray, np.generic)):
            kind = np.float64 if dtype == "float64" else np.float32
            return (self._unit(_count(shape or ()), dtype) < kind(p)).reshape(shape or ())
        probability = np.asarray(p)
        shape = probability.shape if shape is None else shape
        count = _count(shape)
        turn = self._take(10) // 4
        thread = np.arange(-(-count // 4), dtype=np.uint64)
        words = philox((turn & 0xFFFFFFFF, turn >> 32, thread, 0), self._seed)
        sample = np.stack([_unit32(word) for word in words], axis=1).reshape(-1)[:count]
        return sample.reshape(shape) <= probability

    def dropout_mask(self, shape: Shape, p: float, dtype: str = "float32") -> np.ndarray:
        """bool, True where ``F.dropout(x, p)`` keeps a contiguous ``x`` of ``dtype``.

        A thread makes as many neighbours as 16 bytes hold, if they divide the size, by fours.
        """
        if p in (0, 1):
            return np.full(shape, p == 0)
        count = _count(shape)
        most = {"float64": 2, "float32": 4}.get(dtype, 8)
        lanes = next(n for n in (8, 4, 2, 1) if n <= most and count % n == 0)
        words, threads = self._words(count, 4, even=lanes == 8)
        sample = np.stack([_unit32(word) for word in words], axis=1)  # [turns, 4, threads]
        if lanes == 8:
            sample = sample.reshape(-1, 8, threads)
        sample = sample.reshape(len(sample), -1, lanes, threads).transpose(0, 1, 3, 2)
        return (sample.reshape(-1)[:count] < np.float32(1 - p)).reshape(shape)


def _unit32(words: np.ndarray) -> np.ndarray:
    """(0, 1] from one word: its float32 value, and half a step."""
    return fma32(words.astype(np.float32), np.float32(_INV32), np.float32(_INV32 / 2))


def _mixed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """53 bits of two words, as float64."""
    return (first.astype(np.uint64) ^ (second.astype(np.uint64) << np.uint64(21))).astype(float)


def _unit64(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return _mixed(first, second) * _INV53 + _INV53 / 2


def _join(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    return (high.astype(np.uint64) << _32) | low.astype(np.uint64)


def _normal32(words: list[np.ndarray]) -> list[np.ndarray]:
    """Box and Muller on two pairs: sine, then cosine."""
    found = []
    for x, y in (words[:2], words[2:]):
        radius = np.sqrt(np.float32(-2.0) * np.log(_unit32(x)))
        angle = fma32(y.astype(np.float32), _TWO_PI_INV32, _TWO_PI_INV32 / np.float32(2))
        found += [np.sin(angle) * radius, np.cos(angle) * radius]
    return found


def _normal64(words: list[np.ndarray]) -> list[np.ndarray]:
    radius = np.sqrt(-2.0 * np.log(_unit64(words[0], words[1])))
    angle = np.pi * (_mixed(words[2], words[3]) * (2 * _INV53) + _INV53)
    return [np.sin(angle) * radius, np.cos(angle) * radius]


def _count(shape: Shape) -> int:
    return math.prod(shape) if isinstance(shape, Sequence) else int(shape)


def _check_dtype(method: str, dtype: str) -> None:
    if dtype not in ("float32", "float64", *_HALF_TYPES):
        raise UnsupportedArgumentError(
            f"{method}: dtype {dtype!r} has no sampler here. Draw 'float32' and cast."
        )
