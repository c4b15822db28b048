"""What models return: a dataclass that is also an ordered dict and can be indexed as a tuple."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Any


class ModelOutput(OrderedDict):
    """Base of every model result, with the original library's access rules.

    ``out.logits``, ``out["logits"]`` and ``out[0]`` reach the same value. Fields that are None are
    skipped by iteration, ``keys()``, ``to_tuple()`` and integer indexing. Subclasses are
    dataclasses whose fields after the first default to None.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is not None:
                OrderedDict.__setitem__(self, field.name, value)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return OrderedDict.__getitem__(self, key)
        return self.to_tuple()[key]

    def __setattr__(self, name: str, value: Any) -> None:
        if value is not None and name in self.keys():
            OrderedDict.__setitem__(self, name, value)
        super().__setattr__(name, value)

    def __setitem__(self, key: str, value: Any) -> None:
        OrderedDict.__setitem__(self, key, value)
        super().__setattr__(key, value)

    def __delitem__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(f"{type(self).__name__} does not allow deleting fields.")

    def setdefault(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(f"{type(self).__name__} does not allow setdefault.")

    def pop(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(f"{type(self).__name__} does not allow pop.")

    def update(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(f"{type(self).__name__} does not allow update.")

    def __reduce__(self) -> tuple:
        args = tuple(getattr(self, field.name) for field in dataclasses.fields(self))  # type: ignore[arg-type]
        return type(self), args

    def to_tuple(self) -> tuple:
        """Return the values that are not None, in field order."""
        return tuple(self[key] for key in self.keys())
