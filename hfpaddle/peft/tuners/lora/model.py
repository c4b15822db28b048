"""LoRA in a model: which layers get it, batches of several adapters, and sums of adapters."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import paddle
from paddle import nn

from hfpaddle.peft.tuners.lora.layer import LoraLayer, dispatch_default
from hfpaddle.peft.tuners.lora.replicate import replicate_layers
from hfpaddle.peft.tuners.lora.weighted import WeightedAdapters
from hfpaddle.peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer, get_pattern_key
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from hfpaddle.peft.utils.wrappers import AuxiliaryTrainingWrapper


class LoraModel(WeightedAdapters, BaseTuner):
    """A model with LoRA adapters in it (arXiv:2106.09685)."""

    prefix = "lora_"
    tuner_layer_cls = LoraLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    def _check_new_adapter_config(self, config: Any) -> None:
        super()._check_new_adapter_config(config)
        config.refuse_unsupported()

    def _prepare_model(self, peft_config: Any, model: nn.Layer) -> None:
        if getattr(peft_config, "layer_replication", None):
            replicate_layers(model, peft_config.layer_replication)

    def _create_and_replace(
        self, peft_config: Any, adapter_name: str, target: nn.Layer, target_name: str,
        parent: nn.Layer, current_key: str,
    ) -> None:  # fmt: skip
        ranks, alphas = peft_config.rank_pattern or {}, peft_config.alpha_pattern or {}
        r = ranks.get(get_pattern_key(ranks, current_key), peft_config.r)
        alpha = alphas.get(get_pattern_key(alphas, current_key), peft_config.lora_alpha)
        if isinstance(target, self.tuner_layer_cls):
            target.update_layer(adapter_name, r, lora_alpha=alpha, config=peft_config)
            return
        new = self._create_new_module(peft_config, adapter_name, target, r, alpha)
        if adapter_name not in self.active_adapters:
            for param in new.parameters():
                param.stop_gradient = True
        self._replace_module(parent, target_name, new, target)

    @staticmethod
    def _create_new_module(
        config: Any, adapter_name: str, target: nn.Layer, r: int, lora_alpha: float
    ) -> nn.Layer:
        base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        for kind, own in (getattr(config, "_custom_modules", None) or {}).items():
            if isinstance(base, kind):
                return own(target, adapter_name, config=config, r=r, lora_alpha=lora_alpha)
        new = dispatch_default(target, adapter_name, config, r, lora_alpha)
        if new is None:
            raise ValueError(
                f"Target module {target} is not supported. Currently, only linear layers "
                "(`torch.nn.Linear`, Conv1D), `torch.nn.Embedding` and `torch.nn.Conv1d/2d/3d` are."
            )
        return new

    # Batches of several adapters

    @contextlib.contextmanager
    def _enable_peft_forward_hooks(self, *_: Any, **kwargs: Any) -> Iterator[None]:
        """Within it, row ``i`` of a batch goes through adapter ``adapter_names[i]``.

        Raises: ValueError in training mode and for adapters that do not exist.
        """
        names = kwargs.get("adapter_names")
        if names is None:
            yield
            return
        if self.training:
            raise ValueError("Cannot pass `adapter_names` when the model is in training mode.")
        known = set()
        touched: list[Any] = []
        for layer in self.sublayers():
            if isinstance(layer, LoraLayer):
                known |= layer._get_available_adapters()
            if isinstance(layer, (LoraLayer, AuxiliaryTrainingWrapper)):
                touched.append(layer)
        missing = set(names) - known - {"__base__"}
        if missing:
            raise ValueError(
                f"Trying to infer with non-existing adapter(s): {', '.join(sorted(missing))}"
            )
        beams = kwargs.get("num_beams") or 1
        each_beam = [name for name in names for _ in range(beams)]
        encoder = self._encoder_layers() if beams > 1 else set()
        try:
            for layer in touched:
                # Beams multiply the rows of the decoder alone.
                layer.batch_adapters = list(names) if id(layer) in encoder else each_beam
            yield
        finally:
            for layer in touched:
                layer.batch_adapters = None

    def _encoder_layers(self) -> set[int]:
        model: Any = self.model
        encoder = model.get_encoder() if hasattr(model, "get_encoder") else model
        if encoder is model or encoder is None:
            return set()
        return {id(layer) for layer in encoder.sublayers(include_self=True)}

    def _check_merge_allowed(self) -> None:
        super()._check_merge_allowed()
        if getattr(self.model, "quantization_method", None) == "gptq":
            raise ValueError("Cannot merge LORA layers when the model is gptq quantized")

    # State dicts

    @classmethod
    def _get_adapter_state_dict(
        cls, model: Any, config: Any, adapter_name: str, state_dict: dict[str, Any]
    ) -> dict[str, Any]:
        kept = super()._get_adapter_state_dict(model, config, adapter_name, state_dict)
        # Files name a magnitude after the vector alone.
        end = f"lora_magnitude_vector.{adapter_name}.weight"
        return {k.removesuffix(".weight") if k.endswith(end) else k: v for k, v in kept.items()}

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: Any, config: Any, adapter_name: str, state_dict: dict[str, Any]
    ) -> dict[str, Any]:
        state_dict = {
            f"{k}.weight" if k.endswith("lora_magnitude_vector") else k: v
            for k, v in state_dict.items()
        }
        return super()._remap_adapter_state_dict_for_load(model, config, adapter_name, state_dict)

    def subtract_mutated_init(
        self, output_state_dict: dict[str, Any], adapter_name: str, kwargs: Any = None
    ) -> dict[str, Any]:
        """The trained adapter minus the one it began as, of twice the rank: plain LoRA for the
        untouched base weights. ``adapter_name`` is the adapter as it began."""
        from hfpaddle.peft.utils.save_and_load import get_peft_model_state_dict

        began = get_peft_model_state_dict(self, adapter_name=adapter_name)
        joined = {}
        for name, value in output_state_dict.items():
            if "lora_A" not in name and "lora_B" not in name:
                continue
            first = began[name.removeprefix("base_model.")]
            axis = 0 if "lora_A" in name else 1
            joined[name] = paddle.concat([value, first if axis == 0 else -first], axis=axis)
        return joined

    @classmethod
    def _convert_state_dict_for_initial_model(
        cls, peft_model: Any, peft_config: Any, path: str, output_state_dict: dict[str, Any]
    ) -> dict[str, Any]:
        """What a PiSSA or OLoRA adapter is as plain LoRA; ``path`` is the adapter as it began."""
        import os

        if peft_config.use_rslora and (peft_config.rank_pattern or peft_config.alpha_pattern):
            raise ValueError(
                "Passing `path_initial_model_for_weight_conversion` to `save_pretrained` is not "
                "supported when using `rank_pattern` or `alpha_pattern` at the same time as "
                "`use_rslora=True`."
            )
        if not str(peft_config.init_lora_weights).lower().startswith(("pissa", "olora", "true")):
            warnings.warn(
                "`path_initial_model_for_weight_conversion` only works for converting a PiSSA or "
                "OLoRA adapter to a LoRA adapter",
                stacklevel=3,
            )
        folder, name = os.path.split(os.path.normpath(path))
        try:
            peft_model.load_adapter(folder, subfolder=name, adapter_name=name)
            start = str(peft_model.peft_config[name].init_lora_weights).lower()
            if start.startswith(("pissa", "olora")):
                raise ValueError(
                    "The `init_lora_weights` parameter of the initial adapter should be set to "
                    "`True`. Otherwise loading it changes the base weights again."
                )
            return peft_model.base_model.subtract_mutated_init(output_state_dict, name)
        finally:
            peft_model.delete_adapter(name)
