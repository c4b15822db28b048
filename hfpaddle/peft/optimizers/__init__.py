"""Optimizers made for adapters."""

from __future__ import annotations

from typing import Any

from hfpaddle.peft.optimizers.loraplus import create_loraplus_optimizer

__all__ = ["create_loraplus_optimizer"]
_UPSTREAM = ("create_lorafa_optimizer", "create_riemannian_optimizer")


def __getattr__(name: str) -> Any:
    from hfpaddle.core.stand_in import stand_in

    if name not in _UPSTREAM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    message = f"peft.optimizers.{name} has no implementation in hfpaddle. Nearest: {__all__[0]}."
    return stand_in(name, __name__, message)
