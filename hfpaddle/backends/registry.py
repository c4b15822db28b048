"""What a device backend is, and how the files of this folder announce theirs."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

HALF_TYPES = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")


@dataclass(frozen=True)
class Backend:
    """One kind of device.

    Attributes:
        name: Paddle's name of the device type, ``"gpu"`` in ``"gpu:0"``.
        count: number of such devices in this process; 0 when the Paddle build has none.
        absent: why there is none, as a clause; asked only when ``count()`` is 0.
        remedy: what the user can do then.
        aliases: other spellings of ``name`` that are accepted.
        indexed: False for a device without numbers ("cpu").
        rank: order of preference of ``"auto"``; 0 is never chosen unless Paddle's default.
        host_memory: True when the host can read the device's memory in place.
        half_compute: True when matmul, norm and attention have float16/bfloat16 kernels.
        label: product name of the device with a given index.
        memory: bytes in use, ``{"allocated": ..., "peak": ...}``, of the device with an index.
    """

    name: str
    count: Callable[[], int]
    absent: Callable[[], str]
    remedy: str
    aliases: tuple[str, ...] = ()
    indexed: bool = True
    rank: int = 0
    host_memory: bool = False
    half_compute: bool = True
    label: Callable[[int], str] = lambda index: ""
    memory: Callable[[int], dict[str, int]] = lambda index: {}


_BACKENDS: dict[str, Backend] = {}
_loaded = False


def register_backend(backend: Backend) -> Backend:
    """Add ``backend``. Raises ValueError if its name or an alias is taken."""
    for name in (backend.name, *backend.aliases):
        owner = next((b for b in _BACKENDS.values() if name in (b.name, *b.aliases)), None)
        if owner is not None:
            raise ValueError(f"register_backend: {name!r} is already a name of {owner.name!r}.")
    _BACKENDS[backend.name] = backend
    return backend


def custom_backend(device_type: str, **overrides) -> Backend:
    """Describe a Paddle custom device (a plug-in) by its type name, ``"npu"`` in ``"npu:0"``."""
    settings: dict = {
        "count": lambda: len(_custom_devices(device_type)),
        "absent": lambda: f"no Paddle plug-in for {device_type!r} is loaded",
        "remedy": "Install the device's Paddle plug-in, or name its folder in CUSTOM_DEVICE_ROOT.",
        "rank": 1,
        "memory": lambda index: _pool_memory(f"{device_type}:{index}"),
        **overrides,
    }
    return Backend(name=device_type, **settings)


def _custom_devices(device_type: str) -> list[str]:
    import paddle

    # Paddle writes "npu" when there is a single device and "npu:0", "npu:1" otherwise.
    present = paddle.device.get_available_custom_device() or []
    return [name for name in present if name.split(":")[0] == device_type]


def _pool_memory(device: str) -> dict[str, int]:
    import paddle

    return {
        "allocated": int(paddle.device.memory_allocated(device)),
        "peak": int(paddle.device.max_memory_allocated(device)),
    }


def backends() -> dict[str, Backend]:
    """Return every backend by name: the files of this folder, then loaded custom devices."""
    global _loaded
    if not _loaded:
        for module in pkgutil.iter_modules([os.path.dirname(__file__)]):
            if not module.name.endswith("_test"):
                importlib.import_module(f"{__package__}.{module.name}")
        _loaded = True
    import paddle

    known = dict(_BACKENDS)
    for device_type in paddle.device.get_all_custom_device_type() or []:
        known.setdefault(device_type, custom_backend(device_type))
    return known


def find_backend(name: str) -> Backend | None:
    """Return the backend with this name or alias."""
    known = backends()
    if name in known:
        return known[name]
    return next((b for b in known.values() if name in b.aliases), None)
