"""``torch.device``: a name of a device that the whole of hfpaddle accepts."""

from __future__ import annotations

import re
import threading
from typing import Any

import paddle

from hfpaddle.backends import resolve_device
from hfpaddle.core.errors import nearest
from hfpaddle.torch._switch import property_by_caller

# torch's names of device types; "gpu" is Paddle's name of cuda. Custom devices add their own.
_TYPES = ("cpu", "cuda", "xpu", "mps", "npu", "meta", "hpu", "mlu", "musa", "privateuseone")
_FORM = re.compile(r"([a-z_]+)(?::(\d+))?")
_local = threading.local()


class device:
    """``device("cuda:1")``, ``device("cuda", 1)``, ``device(1)`` or ``device(another)``.

    ``type`` is torch's name of the kind, ``index`` an int or None. It equals another device or
    its text. As a context (or decorator) it is where new tensors are made.
    """

    __slots__ = ("type", "index")

    type: str
    index: int | None

    def __init__(self, type: Any = None, index: int | None = None, *, device: Any = None):
        spec = device if type is None else type
        if isinstance(spec, int) and not isinstance(spec, bool):
            spec, index = _accelerator(), spec
        elif not isinstance(spec, str):
            spec = _text_of(spec)
        match = _FORM.fullmatch(spec.lower())
        if match is None or (match[2] is not None and index is not None):
            raise RuntimeError(f"Invalid device string: '{spec}'")
        kind = "cuda" if match[1] == "gpu" else match[1]
        if kind not in _TYPES and kind not in paddle.device.get_all_custom_device_type():
            raise RuntimeError(f"device {spec!r}: unknown type{nearest(kind, _TYPES)}.")
        object.__setattr__(self, "type", kind)
        index = int(match[2]) if match[2] is not None else index
        object.__setattr__(self, "index", index)

    def __setattr__(self, name, value):
        raise AttributeError(f"attribute '{name}' of 'torch.device' objects is not writable")

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        inner = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{inner})"

    def __eq__(self, other) -> bool:
        if isinstance(other, (device, paddle.device.Device)):
            return (self.type, self.index) == (device(other).type, device(other).index)
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self):
        return (device, (self.type,) if self.index is None else (self.type, self.index))

    def __enter__(self) -> device:
        _stack().append(self)
        return self

    def __exit__(self, *exc) -> None:
        _stack().pop()

    def __call__(self, function):
        def inside(*args, **kwargs):
            with self:
                return function(*args, **kwargs)

        return inside


def _stack() -> list[device]:
    if not hasattr(_local, "stack"):
        _local.stack = []
    return _local.stack


def _accelerator() -> str:
    current = paddle.get_device().split(":")[0]
    return "cuda" if current in ("cpu", "gpu") else current


def _text_of(spec: Any) -> str:
    if isinstance(spec, device):
        return str(spec)
    text = str(spec)
    if text.startswith("Place("):
        text = text.removeprefix("Place(").removesuffix(")")
    elif not isinstance(spec, (str, paddle.device.Device)):
        raise TypeError(f"device(): {spec!r} of type {type(spec).__name__} names no device.")
    return text


def get_default_device() -> device:
    """Where new tensors go: the innermost ``with device``, or Paddle's current device."""
    return _stack()[-1] if _stack() else device(paddle.get_device())


def set_default_device(spec: Any) -> None:
    """Make new tensors on ``spec``; None goes back to the CPU."""
    paddle.set_device(resolve_device("cpu" if spec is None else device(spec)))


def is_meta(spec: Any) -> bool:
    """Whether ``spec``, or without one the innermost ``with device``, is the meta device."""
    if spec is None:
        return bool(_stack()) and _stack()[-1].type == "meta"
    return device(spec).type == "meta"


def place_of(spec: Any) -> Any:
    """Paddle's place for ``spec``, or for the current device.

    Raises: DeviceError where there is no such device.
    """
    if spec is None:
        if not _stack():
            return paddle.framework._current_expected_place()
        spec = _stack()[-1]
    if spec == "cpu":
        return paddle.CPUPlace()
    return paddle.device._convert_to_place(resolve_device(device(spec)))


def device_of(tensor: Any) -> device:
    """The device that holds ``tensor``."""
    if getattr(tensor, "_is_meta", False):
        return device("meta")
    place = tensor.place
    if place.is_cpu_place():
        return device("cpu")
    return device(place)


property_by_caller(
    paddle.Tensor, "device", device_of, note="a torch.device, where Paddle gives a device.Device"
)
