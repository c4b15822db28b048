"""Trainable tokens in a model: the embedding, and the head that shares its weight."""

from __future__ import annotations

from typing import Any

from paddle import nn

from hfpaddle.peft.tuners.trainable_tokens.layer import TrainableTokensLayer
from hfpaddle.peft.tuners.tuners_utils import BaseTuner, get_submodules, tied_names


class TrainableTokensModel(BaseTuner):
    """A model some rows of whose embedding are trained."""

    prefix = "trainable_tokens_"
    tuner_layer_cls = TrainableTokensLayer

    def _prepare_adapter_config(self, peft_config: Any, config: dict[str, Any]) -> Any:
        if peft_config.target_modules is None:
            from hfpaddle.peft.utils.other import _get_input_embeddings_name

            name = _get_input_embeddings_name(self.model, "embed_tokens")
            peft_config.target_modules = name
        return peft_config

    def _check_tied_modules(self, model: nn.Layer, peft_config: Any) -> None:
        """Tied heads follow the embedding: nothing to warn of."""
        self._heads = tied_names(model)

    def inject_adapter(self, model: nn.Layer, adapter_name: str, **kwargs: Any) -> None:
        super().inject_adapter(model, adapter_name, **kwargs)
        table = getattr(model, "get_input_embeddings", lambda: None)()
        if isinstance(table, TrainableTokensLayer):
            for name in self._heads:
                self._tie(model, name, adapter_name, table)

    def _tie(
        self, model: nn.Layer, name: str, adapter_name: str, table: TrainableTokensLayer
    ) -> None:
        parent, target, last = get_submodules(model, name)
        if isinstance(target, TrainableTokensLayer):
            target = target.base_layer
        setattr(parent, last, TrainableTokensLayer(target, adapter_name, table))

    def _create_and_replace(
        self, peft_config: Any, adapter_name: str, target: nn.Layer, target_name: str,
        parent: nn.Layer, current_key: str,
    ) -> None:  # fmt: skip
        layer = target
        if not isinstance(target, TrainableTokensLayer):
            layer = TrainableTokensLayer(target, adapter_name)
            self._replace_module(parent, target_name, layer, target)
        layer.update_layer(adapter_name, peft_config.token_indices, peft_config.init_weights)
