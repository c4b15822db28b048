"""What state each adapter layer of a model is in."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import paddle

from hfpaddle import backends
from hfpaddle.peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from hfpaddle.peft.utils.arrays import BufferDict
from hfpaddle.peft.utils.wrappers import AuxiliaryTrainingWrapper

IRREGULAR = "irregular"


@dataclass
class TunerLayerStatus:
    """State of one adapter layer. ``requires_grad`` and ``devices`` are by adapter name."""

    name: str
    module_type: str
    enabled: bool
    active_adapters: list[str]
    merged_adapters: list[str]
    requires_grad: dict[str, Any]
    available_adapters: list[str]
    devices: dict[str, list[str]]
    quantization_backend: str | None


@dataclass
class TunerModelStatus:
    """State of a model; what differs between its layers is "irregular"."""

    base_model_type: str
    adapter_model_type: str
    peft_types: dict[str, str]
    trainable_params: int
    total_params: int
    num_adapter_layers: int
    enabled: Any
    active_adapters: Any
    merged_adapters: Any
    requires_grad: dict[str, Any]
    available_adapters: list[str]
    devices: dict[str, list[str]]
    quantization_backend: Any


def count_parameters(model: Any) -> tuple[int, int]:
    """(trainable values, all values)."""
    parameters = list(model.parameters())
    return (
        sum(int(p.size) for p in parameters if not p.stop_gradient),
        sum(int(p.size) for p in parameters),
    )


def _agreed(values: list[Any]) -> Any:
    if all(value is True for value in values):
        return True
    return False if all(value is False for value in values) else IRREGULAR


def _tensors(layer: Any, names: tuple[str, ...], buffers: bool) -> dict[str, list[paddle.Tensor]]:
    """Tensors of each adapter in the holders called ``names``."""
    found: dict[str, list[paddle.Tensor]] = defaultdict(list)
    for name in names:
        holder = getattr(layer, name)
        if not isinstance(holder, paddle.nn.Layer) or not hasattr(holder, "items"):
            continue
        if isinstance(holder, BufferDict) and not buffers:
            continue
        for key, item in holder.items():
            found[key] += [item] if isinstance(item, paddle.Tensor) else item.parameters()
    return found


def _layer_status(name: str, layer: Any) -> TunerLayerStatus:
    trained = _tensors(layer, layer.adapter_layer_names, False)
    held = _tensors(layer, layer.adapter_layer_names + layer.other_param_names, True)
    return TunerLayerStatus(
        name=name,
        module_type=repr(layer).partition("(")[0],
        enabled=not layer.disable_adapters,
        active_adapters=layer.active_adapters,
        merged_adapters=layer.merged_adapters,
        requires_grad={k: _agreed([not t.stop_gradient for t in v]) for k, v in trained.items()},
        available_adapters=sorted(layer._get_available_adapters()),
        devices={
            key: sorted({backends.device_object(t.place).type for t in tensors})
            for key, tensors in held.items()
        },
        quantization_backend=None,
    )


def get_layer_status(model: Any) -> list[TunerLayerStatus]:
    """State of each adapter layer, in the model's order.

    Raises: TypeError for prompt learning; ValueError if there are no adapter layers.
    """
    from hfpaddle.peft.peft_model import PeftModel

    base = model.base_model if isinstance(model, PeftModel) else model
    if isinstance(model, PeftModel) and not isinstance(base, BaseTuner):
        raise TypeError(
            "get_layer_status() got an invalid PeftModel instance; prefix tuning and adaption "
            "prompt are not supported."
        )
    found = [
        _layer_status(name, layer)
        for name, layer in base.named_sublayers(include_self=True)
        if isinstance(layer, (BaseTunerLayer, AuxiliaryTrainingWrapper))
        and getattr(layer, "has_status", True)
    ]
    if not found:
        raise ValueError(
            "No adapter layers found in the model, please ensure that it's a PEFT model or that "
            "you have PEFT adapters injected in the model."
        )
    return found


def get_model_status(model: Any) -> TunerModelStatus:
    """State of the whole model. Raises as `get_layer_status`."""
    from hfpaddle.modeling.base import PreTrainedModel
    from hfpaddle.peft.peft_model import PeftModel

    base_type, adapter_type, peft_types = "other", "None", {}
    statuses = get_layer_status(model)
    if isinstance(model, PeftModel):
        base_type = type(model.get_base_model()).__name__
        adapter_type = type(model.base_model).__name__
        peft_types = {
            key: str(getattr(config.peft_type, "value", config.peft_type))
            for key, config in model.peft_config.items()
        }
    elif isinstance(model, PreTrainedModel):
        base_type = type(model).__name__
    trainable, total = count_parameters(model)
    active = {tuple(status.active_adapters) for status in statuses}
    merged = {name for status in statuses for name in status.merged_adapters}
    partly = any(
        (set(status.available_adapters) - set(status.merged_adapters)) & merged
        for status in statuses
    )
    grads: dict[str, list] = defaultdict(list)
    devices: dict[str, set] = defaultdict(set)
    for status in statuses:
        for key, value in status.requires_grad.items():
            grads[key].append(value)
        for key, value in status.devices.items():
            devices[key] |= set(value)
    return TunerModelStatus(
        base_model_type=base_type,
        adapter_model_type=adapter_type,
        peft_types=peft_types,
        trainable_params=trainable,
        total_params=total,
        num_adapter_layers=len(statuses),
        enabled=_agreed([status.enabled for status in statuses]),
        active_adapters=list(active.pop()) if len(active) == 1 else IRREGULAR,
        merged_adapters=IRREGULAR if partly else sorted(merged),
        requires_grad={key: _agreed(values) for key, values in grads.items()},
        available_adapters=sorted({n for s in statuses for n in s.available_adapters}),
        devices={key: sorted(value) for key, value in devices.items()},
        quantization_backend=None,
    )
