"""Containers of modules and parameters."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import paddle

from hfpaddle.torch.nn.modules.module import Kin, Module
from hfpaddle.torch.nn.parameter import Parameter

__all__ = [
    "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential",
]  # fmt: skip


def _position(index: Any, length: int) -> int:
    index = operator.index(index)
    if not -length <= index < length:
        raise IndexError(f"index {index} is out of range")
    return index % length


class _Numbered(Module):
    """Children named 0, 1, 2 ..."""

    def _refill(self, modules: Iterable[Module]) -> None:
        children = list(modules)
        for name in list(self._sub_layers):
            del self._sub_layers[name]
        for number, module in enumerate(children):
            self.add_sublayer(str(number), module)

    def __len__(self) -> int:
        return len(self._sub_layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._sub_layers.values())

    def _name(self, index: Any) -> str:
        return list(self._sub_layers)[_position(index, len(self))]

    def __setitem__(self, index: Any, module: Module) -> None:
        self._sub_layers[self._name(index)] = module

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def append(self, module: Module) -> Any:
        """Add at the end."""
        self.add_sublayer(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add each at the end."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Put before ``index``."""
        children = list(self)
        children.insert(index, module)
        self._refill(children)
        return self

    def pop(self, key: Any = -1) -> Module:
        """Take out and return."""
        module = self[key]
        del self[key]
        return module

    def __iadd__(self, other: Iterable[Module]) -> Any:
        return self.extend(other)


class Sequential(_Numbered, metaclass=Kin):
    """Call the modules one after another; takes modules, or an OrderedDict of them."""

    kin = (paddle.nn.Sequential,)

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_sublayer(name, module)
        else:
            self.extend(args)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._sub_layers.items())[index]))
        return self._sub_layers[self._name(index)]

    def __delitem__(self, index: Any) -> None:
        names = list(self._sub_layers)
        gone = names[index] if isinstance(index, slice) else [self._name(index)]
        for name in gone:
            del self._sub_layers[name]
        self._refill(self)

    def __add__(self, other: Iterable[Module]) -> Sequential:
        return Sequential(*self, *other)

    def forward(self, input):
        for module in self:
            input = module(input)
        return input


class ModuleList(_Numbered, metaclass=Kin):
    """A list of modules."""

    kin = (paddle.nn.LayerList,)

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._sub_layers[str(_position(index, len(self)))]

    def __repr__(self) -> str:
        """Neighbours that look alike share a line, as in torch."""
        shown: list[list[Any]] = []
        for name, child in self._sub_layers.items():
            text = repr(child).replace("\n", "\n  ")
            if shown and shown[-1][2] == text:
                shown[-1][1] = name
            else:
                shown.append([name, name, text])
        if not shown:
            return f"{type(self).__name__}()"
        lines = [
            f"  ({first}): {text}" if first == last else
            f"  ({first}-{last}): {int(last) - int(first) + 1} x {text}"
            for first, last, text in shown
        ]  # fmt: skip
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])

    def __delitem__(self, index: Any) -> None:
        children = list(self)
        del children[index]
        self._refill(children)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList(chain(self, other))


class ModuleDict(Module, metaclass=Kin):
    """A dictionary of modules."""

    kin = (paddle.nn.LayerDict,)

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._sub_layers[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_sublayer(key, module)

    def __delitem__(self, key: str) -> None:
        del self._sub_layers[key]

    def __len__(self) -> int:
        return len(self._sub_layers)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sub_layers)

    def __contains__(self, key: str) -> bool:
        return key in self._sub_layers

    def clear(self) -> None:
        """Remove all."""
        self._sub_layers.clear()

    def pop(self, key: str) -> Module:
        """Take out and return."""
        return self._sub_layers.pop(key)

    def keys(self) -> Iterable[str]:
        """Names."""
        return self._sub_layers.keys()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Names and modules."""
        return self._sub_layers.items()

    def values(self) -> Iterable[Module]:
        """Modules."""
        return self._sub_layers.values()

    def update(self, modules: Any) -> None:
        """Add each of a mapping or of (name, module) pairs."""
        pairs = modules.items() if hasattr(modules, "items") else modules
        for key, module in pairs:
            self[key] = module


def _as_parameter(value: Any) -> Any:
    if isinstance(value, paddle.Tensor) and not isinstance(value, Parameter):
        return Parameter(value)
    return value


class ParameterList(Module):
    """A list of parameters; tensors become parameters."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._parameters[str(_position(index, len(self)))]

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, str(_position(index, len(self))), _as_parameter(value))

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())

    def append(self, value: Any) -> ParameterList:
        """Add at the end."""
        setattr(self, str(len(self)), _as_parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add each at the end."""
        for value in values:
            self.append(value)
        return self

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)


class ParameterDict(Module):
    """A dictionary of parameters; tensors become parameters."""

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        return self._parameters[key]

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, key, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._parameters[key]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, key: str) -> bool:
        return key in self._parameters

    def keys(self) -> Iterable[str]:
        """Names."""
        return self._parameters.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and parameters."""
        return self._parameters.items()

    def values(self) -> Iterable[Any]:
        """Parameters."""
        return self._parameters.values()

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter, or ``default``."""
        return self[key] if key in self else default

    def pop(self, key: str) -> Any:
        """Take out and return."""
        return self._parameters.pop(key)

    def update(self, parameters: Any) -> None:
        """Add each of a mapping or of (name, parameter) pairs."""
        pairs = parameters.items() if hasattr(parameters, "items") else parameters
        for key, value in pairs:
            self[key] = value
