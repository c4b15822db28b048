"""``torch.nn.utils.parametrize``: a tensor of a module as a function of what is learnt.

The module's class becomes a subclass with a property of the tensor's name, as in torch; the learnt
tensors are ``parametrizations.<name>.original`` (or ``original0``, ``original1``).
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import paddle

from hfpaddle.torch.nn.modules.container import ModuleDict, ModuleList
from hfpaddle.torch.nn.modules.module import Module
from hfpaddle.torch.nn.parameter import Parameter

Tensor = paddle.Tensor
_cached: dict[tuple[int, str], Tensor] = {}
_depth = 0


class ParametrizationList(ModuleList):
    """The functions of one tensor, in order, and what they begin with."""

    def __init__(self, modules: list[Module], original: Tensor, unsafe: bool = False) -> None:
        super().__init__(modules)
        self.unsafe = unsafe
        trained = isinstance(original, Parameter) or not original.stop_gradient
        start = original.detach()
        with paddle.no_grad():
            for module in reversed(modules):
                if hasattr(module, "right_inverse"):
                    start = module.right_inverse(start)
        self.is_tensor = isinstance(start, Tensor)
        self.ntensors = 1 if self.is_tensor else len(start)
        for name, value in zip(self._names(), [start] if self.is_tensor else start, strict=True):
            value = paddle.assign(value)
            if trained:
                self.register_parameter(name, Parameter(value, not original.stop_gradient))
            else:
                self.register_buffer(name, value)

    def _names(self) -> list[str]:
        return ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Set the learnt tensors so that the functions give ``value``, where they can tell."""
        with paddle.no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse"
                    )
                value = module.right_inverse(value)
            for name, part in zip(self._names(), [value] if self.is_tensor else value, strict=True):
                paddle.assign(part, getattr(self, name))

    def forward(self) -> Tensor:
        modules = list(self)
        x = modules[0](*(getattr(self, name) for name in self._names()))
        for module in modules[1:]:
            x = module(x)
        return x


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Make ``module.<tensor_name>`` what ``parametrization`` gives for a learnt tensor.

    Raises: ValueError for no such tensor, or a result of another shape or dtype (not if unsafe).
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        steps = module.parametrizations[tensor_name]
        _check(parametrization(getattr(module, tensor_name)), getattr(module, tensor_name), unsafe)
        steps.append(parametrization)
        return module
    tensor = module._parameters.get(tensor_name)
    tensor = module._buffers.get(tensor_name) if tensor is None else tensor
    if tensor is None:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'"
        )
    steps = ParametrizationList([parametrization], tensor, unsafe)
    with paddle.no_grad():
        _check(steps(), tensor, unsafe)
    module._parameters.pop(tensor_name, None)
    module._buffers.pop(tensor_name, None)
    if not is_parametrized(module):
        _own_class(module)
        module.parametrizations = ModuleDict()
    setattr(type(module), tensor_name, property(_getter(tensor_name), _setter(tensor_name)))
    module.parametrizations[tensor_name] = steps
    return module


def _check(made: Tensor, tensor: Tensor, unsafe: bool) -> None:
    if unsafe:
        return
    if made.dtype is not tensor.dtype or list(made.shape) != list(tensor.shape):
        raise ValueError(
            "Registering a parametrization may not change the shape or dtype of the tensor, unless "
            f"unsafe=True: {list(tensor.shape)} {tensor.dtype} became {list(made.shape)} "
            f"{made.dtype}"
        )


def _own_class(module: Module) -> None:
    """A class for this module alone, which can have properties."""
    parent = type(module)

    def __deepcopy__(self: Module, memo: dict) -> Module:
        twin = self.__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def __reduce_ex__(self: Module, protocol: Any) -> Any:
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict()."
        )

    def __setattr__(self: Module, name: str, value: Any) -> None:
        if isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)  # Paddle would keep it as a buffer as well
        else:
            parent.__setattr__(self, name, value)

    body = {"__deepcopy__": __deepcopy__, "__reduce_ex__": __reduce_ex__}
    body["__setattr__"] = __setattr__
    module.__class__ = type(f"Parametrized{parent.__name__}", (parent,), body)


def _getter(name: str) -> Any:
    def get(self: Module) -> Tensor:
        steps = self.parametrizations[name]
        if not _depth:
            return steps()
        key = (id(self), name)
        if key not in _cached:
            _cached[key] = steps()
        return _cached[key]

    return get


def _setter(name: str) -> Any:
    def put(self: Module, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return put


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module, or that tensor of it, is parametrized."""
    steps = module._sub_layers.get("parametrizations")
    if not isinstance(steps, ModuleDict):
        return False
    return len(steps) > 0 if tensor_name is None else tensor_name in steps


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make the tensor an own one again: with its present value, or (not left so) the learnt one."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    steps = module.parametrizations[tensor_name]
    if not leave_parametrized and not steps.is_tensor:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    trained = bool(steps._parameters)
    if steps.is_tensor:  # the learnt tensor stays the one that optimizers know
        value = steps.original
        if leave_parametrized:
            with paddle.no_grad():
                getattr(module, tensor_name).detach()._share_buffer_to(value)
    else:
        value = getattr(module, tensor_name).detach()
        value = Parameter(value) if trained else value
    if tensor_name in vars(type(module)):  # a deep copy shares the class
        delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    if trained:
        module.register_parameter(tensor_name, value)
    else:
        module.register_buffer(tensor_name, value)
    if not is_parametrized(module):
        del module._sub_layers["parametrizations"]
        module.__class__ = type(module).__mro__[1]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that the module was built as."""
    return type(module).__mro__[1] if is_parametrized(module) else type(module)


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Compute each parametrized tensor once within the block."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            _cached.clear()
