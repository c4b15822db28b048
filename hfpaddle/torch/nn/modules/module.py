"""``torch.nn.Module`` is Paddle's ``Layer``, so that every model here is one."""

from __future__ import annotations

from typing import Any, NamedTuple

import paddle

__all__ = ["Module"]

Module = paddle.nn.Layer


class _IncompatibleKeys(NamedTuple):
    """What ``load_state_dict`` found wanting and left over."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )

    __str__ = __repr__


class Kin(type):
    """Metaclass: a class counts hfpaddle's (or Paddle's) class of the same meaning as its own.

    So ``isinstance(model.lm_head, torch.nn.Linear)`` holds for the models of this package.
    """

    kin: tuple[type, ...]

    def __instancecheck__(cls, instance: Any) -> bool:
        return super().__instancecheck__(instance) or isinstance(instance, cls._own_kin())

    def __subclasscheck__(cls, subclass: type) -> bool:
        return super().__subclasscheck__(subclass) or issubclass(subclass, cls._own_kin())

    def _own_kin(cls) -> tuple[type, ...]:
        return cls.__dict__.get("kin", ())  # not inherited: a user's subclass is its own
