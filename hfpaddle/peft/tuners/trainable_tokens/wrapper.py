"""Trained rows of an embedding beside another method's adapter (``trainable_token_indices``)."""

from __future__ import annotations

import warnings
from typing import Any

from paddle import nn

from hfpaddle.peft.tuners.trainable_tokens.layer import TrainableTokensLayer
from hfpaddle.peft.utils.other import _get_input_embeddings_name, _set_trainable
from hfpaddle.peft.utils.wrappers import AuxiliaryTrainingWrapper


class TrainableTokensWrapper(AuxiliaryTrainingWrapper):
    """An embedding, or the head tied to it, with trained rows."""

    adapter_layer_names = ("token_adapter.trainable_tokens_delta",)
    other_param_names = ("token_adapter.token_indices", "token_adapter.trainable_tokens_original")
    what = "trainable_token_indices"
    has_status = False

    @property
    def original_module(self) -> Any:
        """The wrapped module; the token adapter holds it, so that its tensors are saved once."""
        return self.token_adapter.get_base_layer()

    def init_modules(self, module: nn.Layer, adapter_name: str, **kwargs: Any) -> None:
        self.token_adapter = TrainableTokensLayer(module, adapter_name, kwargs.get("tied"))

    def update(self, adapter_name: str, **kwargs: Any) -> None:
        if adapter_name not in self._adapters:
            self.token_adapter.update_layer(adapter_name, kwargs["token_indices"])
        super().update(adapter_name)

    def __getattr__(self, name: str) -> Any:
        if name == "weight" and "_sub_layers" in self.__dict__:
            return self.token_adapter.get_merged_weights(self.token_adapter.active_adapters)
        return super().__getattr__(name)

    def _forward_wrapped(self, *args: Any, **kwargs: Any) -> Any:
        return self.token_adapter(*args, **kwargs)

    _forward_passthrough = _forward_wrapped  # it knows of disabled adapters itself

    def _forward_one(self, x: Any, adapter: str, *args: Any, **kwargs: Any) -> Any:
        return self.token_adapter.forward_adapters(x, [adapter])

    def enable_adapters(self, enabled: bool) -> None:
        super().enable_adapters(enabled)
        self.token_adapter.enable_adapters(enabled)

    def set_adapter(self, adapter_names: str | list[str], inference_mode: bool = False) -> None:
        super().set_adapter(adapter_names, inference_mode)
        self.token_adapter.set_adapter(adapter_names, inference_mode)

    def delete_adapter(self, adapter_name: str, new_active_adapters: list[str] | None) -> None:
        self._check_new_active(new_active_adapters)
        self.token_adapter.delete_adapter(adapter_name)
        self._adapters.discard(adapter_name)
        new = new_active_adapters[0] if new_active_adapters else None
        if new is not None and new in self.token_adapter.trainable_tokens_delta:
            self.set_adapter(new)
        else:
            self._active_adapter = []

    def adapter_state_dict_load_map(self, adapter_name: str) -> dict[str, str]:
        if self.token_adapter.tied_adapter is not None or adapter_name not in self._adapters:
            return {}
        name = "token_adapter.trainable_tokens_delta"
        return {name: f"{name}.{adapter_name}"}

    def unload_and_optionally_merge_module(
        self, merge: bool, safe_merge: bool, adapter_names: list[str] | None
    ) -> nn.Layer:
        if merge:
            self.token_adapter.merge(safe_merge=safe_merge, adapter_names=adapter_names)
        return self.token_adapter.get_base_layer()

    def _get_available_adapters(self) -> set[str]:
        return set(self.token_adapter.trainable_tokens_delta.keys())


def set_trainable_tokens(
    model: Any, peft_config: Any, adapter_name: str, heads: list[str], activate: bool
) -> None:
    """Train the rows that ``trainable_token_indices`` names.

    Args:
        heads: names of the modules whose weight is the input embedding's; they follow it unless
            the config gives them rows of their own.
    Raises: ValueError if a module is trained in full as well, is not there, or has other rows than
    the one that it must be tied to.
    """
    wanted = peft_config.trainable_token_indices
    if not isinstance(wanted, dict):
        wanted = {_get_input_embeddings_name(model, "embed_tokens"): wanted}
    for name in set(wanted) & set(peft_config.modules_to_save or ()):
        raise ValueError(
            "The embedding layer is already marked to be trained fully, either specify "
            f"`modules_to_save=[..., \"{name}\", ...]` or `trainable_tokens={{'{name}': x}}` but "
            "not both."
        )
    table = _get_input_embeddings_name(model) or ""
    shared = [n for n in wanted if table.endswith(n) or any(h.endswith(n) for h in heads)]
    differ = bool(heads) and any(wanted[n] != wanted[shared[0]] for n in shared[1:])
    tied = bool(getattr(peft_config, "ensure_weight_tying", False))
    if differ and tied:
        raise ValueError(
            "Cannot ensure weight tying when different token indices are specified for tied "
            "layers. Please use the same indices or set ensure_weight_tying=False."
        )
    if tied and not heads:
        warnings.warn(
            "ensure_weight_tying=True but the model does not have tied weights. Weight tying will "
            "not be applied for trainable_token_indices.",
            stacklevel=5,
        )
    common: dict[str, Any] = {
        "strict_module_check": True,
        "wrapper_cls": TrainableTokensWrapper,
        "inference_mode": peft_config.inference_mode,
    }
    for name, indices in wanted.items():
        follows = not differ and name in shared and not table.endswith(name)
        if not (heads and follows):
            _set_trainable(
                model, adapter_name, [name], token_indices=indices, activate_adapter=activate,
                **common,
            )  # fmt: skip
    embedding = getattr(model, "get_input_embeddings", lambda: None)()
    if heads and isinstance(embedding, TrainableTokensWrapper) and not differ:
        adapter = embedding.token_adapter
        indices = adapter.token_indices[adapter_name]
        _set_trainable(model, adapter_name, heads, token_indices=indices, tied=adapter, **common)
