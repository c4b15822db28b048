"""Random numbers from torch's CPU streams (hfpaddle/core/rng.py): same seed, same numbers."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import paddle

from hfpaddle.core import rng
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.rng_philox import PhiloxGenerator
from hfpaddle.torch._create import finish, full_size, meta_tensor
from hfpaddle.torch._device import is_meta
from hfpaddle.torch._dtypes import FLOATING, NAMES, as_dtype, get_default_dtype
from hfpaddle.torch._promote import check_writable, copy_into
from hfpaddle.torch._switch import by_caller

Tensor = paddle.Tensor


class Generator:
    """A stream of random numbers. ``device`` names where its samples are used.

    Drawn on the host and moved. A "cuda" generator has the stream that torch has on such
    a GPU (without one: on an H100), all others the CPU's.
    """

    def __init__(self, device: Any = "cpu"):
        from hfpaddle.torch import _device

        self.device = _device.device(device)
        self.stream = _cuda_stream() if self.device.type == "cuda" else rng.Generator()

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of ``seed``."""
        self.stream.manual_seed(int(seed))
        return self

    def initial_seed(self) -> int:
        """The seed that this stream began with."""
        return self.stream.initial_seed()

    def seed(self) -> int:
        """Start a stream from the system's entropy."""
        return self.stream.seed()

    def get_state(self) -> Tensor:
        """uint8 ``[5056]``, of CUDA ``[16]``, in torch's layout."""
        return paddle.to_tensor(self.stream.get_state(), place=paddle.CPUPlace())

    def set_state(self, new_state: Tensor) -> Generator:
        """Go back to what :meth:`get_state` returned, here or in torch."""
        self.stream.set_state(np.asarray(new_state))
        return self

    def clone_state(self) -> Generator:
        """A generator in the same state."""
        return Generator(self.device).set_state(self.get_state())

    def __reduce__(self):
        return _rebuild_generator, (str(self.device), self.stream.get_state())


def _cuda_stream() -> rng.Generator:
    if not paddle.device.is_compiled_with_cuda() or not paddle.device.cuda.device_count():
        return PhiloxGenerator()
    gpu = paddle.device.cuda.get_device_properties()
    threads = 1536 if (gpu.major, gpu.minor) in ((8, 6), (8, 7), (8, 9), (12, 0)) else 2048
    return PhiloxGenerator(gpu.multi_processor_count, threads)


def _rebuild_generator(name: str, state: np.ndarray) -> Generator:
    generator = Generator(name)
    generator.stream.set_state(state)
    return generator


# The stream from which new weights, masks and sampled tokens of the whole package are drawn.
default_generator = Generator()
default_generator.stream = rng.default_generator


def manual_seed(seed: int) -> Generator:
    """Seed torch's stream, and Paddle's own generators with it; returns the default generator."""
    seed = int(seed)
    paddle.seed(seed % (1 << 63))
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed from the system's entropy."""
    value = default_generator.seed()
    paddle.seed(value % (1 << 63))
    return value


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """State of the default generator, uint8."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Set it."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, **_: Any):
    """Put the default stream back at the end."""
    state = default_generator.stream.get_state() if enabled else None
    try:
        yield
    finally:
        if state is not None:
            default_generator.stream.set_state(state)


def stream(generator: Any = None) -> rng.Generator:
    """The numpy stream of ``generator``, or of the default one."""
    if generator is None:
        return default_generator.stream
    if not isinstance(generator, Generator):
        raise TypeError(f"generator must be a torch.Generator, not {type(generator).__name__}")
    return generator.stream


def _float_kind(dtype: Any, default: Any = None) -> Any:
    kind = as_dtype(dtype) or default or get_default_dtype()
    if kind not in FLOATING:
        raise RuntimeError(f"random normal and uniform need a floating dtype, not {NAMES[kind]}")
    return kind


def _made(array: np.ndarray, dtype: Any, spec: Any, requires_grad: bool = False) -> Tensor:
    if NAMES[dtype] in ("bfloat16",):
        return finish(paddle.cast(paddle.to_tensor(array), dtype), None, spec, requires_grad)
    return finish(array, dtype, spec, requires_grad)


def _drawn(method: str, size, generator, dtype, spec, requires_grad, out=None) -> Tensor:
    shape, kind = full_size(size), _float_kind(dtype)
    if is_meta(spec):
        return meta_tensor(shape, kind)
    array = getattr(stream(generator), method)(shape, dtype=NAMES[kind])
    made = _made(array, kind, spec, requires_grad)
    return made if out is None else copy_into(out, made, resize=True)


def rand(
    *size, generator=None, out=None, dtype=None, layout=None, device=None, requires_grad=False,
    pin_memory=False,
) -> Tensor:  # fmt: skip
    """Uniform in [0, 1)."""
    return _drawn("uniform", size, generator, dtype, device, requires_grad, out)


def randn(
    *size, generator=None, out=None, dtype=None, layout=None, device=None, requires_grad=False,
    pin_memory=False,
) -> Tensor:  # fmt: skip
    """Standard normal."""
    return _drawn("normal", size, generator, dtype, device, requires_grad, out)


def rand_like(input, *, dtype=None, device=None, requires_grad=False, **_) -> Tensor:
    """As ``rand`` with the shape, dtype and device of ``input``."""
    where = input.place if device is None else device
    kind = dtype or input.dtype
    return rand(list(input.shape), dtype=kind, device=where, requires_grad=requires_grad)


def randn_like(input, *, dtype=None, device=None, requires_grad=False, **_) -> Tensor:
    """As ``randn`` with the shape, dtype and device of ``input``."""
    where = input.place if device is None else device
    kind = dtype or input.dtype
    return randn(list(input.shape), dtype=kind, device=where, requires_grad=requires_grad)


def randint(
    low, high=None, size=None, *, generator=None, out=None, dtype=None, layout=None, device=None,
    requires_grad=False, pin_memory=False,
) -> Tensor:  # fmt: skip
    """``randint(high, size)`` or ``randint(low, high, size)``: integers in [low, high)."""
    if size is None and not isinstance(high, int):
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    array = stream(generator).randint(int(low), int(high), full_size((size,)))
    made = finish(array, as_dtype(dtype) or paddle.int64, device, requires_grad)
    return made if out is None else copy_into(out, made, resize=True)


def randint_like(input, low, high=None, *, dtype=None, device=None, **_) -> Tensor:
    """As ``randint`` with the shape, dtype and device of ``input``."""
    where = input.place if device is None else device
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, list(input.shape), dtype=dtype or input.dtype, device=where)


def randperm(n, *, generator=None, out=None, dtype=None, device=None, **_) -> Tensor:
    """A permutation of 0..n-1."""
    made = finish(stream(generator).randperm(int(n)), as_dtype(dtype) or paddle.int64, device)
    return made if out is None else copy_into(out, made, resize=True)


def normal(mean, std=1.0, size=None, *, generator=None, out=None, dtype=None, device=None, **_):
    """Normal samples: of one mean and std for ``size``, or of a tensor of either."""
    if size is not None:
        shape, kind = full_size((size,)), _float_kind(dtype)
        array = stream(generator).normal(shape, float(mean), float(std), NAMES[kind])
        made = _made(array, kind, device)
    else:
        tensors = [v for v in (mean, std) if isinstance(v, Tensor)]
        if not tensors:
            raise TypeError("normal() needs a size, or a tensor of means or deviations")
        shape = paddle.broadcast_shape(list(tensors[0].shape), list(tensors[-1].shape))
        kind = tensors[0].dtype
        noise = _made(stream(generator).normal(tuple(shape), dtype=NAMES[kind]), kind, device)
        made = noise * std + mean
    return made if out is None else copy_into(out, made, resize=True)


def bernoulli(input, p=None, *, generator=None, out=None) -> Tensor:
    """0 or 1 with probability ``input`` (or ``p``), in the dtype of ``input``."""
    source = stream(generator)
    if p is None:
        array = source.bernoulli(_host(input))
    else:
        array = source.bernoulli(float(p), tuple(input.shape))
    made = finish(array, input.dtype, input.place)
    return made if out is None else copy_into(out, made, resize=True)


def multinomial(input, num_samples, replacement=False, *, generator=None, out=None) -> Tensor:
    """Indices drawn with weights ``input`` ``[C]`` or ``[B, C]``: int64."""
    array = stream(generator).multinomial(_host(input), int(num_samples), replacement)
    made = finish(array, paddle.int64, input.place)
    return made if out is None else copy_into(out, made, resize=True)


def poisson(input, generator=None):
    """Not reproduced."""
    raise UnsupportedArgumentError(
        "torch.poisson: its stream is not reproduced here. Draw with numpy.random."
    )


def _host(tensor: Tensor) -> np.ndarray:
    if NAMES[tensor.dtype] in ("float16", "bfloat16"):
        tensor = paddle.cast(tensor, "float32")
    return np.asarray(tensor.detach())


def _filled(self: Tensor, array: np.ndarray) -> Tensor:
    check_writable(self)
    return copy_into(self, paddle.to_tensor(array, place=self.place))


def normal_(self: Tensor, mean=0, std=1, *, generator=None) -> Tensor:
    """Fill with normal samples."""
    name = NAMES[_float_kind(self.dtype)]
    array = stream(generator).normal(tuple(self.shape), float(mean), float(std), name)
    return _filled(self, array)


def uniform_(self: Tensor, *args, generator=None, **bounds) -> Tensor:
    """``uniform_(from=0, to=1)``: fill with samples in [from, to)."""
    low, high = (*args, *(0.0, 1.0)[len(args) :])
    low, high = bounds.get("from", low), bounds.get("to", high)
    name = NAMES[_float_kind(self.dtype)]
    return _filled(
        self, stream(generator).uniform(tuple(self.shape), float(low), float(high), name)
    )


def bernoulli_(self: Tensor, p=0.5, *, generator=None) -> Tensor:
    """Fill with 0 and 1."""
    if isinstance(p, Tensor):
        array = stream(generator).bernoulli(_host(p), tuple(self.shape))
    else:
        array = stream(generator).bernoulli(float(p), tuple(self.shape))
    return _filled(self, array)


def exponential_(self: Tensor, lambd=1.0, *, generator=None) -> Tensor:
    """Fill with exponential samples."""
    name = NAMES[self.dtype] if NAMES[self.dtype] == "float64" else "float32"
    return _filled(self, stream(generator).exponential(tuple(self.shape), float(lambd), name))


def random_(self: Tensor, *bounds, generator=None) -> Tensor:
    """``random_(from, to)`` or ``random_(to)``: integers in [from, to)."""
    if not bounds:
        raise UnsupportedArgumentError("random_(): without bounds is not reproduced. Pass (0, n).")
    low, high = (0, bounds[0]) if len(bounds) == 1 else bounds
    return _filled(self, stream(generator).randint(int(low), int(high), tuple(self.shape)))


_NOTE = "torch's random streams and keywords"
for _function in (normal_, uniform_, bernoulli_, exponential_, random_, multinomial, bernoulli):
    by_caller(Tensor, _function.__name__, _function, _NOTE)

__all__ = [
    "Generator", "bernoulli", "default_generator", "get_rng_state", "initial_seed", "manual_seed",
    "multinomial", "normal", "poisson", "rand", "rand_like", "randint", "randint_like", "randn",
    "randn_like", "randperm", "seed", "set_rng_state",
]  # fmt: skip
