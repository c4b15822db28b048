"""The tensors of the base model below adapters, under the names that it has without them."""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.core.errors import WeightMismatchError
from hfpaddle.peft.tuners.tuners_utils import BaseTunerLayer, adapter_keys, under
from hfpaddle.peft.utils.arrays import write
from hfpaddle.peft.utils.save_and_load import IncompatibleKeys
from hfpaddle.peft.utils.wrappers import AuxiliaryTrainingWrapper


def _plain_names(model: Any) -> dict[str, str]:
    """Name without adapters -> name in the base model as it is, of each of its tensors."""
    base = model.get_base_model()
    own = adapter_keys(base)
    infixes: list[str] = []
    for name, layer in base.named_sublayers(include_self=True):
        if isinstance(layer, AuxiliaryTrainingWrapper):
            own |= {f"{name}.modules_to_save", f"{name}.token_adapter.trainable_tokens_delta"}
            own.add(f"{name}.token_adapter.trainable_tokens_original")
            infixes += [f"{name}.original_module", f"{name}.token_adapter.base_layer"]
        elif isinstance(layer, BaseTunerLayer):
            infixes.append(f"{name}.base_layer")
    infixes.sort(key=len, reverse=True)  # inner ones first
    names = {}
    for key in base.state_dict():
        if under(key, own):
            continue
        plain = key
        for infix in infixes:
            if plain.startswith(f"{infix}."):
                plain = (
                    infix.rpartition(".")[0].removesuffix(".token_adapter") + plain[len(infix) :]
                )
        names[plain] = key
    return names


def get_base_model_state_dict(model: Any) -> dict[str, paddle.Tensor]:
    """Return the base model's tensors under their names without adapters."""
    base = model.get_base_model()
    tensors = dict(base.state_dict())
    if model._is_prompt_learning:
        return tensors
    return {plain: tensors[key] for plain, key in _plain_names(model).items()}


def set_base_model_state_dict(
    model: Any, state_dict: dict[str, paddle.Tensor], strict: bool = True
) -> IncompatibleKeys:
    """Put tensors, named as without adapters, into the base model.

    Returns: names that are missing and unexpected. Raises: WeightMismatchError for any of these if
    ``strict``; nothing is copied then.
    """
    base = model.get_base_model()
    if model._is_prompt_learning:
        return base.load_state_dict(state_dict, strict=strict)
    names, targets = _plain_names(model), base.state_dict()
    missing = [name for name in names if name not in state_dict]
    unexpected = [name for name in state_dict if name not in names]
    if strict and missing + unexpected:
        raise WeightMismatchError(
            f"Error(s) in loading state_dict: missing {missing}, unexpected {unexpected}"
        )
    for name, value in state_dict.items():
        if name in names:
            write(targets[names[name]], value)
    return IncompatibleKeys(missing, unexpected)
