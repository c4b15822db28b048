"""AdaLoRA in a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddle import nn

from hfpaddle.peft.tuners.adalora.layer import AdaLoraLayer, RankAllocator
from hfpaddle.peft.tuners.lora.replicate import replicate_layers
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import write
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_ADALORA_TARGET_MODULES_MAPPING
from hfpaddle.peft.utils.other import _freeze_adapter

_FACTORS = ("lora_E", "lora_A", "lora_B")


class AdaLoraModel(SimpleTuner):
    """A model with AdaLoRA adapters in it; one of them is trained.

    Call `update_and_allocate` after each backward pass, before gradients are cleared.
    """

    prefix = "lora_"
    tuner_layer_cls = AdaLoraLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_ADALORA_TARGET_MODULES_MAPPING

    def __init__(self, model: nn.Layer, peft_config: Any, adapter_name: str, **kwargs: Any) -> None:
        super().__init__(model, peft_config, adapter_name, **kwargs)
        self.trainable_adapter_name: str | None = None
        if self.peft_config[adapter_name].inference_mode:
            _freeze_adapter(self.model, adapter_name)
        else:
            self.trainable_adapter_name = adapter_name
            self.rankallocator = RankAllocator(
                self.model, self.peft_config[adapter_name], adapter_name
            )

    def _prepare_model(self, peft_config: Any, model: nn.Layer) -> None:
        if peft_config.layer_replication:
            replicate_layers(model, peft_config.layer_replication)

    @classmethod
    def supports(cls, base: Any) -> bool:
        return (
            super().supports(base) or layers.is_conv1d_linear(base) or layers.conv_dims(base) == 2
        )

    def sizes(self, config: Any, key: str) -> dict[str, Any]:
        return {"r": config.init_r}

    def _check_new_adapter_config(self, config: Any) -> None:
        super()._check_new_adapter_config(config)
        config.refuse_unsupported()
        if sum(not other.inference_mode for other in self.peft_config.values()) > 1:
            raise ValueError(
                f"{type(self).__name__} supports only 1 trainable adapter. When using multiple "
                "adapters, set inference_mode to True for all adapters except the one you want to "
                "train."
            )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model; a loss in its result gets the orthogonal loss of the factors."""
        outputs = self.model(*args, **kwargs)
        name = self.trainable_adapter_name
        if name is None or not isinstance(getattr(outputs, "loss", None), paddle.Tensor):
            return outputs
        terms = []
        for key, param in self.model.named_parameters():
            if ("lora_A" in key or "lora_B" in key) and name in key:
                product = param @ param.T if "lora_A" in key else param.T @ param
                rest = product - paddle.eye(product.shape[0], dtype=product.dtype)
                terms.append(paddle.sqrt((rest * rest).sum()))
        if terms:
            weight = self.peft_config[name].orth_reg_weight
            outputs.loss = outputs.loss + weight * (sum(terms) / len(terms))
        return outputs

    def update_and_allocate(self, global_step: int) -> None:
        """Observe gradients and prune singular values as the config's schedule says."""
        config = self.peft_config[self.trainable_adapter_name]
        last = config.total_step - config.tfinal
        if global_step < last:
            _, pattern = self.rankallocator.update_and_allocate(self.model, global_step)
            if pattern:
                config.rank_pattern = pattern
        elif global_step == last:
            _, pattern = self.rankallocator.update_and_allocate(self.model, global_step, True)
            config.rank_pattern = pattern
            self.rankallocator.reset_ipt()
        else:
            self.rankallocator.mask_using_rank_pattern(self.model, config.rank_pattern)

    def add_weighted_adapter(self, *_: Any, **__: Any) -> None:
        raise TypeError(f"{type(self).__name__} does not support add_weighted_adapter method.")

    # State dicts: pruned singular values and their vectors are left out of files.

    def resize_modules_by_rank_pattern(
        self, rank_pattern: dict[str, Any], adapter_name: str
    ) -> None:
        """Give each layer the rank that is left, with the values that it has there."""
        config = self.peft_config[adapter_name]
        for name, kept in rank_pattern.items():
            key = name.removesuffix(f".{adapter_name}").removesuffix(".lora_E")
            layer: Any = self.model.get_submodule(key)
            rows = np.flatnonzero(np.asarray(kept))
            if len(kept) != layer.r[adapter_name]:
                continue
            old = {f: getattr(layer, f)[adapter_name].numpy() for f in _FACTORS}
            count = layer.ranknum[adapter_name].numpy()
            layer.update_layer(adapter_name, config, r=len(rows))
            for factor, value in old.items():
                cut = value[:, rows] if factor == "lora_B" else value[rows]
                write(getattr(layer, factor)[adapter_name], cut)
            write(layer.ranknum[adapter_name], count)

    def resize_state_dict_by_rank_pattern(
        self, rank_pattern: dict[str, Any], state_dict: dict[str, Any], adapter_name: str
    ) -> dict[str, Any]:
        """Cut the tensors of an adapter to what is left."""
        for name, kept in rank_pattern.items():
            key = name.removesuffix(f".{adapter_name}").removesuffix(".lora_E")
            rows = np.flatnonzero(np.asarray(kept))
            for factor in _FACTORS:
                full = f"base_model.model.{key}.{factor}.{adapter_name}"
                value = state_dict[full]
                axis = 1 if factor == "lora_B" else 0
                if value.shape[axis] != len(rows):
                    index = paddle.to_tensor(rows, dtype="int64", place=value.place)
                    state_dict[full] = paddle.index_select(value.detach(), index, axis=axis)
        return state_dict

    @classmethod
    def _get_adapter_state_dict(
        cls, model: Any, config: Any, adapter_name: str, state_dict: dict[str, Any]
    ) -> dict[str, Any]:
        kept = super()._get_adapter_state_dict(model, config, adapter_name, state_dict)
        kept = {k: v for k, v in kept.items() if not k.endswith(f".ranknum.{adapter_name}")}
        if config.rank_pattern is None:
            return kept
        pattern = {k.replace(f".{adapter_name}", ""): v for k, v in config.rank_pattern.items()}
        config.rank_pattern = pattern
        return model.resize_state_dict_by_rank_pattern(pattern, kept, adapter_name)

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: Any, config: Any, adapter_name: str, state_dict: dict[str, Any]
    ) -> dict[str, Any]:
        remapped = super()._remap_adapter_state_dict_for_load(
            model, config, adapter_name, state_dict
        )
        if config.rank_pattern is not None:
            model.resize_modules_by_rank_pattern(config.rank_pattern, adapter_name)
        return remapped
