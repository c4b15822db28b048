"""From whatever a user calls a device to the string by which Paddle knows it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from hfpaddle.backends.registry import HALF_TYPES, Backend, backends, find_backend
from hfpaddle.core.errors import DeviceError, UnsupportedArgumentError
from hfpaddle.core.logging import warn_once

ENV = "HFPADDLE_DEVICE"
_WHOLE_MODEL = ("auto", "balanced", "sequential")
_OFFLOAD = ("disk", "meta")


def resolve_device(spec: Any = None) -> str:
    """Return Paddle's name of the device that ``spec`` means: "cpu", "gpu:0", "xpu:1", "npu:0".

    Args:
        spec: None or "auto" (the environment variable HFPADDLE_DEVICE; without it Paddle's current
            device for None, and the best accelerator present for "auto"); a name with or without
            an index ("cpu", "cuda", "cuda:0", "gpu:1", "xpu", a custom device's type); an int
            (an accelerator's index, -1 for the CPU); a Paddle place; any object with ``type`` and
            ``index``, such as a torch-style device.
    Raises: DeviceError when there is no such device.
    """
    if spec is None or (isinstance(spec, str) and spec.lower() == "auto"):
        chosen = os.environ.get(ENV, "").strip()
        if chosen and chosen.lower() != "auto":
            return _named(chosen, f"{chosen!r} (from {ENV})")
        return _current_device() if spec is None and not chosen else _best_device()
    if isinstance(spec, str):
        return _named(spec, repr(spec))
    if isinstance(spec, int) and not isinstance(spec, bool):
        return _numbered(spec)
    if hasattr(spec, "is_cpu_place"):  # a paddle place prints as Place(gpu:0)
        return _named(str(spec).removeprefix("Place(").removesuffix(")"), str(spec))
    kind, index = getattr(spec, "type", None), getattr(spec, "index", None)
    if isinstance(kind, str):
        return _named(kind if index is None else f"{kind}:{index}", f"{kind}:{index}")
    raise DeviceError(
        f"resolve_device: {spec!r} of type {type(spec).__name__} names no device. "
        f"Pass one of {_available()}, an index, or a paddle place."
    )


def resolve_device_map(device_map: Any) -> str:
    """Return the one device on which ``device_map`` places the whole model.

    Accepts what :func:`resolve_device` does, "auto", "balanced" and "sequential", and a dict from
    module names to devices that are all the same.
    Raises: DeviceError for a device that is not there; UnsupportedArgumentError for a map that
    spreads a model over several devices or puts parts of it on "disk" or "meta".
    """
    if isinstance(device_map, Mapping):
        return _single_device(device_map)
    if isinstance(device_map, str) and device_map.lower() in _OFFLOAD:
        raise UnsupportedArgumentError(_refusal(device_map, device_map))
    if not (isinstance(device_map, str) and device_map in _WHOLE_MODEL):
        return resolve_device(device_map)
    device = resolve_device("auto")
    backend = backend_of(device)
    if backend.count() > 1 and device_map != "sequential":
        warn_once(
            f"device_map={device_map!r}: the whole model goes to {device}, though "
            f"{backend.count()} {backend.name} devices are present."
        )
    return device


def backend_of(device: str) -> Backend:
    """Return the backend of a name that :func:`resolve_device` gave."""
    backend = find_backend(device.split(":")[0])
    if backend is None:
        raise DeviceError(f"backend_of: {device!r} is not one of {_available()}.")
    return backend


def compute_dtype(storage_dtype: Any, device: Any) -> Any:
    """Return the paddle dtype in which weights stored as ``storage_dtype`` are computed.

    float16, bfloat16 and float8 compute in float32 where Paddle has no kernels for them (the CPU);
    every other dtype, and every dtype on an accelerator, stays. ``storage_dtype`` may be a name,
    ``device`` a name or a paddle place.
    """
    import paddle

    name = str(storage_dtype).removeprefix("paddle.")
    if name not in HALF_TYPES:
        return getattr(paddle, name)
    device = device if isinstance(device, str) else resolve_device(device)
    if not backend_of(device).half_compute:
        return paddle.float32
    return getattr(paddle, name)


def device_object(place: Any) -> Any:
    """Return Paddle's device object (``type``, ``index``, prints as "cuda:0") for a tensor's place.

    `Tensor.device` is this on the CPU and GPUs, but fails in Paddle 3.3 on custom devices.
    """
    import paddle

    if place.is_custom_place():
        kind, index = place.custom_device_type(), place.custom_device_id()
        # Only the subclass has the methods that paddle.device asks for.
        return paddle.device(paddle.CustomPlace(kind, index))
    if place.is_xpu_place():
        return paddle.device("xpu", place.xpu_device_id())
    return paddle.device(place)


def shares_host_memory(device: str) -> bool:
    """Tell whether the host can read the device's memory in place (so a mapped file can be it)."""
    return backend_of(device).host_memory


def synchronize(device: str) -> None:
    """Wait until the device has done all that was asked of it. The CPU never lags."""
    if not backend_of(device).host_memory:
        import paddle

        paddle.device.synchronize(device)


def memory(device: str) -> dict[str, int]:
    """Return bytes in use and their peak; of the whole process on the CPU, {} where unknown."""
    return backend_of(device).memory(_index(device))


def describe() -> list[dict[str, Any]]:
    """Return one row for each device and each absent backend, for ``hfpaddle env``.

    Keys: ``device``, ``available``, ``name``, ``default`` (Paddle's current device), and for an
    absent backend ``reason`` and ``remedy``.
    """
    current, rows = _current_device(), []
    for backend in backends().values():
        count = backend.count()
        for index in range(count):
            device = _join(backend, index)
            rows.append(
                {
                    "device": device,
                    "available": True,
                    "name": backend.label(index),
                    "default": device == current,
                }
            )
        if not count:
            row = {"device": backend.name, "available": False, "name": "", "default": False}
            rows.append({**row, "reason": backend.absent(), "remedy": backend.remedy})
    return rows


def _join(backend: Backend, index: int) -> str:
    return f"{backend.name}:{index}" if backend.indexed else backend.name


def _index(device: str) -> int:
    return int(device.partition(":")[2] or 0)


def _current_device() -> str:
    import paddle

    return paddle.device.get_device()


def _available() -> list[str]:
    return [_join(b, i) for b in backends().values() for i in range(b.count())]


def _best_device() -> str:
    current = _current_device()
    if backend_of(current).indexed:  # an accelerator that Paddle or the user already chose
        return current
    ranked = sorted((b for b in backends().values() if b.rank), key=lambda b: -b.rank)
    best = next((b for b in ranked if b.count()), None)
    return current if best is None else _join(best, _selected(best))


def _selected(backend: Backend) -> int:
    """Return the index meant by a name without one: Paddle's current or its launcher's choice."""
    current = _current_device()
    if current.split(":")[0] == backend.name:
        return _index(current)
    return int(os.environ.get(f"FLAGS_selected_{backend.name}s", "0").split(",")[0] or 0)


def _numbered(number: int) -> str:
    if number == -1:  # how the original pipelines spell the CPU
        return "cpu"
    best = _best_device()
    if not backend_of(best).indexed:
        raise DeviceError(
            f"resolve_device: device {number} is accelerator number {number}, but none is in use; "
            f"available: {_available()}. Use 'cpu' or -1, or install a Paddle build for the device."
        )
    return _named(f"{best.split(':')[0]}:{number}", str(number))


def _named(name: str, shown: str) -> str:
    kind, colon, number = name.strip().lower().partition(":")
    backend = find_backend(kind)
    if backend is None or (colon and not number.isdecimal()):
        raise DeviceError(
            f"resolve_device: {shown} is no device that Paddle knows here; available: "
            f"{_available()}. Use one of these, or install the Paddle build or plug-in for it."
        )
    count = backend.count()
    if not count:
        raise DeviceError(
            f"resolve_device: {shown} is not available: {backend.absent()}; available: "
            f"{_available()}. {backend.remedy}"
        )
    index = int(number) if colon else (_selected(backend) if backend.indexed else 0)
    if index >= count:
        raise DeviceError(
            f"resolve_device: {shown} is device number {index}, but the number of {backend.name!r} "
            f"devices is {count}; available: {_available()}. Use an index below {count}."
        )
    return _join(backend, index)


def _refusal(value: Any, shown: Any) -> str:
    return (
        f"device_map={shown!r}: parts of a model on {value!r} are not implemented; a model lives "
        f"whole on one of {_available()}. Pass one of them, or 'auto'."
    )


def _single_device(device_map: Mapping) -> str:
    if not device_map:
        raise UnsupportedArgumentError(
            "device_map={} places no module. Pass a device, 'auto', or {'': device}."
        )
    for module, device in device_map.items():
        kind = device if isinstance(device, str) else getattr(device, "type", None)
        if kind in _OFFLOAD:
            raise UnsupportedArgumentError(_refusal(kind, {module: kind}))
    first, *others = ((name, resolve_device(device)) for name, device in device_map.items())
    for name, device in others:
        if device != first[1]:
            raise UnsupportedArgumentError(
                f"device_map: module {first[0]!r} is on {first[1]!r} and {name!r} on {device!r}; a "
                f"model lives whole on one device. Give every module the same one, or 'auto'."
            )
    return first[1]
