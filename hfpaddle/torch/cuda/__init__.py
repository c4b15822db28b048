"""``torch.cuda`` queries, answered from Paddle's GPU; without one, as torch without a GPU."""

from __future__ import annotations

import contextlib
from typing import Any

import paddle

from hfpaddle.core.errors import DeviceError
from hfpaddle.torch import _device
from hfpaddle.torch._create import tensor
from hfpaddle.torch._device import device as _device_type
from hfpaddle.torch._missing import missing

__emulated__ = True

OutOfMemoryError = MemoryError


def is_available() -> bool:
    """Whether Paddle was built for CUDA and sees a GPU."""
    return device_count() > 0


def device_count() -> int:
    """GPUs that Paddle sees."""
    return paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0


def is_initialized() -> bool:
    """Paddle initialises by itself."""
    return is_available()


def init() -> None:
    """Nothing to do."""


def _index(device: Any = None) -> int:
    if not is_available():
        raise DeviceError("torch.cuda: Paddle has no CUDA device here. Use the CPU.")
    if device is None:
        name = paddle.get_device()
        return int(name.partition(":")[2] or 0) if name.startswith("gpu") else 0
    return device if isinstance(device, int) else (_device_type(device).index or 0)


def current_device() -> int:
    """Index of the current GPU."""
    return _index()


def set_device(device: Any) -> None:
    """Make ``device`` the current GPU; a negative index changes nothing."""
    if not (isinstance(device, int) and device < 0):
        paddle.set_device(f"gpu:{_index(device)}")


def get_device_properties(device: Any = None) -> Any:
    """Name, memory and capability."""
    return paddle.device.cuda.get_device_properties(_index(device))


def get_device_name(device: Any = None) -> str:
    """Name of the GPU."""
    return paddle.device.cuda.get_device_name(_index(device))


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """Compute capability."""
    return paddle.device.cuda.get_device_capability(_index(device))


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the GPU computes in bfloat16."""
    return is_available() and get_device_capability()[0] >= (7 if including_emulation else 8)


def synchronize(device: Any = None) -> None:
    """Wait until the GPU has finished."""
    paddle.device.cuda.synchronize(_index(device))


def empty_cache() -> None:
    """Give unused memory back."""
    if is_available():
        paddle.device.cuda.empty_cache()


def ipc_collect() -> None:
    """Nothing to do."""


def _memory(name: str):
    def query(device: Any = None) -> int:
        return getattr(paddle.device.cuda, name)(_index(device)) if is_available() else 0

    query.__name__ = name
    query.__doc__ = "Bytes; 0 without a GPU."
    return query


memory_allocated = _memory("memory_allocated")
max_memory_allocated = _memory("max_memory_allocated")
memory_reserved = _memory("memory_reserved")
max_memory_reserved = _memory("max_memory_reserved")


def reset_peak_memory_stats(device: Any = None) -> None:
    """Start the maxima anew."""
    if is_available():
        paddle.device.cuda.reset_max_memory_allocated(_index(device))
        paddle.device.cuda.reset_max_memory_reserved(_index(device))


reset_max_memory_allocated = reset_peak_memory_stats


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and total bytes."""
    total = get_device_properties(device).total_memory
    return total - memory_reserved(device), total


def manual_seed(seed: int) -> None:
    """Seed Paddle's generators of the GPU."""
    if is_available():
        paddle.seed(int(seed) % (1 << 63))


manual_seed_all = manual_seed


def get_rng_state(device: Any = "cuda"):
    """State of the GPU's generator, uint8."""
    state = paddle.get_cuda_rng_state()[_index(device)]
    return tensor(list(str(state.current_seed()).encode()), dtype="uint8")


def get_rng_state_all() -> list:
    """States of all GPUs; none without a GPU."""
    return [get_rng_state(i) for i in range(device_count())]


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Go back to a state."""
    paddle.seed(int(bytes(new_state.tolist()).decode()))


def set_rng_state_all(new_states: list) -> None:
    """Go back to the states of all GPUs."""
    for index, state in enumerate(new_states):
        set_rng_state(state, index)


class device(_device.device):
    """The current GPU inside a ``with``."""

    def __init__(self, device: Any):
        super().__init__("cuda", device if isinstance(device, int) else _index(device))


@contextlib.contextmanager
def stream(stream: Any):
    """Run on ``stream``; None runs on the current one."""
    with paddle.device.cuda.stream_guard(stream) if stream else contextlib.nullcontext():
        yield


def current_stream(device: Any = None) -> Any:
    """The stream that operations go to."""
    return paddle.device.cuda.current_stream(_index(device))


def Stream(*args: Any, **kwargs: Any) -> Any:
    """A new stream."""
    _index()
    return paddle.device.cuda.Stream(*args, **kwargs)


def Event(enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> Any:
    """A new event."""
    _index()
    return paddle.device.cuda.Event(enable_timing, blocking, interprocess)


CUDAGraph = missing("cuda.CUDAGraph", "Run without graphs.")


def __getattr__(name: str) -> Any:
    if name == "amp":
        import hfpaddle.torch.cuda.amp as amp

        return amp
    raise AttributeError(f"module 'torch.cuda' (hfpaddle.torch.cuda) has no attribute {name!r}")
