"""Conveniences around PeftModel."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import update_wrapper
from types import MethodType
from typing import Any

from paddle import nn

from hfpaddle.peft.config import PeftConfig
from hfpaddle.peft.tuners.lora.layer import LoraLayer
from hfpaddle.peft.tuners.tuners_utils import BaseTunerLayer


def update_signature(model: Any, method: str = "all") -> None:
    """Show the base model's signature on ``forward``, ``generate`` or both.

    Raises: ValueError for another method.
    """
    if method not in ("forward", "generate", "all"):
        raise ValueError(
            f"method {method} is not supported please choose one of ['forward', 'generate', 'all']"
        )
    for name in ("forward", "generate") if method == "all" else (method,):
        own = getattr(type(model), name)
        base = getattr(type(model.get_base_model()), name, None)
        if base is None:
            continue

        def shown(self: Any, *args: Any, _own: Any = own, **kwargs: Any) -> Any:
            return _own(self, *args, **kwargs)

        update_wrapper(shown, base)
        setattr(model, name, MethodType(shown, model))


def update_forward_signature(model: Any) -> None:
    """Show the base model's signature on ``forward``."""
    update_signature(model, "forward")


def update_generate_signature(model: Any) -> None:
    """Show the base model's signature on ``generate``, if it generates."""
    if hasattr(model, "generate"):
        update_signature(model, "generate")


def check_if_peft_model(model_name_or_path: str) -> bool:
    """Whether a folder or Hub id holds an adapter."""
    try:
        PeftConfig.from_pretrained(model_name_or_path)
    except Exception:  # whatever is wrong with it, it is no adapter
        return False
    return True


@contextlib.contextmanager
def rescale_adapter_scale(model: nn.Layer, multiplier: float) -> Iterator[None]:
    """Within it, the scaling of every LoRA layer is multiplied.

    Raises: TypeError for no number, ValueError for a model without LoRA layers.
    """
    if not isinstance(multiplier, (float, int)):
        raise TypeError(f"Argument multiplier should be of type float, got {type(multiplier)}")
    layers = [m for m in model.sublayers(include_self=True) if isinstance(m, LoraLayer)]
    if not layers:
        raise ValueError("scaling is only supported for models with `LoraLayer`s")
    before = [layer.scaling for layer in layers]
    for layer in layers:
        layer.scaling = {name: value * multiplier for name, value in layer.scaling.items()}
    try:
        yield
    finally:
        for layer, scaling in zip(layers, before, strict=True):
            layer.scaling = scaling


@contextlib.contextmanager
def disable_input_dtype_casting(model: nn.Layer, active: bool = True) -> Iterator[None]:
    """Within it, adapter layers take their input in the dtype it has."""
    layers = [m for m in model.sublayers(include_self=True) if isinstance(m, BaseTunerLayer)]
    before = [layer.cast_input_dtype_enabled for layer in layers]
    try:
        for layer in layers:
            layer.cast_input_dtype_enabled = layer.cast_input_dtype_enabled and not active
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.cast_input_dtype_enabled = value
