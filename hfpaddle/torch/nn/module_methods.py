"""Methods that ``torch.nn.Module`` has and ``paddle.nn.Layer`` lacks, or means otherwise.

``METHODS`` maps a name to its function; ``NOTES`` says where Paddle's method of the name differs.
They are plain functions of a Layer: the switch of the torch surface puts them on the class.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import paddle

from hfpaddle.core.errors import DeviceError, MissingFeatureError
from hfpaddle.core.logging import warn_once
from hfpaddle.torch import _device
from hfpaddle.torch._dtypes import FLOATING, as_dtype
from hfpaddle.torch._switch import added, by_caller
from hfpaddle.torch.nn import hooks
from hfpaddle.torch.nn.modules.module import Module, _IncompatibleKeys
from hfpaddle.torch.nn.parameter import Parameter

Tensor = paddle.Tensor


# Walking


def _walk(module: Module, members: str, prefix: str, recurse: bool, unique: bool) -> Iterator:
    seen: set[int] = set()
    layers = module.named_modules(prefix=prefix, remove_duplicate=unique) if recurse else [
        (prefix, module)
    ]  # fmt: skip
    for name, layer in layers:
        for key, value in getattr(layer, members).items():
            if value is None or id(value) in seen:
                continue
            if unique:
                seen.add(id(value))
            yield f"{name}.{key}" if name else key, value


def named_parameters(
    self: Module, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
) -> Iterator[tuple[str, Tensor]]:
    """(name, parameter) of this module and, with ``recurse``, of those below."""
    return _walk(self, "_parameters", prefix, recurse, remove_duplicate)


def parameters(self: Module, recurse: bool = True) -> Iterator[Tensor]:
    """The parameters, as an iterator."""
    return (value for _, value in _walk(self, "_parameters", "", recurse, True))


def named_buffers(
    self: Module, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
) -> Iterator[tuple[str, Tensor]]:
    """(name, buffer) of this module and, with ``recurse``, of those below."""
    return _walk(self, "_buffers", prefix, recurse, remove_duplicate)


def buffers(self: Module, recurse: bool = True) -> Iterator[Tensor]:
    """The buffers, as an iterator."""
    return (value for _, value in _walk(self, "_buffers", "", recurse, True))


def register_buffer(self: Module, name: str, tensor: Any, persistent: bool = True) -> None:
    """Keep a tensor with the module; in ``state_dict`` if ``persistent``."""
    _paddle_register_buffer(self, name, tensor, persistent)


_paddle_register_buffer = Module.register_buffer


def train(self: Module, mode: bool = True) -> Module:
    """Set ``training`` here and, through their own ``train``, in the modules below."""
    if not isinstance(mode, bool):
        raise ValueError("training mode is expected to be boolean")
    self.training = mode
    for child in self._sub_layers.values():
        if child is not None:
            child.train(mode)
    return self


def eval(self: Module) -> Module:
    """``train(False)``."""
    return self.train(False)


# Device and dtype


def _replace(tensor: Tensor, new: Tensor) -> None:
    if new is not tensor:
        new.detach()._share_buffer_to(tensor)


def _converted(tensor: Tensor, place: Any, dtype: Any) -> Tensor:
    new = tensor.detach()
    if dtype is not None and tensor.dtype in FLOATING and tensor.dtype is not dtype:
        new = paddle.cast(new, dtype)
    if place is not None and new.place != place:
        new = new._copy_to(place, True)
    return new


def _apply(self: Module, fn: Callable, recurse: bool = True) -> Module:
    """Replace the values of every parameter, gradient and buffer by ``fn`` of them."""
    seen: set[int] = set()
    tensors = itertools.chain(
        _walk(self, "_parameters", "", recurse, True), _walk(self, "_buffers", "", recurse, True)
    )
    with paddle.no_grad():
        for _, tensor in tensors:
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            grad = tensor.grad if isinstance(tensor, Parameter) else None
            new = fn(tensor)
            new_grad = None if grad is None else fn(grad)
            _replace(tensor, new)
            if grad is not None and new_grad is not grad:
                tensor.clear_gradient(False)
                tensor.grad = new_grad
    return self


def _target(args: tuple, kwargs: dict) -> tuple[Any, Any]:
    device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    other = kwargs.pop("tensor", None)
    for name in ("non_blocking", "memory_format", "blocking", "copy"):
        kwargs.pop(name, None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument {next(iter(kwargs))!r}")
    for arg in args:
        if isinstance(arg, Tensor):
            other = arg
        elif isinstance(arg, paddle.dtype):
            dtype = arg
        elif not isinstance(arg, bool) and arg is not None:
            device = arg
    if other is not None:
        device, dtype = other.place, other.dtype
    dtype = as_dtype(dtype)
    if dtype is not None and dtype not in FLOATING:
        raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got {dtype}")
    return device, dtype


def to(self: Module, *args: Any, **kwargs: Any) -> Module:
    """``to(device)``, ``to(dtype)``, ``to(device, dtype)``, ``to(tensor)``; floats change dtype."""
    device, dtype = _target(args, kwargs)
    if device is None:
        place = None
    else:
        place = device if not isinstance(device, (str, int, _device.device)) else (
            _device.place_of(device)
        )  # fmt: skip
    return _apply(self, lambda tensor: _converted(tensor, place, dtype))


def _to_dtype(name: str) -> Callable:
    def method(self: Module) -> Module:
        return _apply(self, lambda tensor: _converted(tensor, None, as_dtype(name)))

    method.__name__, method.__doc__ = name, f"Floating parameters and buffers become {name}."
    return method


def type_(self: Module, dst_type: Any) -> Module:
    """Floating parameters and buffers become ``dst_type``."""
    return to(self, as_dtype(dst_type))


def cpu(self: Module) -> Module:
    """Move to the CPU."""
    return to(self, "cpu")


def cuda(self: Module, device: Any = None) -> Module:
    """Move to a CUDA device.

    Raises: NoCudaError where there is none.
    """
    try:
        return to(self, "cuda" if device is None else device)
    except DeviceError as error:
        raise NoCudaError(str(error)) from None


class NoCudaError(DeviceError, AssertionError):
    """No CUDA device; torch raises AssertionError here."""


def to_empty(self: Module, *, device: Any, recurse: bool = True) -> Module:
    """Move without copying: the values are then arbitrary."""
    place = _device.place_of(device)
    return _apply(self, lambda t: paddle.empty_like(t).to(place), recurse)


def share_memory(self: Module) -> Module:
    """Not carried over."""
    raise MissingFeatureError(
        "Module.share_memory: parameters cannot be shared between processes here. Use "
        "`hfpaddle launch` for several processes."
    )


# state_dict and load_state_dict


def _hooks(module: Module, kind: str) -> dict[int, Callable]:
    return module.__dict__.setdefault(f"_torch_{kind}", OrderedDict())


class _Handle:
    """Removes a hook."""

    count = itertools.count()

    def __init__(self, hooks: dict[int, Callable], hook: Callable) -> None:
        self.hooks, self.id = hooks, next(self.count)
        hooks[self.id] = hook

    def remove(self) -> None:
        """Take the hook away."""
        self.hooks.pop(self.id, None)


def _registrar(kind: str, doc: str, with_module: bool = False) -> Callable:
    def method(self: Module, hook: Callable) -> _Handle:
        function = hook
        if with_module:

            def function(*args: Any) -> Any:
                return hook(self, *args)

        return _Handle(_hooks(self, kind), function)

    method.__doc__ = doc
    return method


def _register_load_state_dict_pre_hook(
    self: Module, hook: Callable, with_module: bool = False
) -> _Handle:
    """Call ``hook(state_dict, prefix, metadata, strict, missing, unexpected, errors)`` first."""
    function = (lambda *args: hook(self, *args)) if with_module else hook
    return _Handle(_hooks(self, "load_pre"), function)


def _save_to_state_dict(self: Module, destination: dict, prefix: str, keep_vars: bool) -> None:
    """Put the parameters and buffers of this module alone into ``destination``."""
    for name, value in self._parameters.items():
        if value is not None:
            destination[prefix + name] = value if keep_vars else value.detach()
    for name, value in self._buffers.items():
        if value is not None and name not in self._non_persistable_buffer_names_set:
            destination[prefix + name] = value if keep_vars else value.detach()
    if type(self).get_extra_state is not Module.get_extra_state:
        destination[prefix + "_extra_state"] = self.get_extra_state()


def _own(module: Module, name: str) -> Callable:
    """The method of ``module``, switched on or not."""
    return getattr(module, name, None) or METHODS[name].__get__(module)


def state_dict(
    self: Module, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
) -> dict[str, Tensor]:
    """Name -> tensor of parameters and persistent buffers; shares memory, knows no gradient."""
    if args:
        destination, prefix, keep_vars = (*args, *(destination, prefix, keep_vars)[len(args) :])
    if destination is None:
        destination = OrderedDict()
        destination._metadata = OrderedDict()  # type: ignore[attr-defined]
    metadata = {"version": getattr(self, "_version", 1)}
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]] = metadata
    for hook in _hooks(self, "state_pre").values():
        hook(self, prefix, keep_vars)
    _own(self, "_save_to_state_dict")(destination, prefix, keep_vars)
    for name, child in self._sub_layers.items():
        if child is None:
            continue
        below = {"destination": destination, "prefix": f"{prefix}{name}.", "keep_vars": keep_vars}
        own = type(child).state_dict is not Module.state_dict
        child.state_dict(**below) if own else state_dict(child, **below)
    for hook in self._state_dict_hooks.values():  # Paddle's own kind
        destination = hook(destination) or destination
    for hook in _hooks(self, "state_post").values():
        destination = hook(self, destination, prefix, metadata) or destination
    return destination


def _load_from_state_dict(
    self: Module, state_dict: dict, prefix: str, local_metadata: dict, strict: bool,
    missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str],
) -> None:  # fmt: skip
    """Take what belongs to this module alone out of ``state_dict``."""
    for hook in _hooks(self, "load_pre").values():
        hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
    assign = local_metadata.get("assign_to_params_buffers", False)
    members = dict(self._parameters)
    members |= {
        name: value
        for name, value in self._buffers.items()
        if name not in self._non_persistable_buffer_names_set
    }
    for name, member in members.items():
        key = prefix + name
        if member is None:
            continue
        if key in state_dict:
            _take(self, name, member, state_dict[key], key, assign, error_msgs)
        elif strict:
            missing_keys.append(key)
    extra = prefix + "_extra_state"
    if getattr(type(self), "set_extra_state", None) is not METHODS["set_extra_state"]:
        if extra in state_dict and hasattr(self, "set_extra_state"):
            self.set_extra_state(state_dict[extra])
    if strict:
        known = {*members, *self._sub_layers, "_extra_state"}
        known -= {name for name, member in members.items() if member is None}
        unexpected_keys += [
            key
            for key in state_dict
            if key.startswith(prefix) and key[len(prefix) :].split(".", 1)[0] not in known
        ]


def _take(module, name, member, value, key, assign, error_msgs) -> None:
    if not isinstance(value, (Tensor, np.ndarray)):
        error_msgs.append(
            f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
            f"object from checkpoint but received {type(value)}"
        )
        return
    want, have = list(member.shape), list(value.shape)
    if have != want and not (want == [] and have == [1]):
        error_msgs.append(
            f"size mismatch for {key}: copying a param with shape torch.Size({have}) from "
            f"checkpoint, the shape in current model is torch.Size({want})."
        )
        return
    if not assign:
        array = isinstance(value, np.ndarray)
        _copy(member, paddle.to_tensor(value) if array else value)
    elif name in module._parameters:
        made = value if isinstance(value, Parameter) else Parameter(value.detach())
        made.stop_gradient = member.stop_gradient
        module._parameters[name] = made
    else:
        module._buffers[name] = value


def _copy(member: Tensor, value: Tensor) -> None:
    with paddle.no_grad():
        value = value.detach()
        if value.dtype is not member.dtype:
            value = paddle.cast(value, member.dtype)
        if value.place != member.place:
            value = value._copy_to(member.place, True)
        paddle.assign(paddle.reshape(value, list(member.shape)), output=member)


def load_state_dict(
    self: Module, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
) -> _IncompatibleKeys:
    """Copy values in (or with ``assign`` take the tensors themselves).

    Raises: RuntimeError for other shapes and, if ``strict``, for missing or unexpected names.
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    missing: list[str] = []
    unexpected: list[str] = []
    errors: list[str] = []
    state = OrderedDict(state_dict)
    metadata = getattr(state_dict, "_metadata", None) or {}

    def load(module: Module, prefix: str) -> None:
        local = dict(metadata.get(prefix[:-1], {}), assign_to_params_buffers=assign)
        _own(module, "_load_from_state_dict")(
            state, prefix, local, True, missing, unexpected, errors
        )
        for name, child in module._sub_layers.items():
            if child is not None:
                load(child, f"{prefix}{name}.")
        keys = _IncompatibleKeys(missing, unexpected)
        for hook in _hooks(module, "load_post").values():
            hook(module, keys)

    load(self, "")
    if strict:
        for title, keys in (("Missing", missing), ("Unexpected", unexpected)):
            if keys:
                quoted = ", ".join(f'"{key}"' for key in keys)
                errors.insert(0, f"{title} key(s) in state_dict: {quoted}. ")
    if errors:
        text = "\n\t".join(errors)
        raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{text}")
    return _IncompatibleKeys(missing, unexpected)


def set_extra_state(self: Module, state: Any) -> None:
    """For modules whose ``get_extra_state`` has something to give back."""
    raise RuntimeError(
        "Reached a code path in Module.set_extra_state() that should never be called."
    )


def __repr__(self: Module) -> str:
    """Name, extra_repr and children; what has children shows its own numbers on a line apart."""
    extra = self.extra_repr()
    own = extra.split("\n") if extra else []
    below = [
        f"({name}): " + repr(child).replace("\n", "\n  ")
        for name, child in self._sub_layers.items()
    ]
    name = type(self).__name__
    if not below and len(own) < 2:
        return f"{name}({extra})"
    return "\n".join([f"{name}(", *(f"  {line}" for line in own + below), ")"])


def compile(self: Module, *args: Any, **kwargs: Any) -> None:
    """Nothing to do: the module runs as it is. Says so once."""
    warn_once("Module.compile() has no effect: the module runs uncompiled.")


METHODS: dict[str, Any] = {
    "__repr__": __repr__,
    "named_parameters": named_parameters,
    "parameters": parameters,
    "named_buffers": named_buffers,
    "buffers": buffers,
    "register_buffer": register_buffer,
    "train": train,
    "eval": eval,
    "_apply": _apply,
    "to": to,
    **{name: _to_dtype(name) for name in ("float", "double", "half", "bfloat16")},
    "type": type_,
    "cpu": cpu,
    "cuda": cuda,
    "to_empty": to_empty,
    "share_memory": share_memory,
    "state_dict": state_dict,
    "load_state_dict": load_state_dict,
    "_save_to_state_dict": _save_to_state_dict,
    "_load_from_state_dict": _load_from_state_dict,
    "set_extra_state": set_extra_state,
    "_register_load_state_dict_pre_hook": _register_load_state_dict_pre_hook,
    "register_load_state_dict_pre_hook": _registrar(
        "load_pre", "Call ``hook(module, state_dict, prefix, ...)`` before loading.", True
    ),
    "register_load_state_dict_post_hook": _registrar(
        "load_post", "Call ``hook(module, incompatible_keys)`` after loading."
    ),
    "register_state_dict_pre_hook": _registrar(
        "state_pre", "Call ``hook(module, prefix, keep_vars)`` before saving."
    ),
    "_register_state_dict_hook": _registrar(
        "state_post", "Call ``hook(module, state_dict, prefix, metadata)`` after saving."
    ),
    "register_state_dict_post_hook": _registrar(
        "state_post", "Call ``hook(module, state_dict, prefix, metadata)`` after saving."
    ),
    "register_full_backward_hook": hooks.register_full_backward_hook,
    "register_full_backward_pre_hook": hooks.register_full_backward_pre_hook,
    "register_backward_hook": hooks.register_full_backward_hook,
    "compile": compile,
    "_version": 1,
    "dump_patches": False,
    "call_super_init": False,
}

NOTES: dict[str, str] = {
    "__repr__": "children begin a new line",
    "named_parameters": "the keyword recurse",
    "parameters": "an iterator, where Paddle gives a list",
    "named_buffers": "the keyword recurse",
    "buffers": "an iterator, where Paddle gives a list",
    "register_buffer": "the keyword persistent",
    "train": "calls the train method of each module below",
    "eval": "calls the train method of each module below",
    "_apply": "takes a function of a tensor",
    "to": "takes a tensor, torch's devices, and a dtype first",
    "float": "buffers too, and no excluded layers",
    "half": "buffers too, and no excluded layers",
    "double": "buffers too, and no excluded layers",
    "bfloat16": "buffers too, and no excluded layers",
    "type": "returns the module",
    "cpu": "returns the module",
    "cuda": "torch's devices",
    "state_dict": "tensors without gradient, and torch's hooks",
    "load_state_dict": "sizes must match; strict is by name and by size",
}


def declare() -> None:
    """Tell the switch of the methods; those that Paddle has too are by caller."""
    for name, value in METHODS.items():
        if hasattr(Module, name) and callable(value):
            by_caller(Module, name, value, NOTES.get(name, "torch's meaning"))
        else:
            added(Module, name, value)
