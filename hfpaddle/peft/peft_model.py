"""A base model with adapters: loading, saving, switching, and the classes for each task."""

from __future__ import annotations

import contextlib
import copy
import inspect
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from huggingface_hub import hf_hub_download
from paddle import nn
from transformers.utils.hub import PushToHubMixin

from hfpaddle.converters.safetensors import write_safetensors
from hfpaddle.core.errors import UnsupportedArgumentError, WeightMismatchError
from hfpaddle.peft.card import write_card
from hfpaddle.peft.config import PeftConfig
from hfpaddle.peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING, config_class, tuner_class
from hfpaddle.peft.prompt_learning import PromptLearning
from hfpaddle.peft.status import (
    TunerLayerStatus,
    TunerModelStatus,
    count_parameters,
    get_layer_status,
    get_model_status,
)
from hfpaddle.peft.tuners.tuners_utils import _delete_auxiliary_adapter
from hfpaddle.peft.utils.constants import SAFETENSORS_WEIGHTS_NAME
from hfpaddle.peft.utils.other import _set_adapter, set_additional_trainable_modules
from hfpaddle.peft.utils.peft_types import PeftType
from hfpaddle.peft.utils.save_and_load import (
    get_peft_model_state_dict,
    is_shared_parameter,
    load_peft_weights,
    set_peft_model_state_dict,
)


class PeftModel(PromptLearning, PushToHubMixin, nn.Layer):
    """A base model with adapters of one method.

    Args:
        model: the base model; it is changed in place.
        peft_config: config of the first adapter.
        adapter_name: its name.
        autocast_adapter_dtype: parameters of adapters are float32 where the model's are half.
        low_cpu_mem_usage: accepted; adapters are made at once.

    Attributes:
        base_model: the tuner, or for prompt learning the base model itself.
        active_adapter: name of the adapter that counts.
    """

    # Keywords of a call that are meant for adapters and not for the base model.
    special_peft_forward_args = frozenset({"adapter_names"})

    def __init__(
        self,
        model: nn.Layer,
        peft_config: Any,
        adapter_name: str = "default",
        autocast_adapter_dtype: bool = True,
        low_cpu_mem_usage: bool = False,
    ) -> None:
        super().__init__()
        self.active_adapter: Any = adapter_name
        self.peft_type = peft_config.peft_type
        self._is_prompt_learning = peft_config.is_prompt_learning
        self._adapters_disabled = False
        self._peft_config: dict[str, Any] = {}
        tuner = tuner_class(peft_config.peft_type)
        if self._is_prompt_learning:
            self.base_model = model
            self.add_adapter(adapter_name, peft_config)
        else:
            self.base_model = tuner(model, {adapter_name: peft_config}, adapter_name)
            self.base_model._cast_adapter_dtype(adapter_name, autocast_adapter_dtype)
        if getattr(model, "is_gradient_checkpointing", False):
            model.enable_input_require_grads()  # type: ignore[attr-defined]

    # What it is

    @property
    def peft_config(self) -> dict[str, Any]:
        """Config of each adapter by name."""
        return self._peft_config if self._is_prompt_learning else self.base_model.peft_config

    @peft_config.setter
    def peft_config(self, value: dict[str, Any]) -> None:
        if self._is_prompt_learning:
            self._peft_config = value
        else:
            self.base_model.peft_config = value

    @property
    def active_adapters(self) -> list[str]:
        adapters = self.active_adapter
        if not self._is_prompt_learning:
            adapters = self.base_model.active_adapters
        return [adapters] if isinstance(adapters, str) else adapters

    @property
    def base_model_torch_dtype(self) -> Any:
        return getattr(self.base_model, "dtype", None)

    @property
    def active_peft_config(self) -> Any:
        return self.peft_config[self.active_adapter]

    @property
    def has_active_enabled_adapter(self) -> bool:
        if self._is_prompt_learning:
            return not self._adapters_disabled
        return not self._adapters_disabled or not self.active_adapters

    @property
    def modules_to_save(self) -> set[str] | None:
        """Names of the modules that are trained in full, of all adapters."""
        names = set()
        for config in self.peft_config.values():
            names |= set(getattr(config, "modules_to_save", None) or ())
        return names or None

    def get_base_model(self) -> Any:
        """The base model; the layers with adapters are still in it."""
        return self.base_model if self._is_prompt_learning else self.base_model.model

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_model" or "_sub_layers" not in self.__dict__:
                raise
            return getattr(self.base_model, name)

    def get_nb_trainable_parameters(self) -> tuple[int, int]:
        """(trainable values, all values)."""
        return count_parameters(self)

    def print_trainable_parameters(self) -> None:
        trainable, total = self.get_nb_trainable_parameters()
        print(
            f"trainable params: {trainable:,d} || all params: {total:,d} || "
            f"trainable%: {100 * trainable / total:.4f}"
        )

    def get_layer_status(self) -> list[TunerLayerStatus]:
        """State of each adapter layer; see `status.get_layer_status`."""
        return get_layer_status(self)

    def get_model_status(self) -> TunerModelStatus:
        """State of the whole model; see `status.get_model_status`."""
        return get_model_status(self)

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move and cast the base model with its adapters; see `PreTrainedModel.to`."""
        self.get_base_model().to(*args, **kwargs)
        if self._is_prompt_learning:
            self.prompt_encoder.to(*args, **kwargs)
        return self

    # Calling

    @contextlib.contextmanager
    def _enable_peft_forward_hooks(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        tuned = not self._is_prompt_learning and self.has_active_enabled_adapter
        hooks = getattr(type(self.base_model), "_enable_peft_forward_hooks", None)
        if tuned and hooks is not None:
            with hooks(self.base_model, *args, **kwargs):
                yield
        else:
            if kwargs.get("adapter_names") is not None and tuned:
                raise UnsupportedArgumentError(
                    f"adapter_names: {self.peft_type} has no batches of several adapters."
                )
            yield

    def _for_base(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Keywords for the base model: without those for adapters, and without None."""
        special = self.special_peft_forward_args
        return {k: v for k, v in kwargs.items() if k not in special and v is not None}

    def _call_base(self, **kwargs: Any) -> Any:
        with self._enable_peft_forward_hooks(**kwargs):
            return self.base_model(**self._for_base(kwargs))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the base model. ``adapter_names`` gives each row of the batch its adapter."""
        with self._enable_peft_forward_hooks(*args, **kwargs):
            special = self.special_peft_forward_args
            kwargs = {k: v for k, v in kwargs.items() if k not in special}
            return self.get_base_model()(*args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Generate with the base model. ``adapter_names`` gives each row its adapter."""
        with self._enable_peft_forward_hooks(*args, **kwargs):
            special = self.special_peft_forward_args
            kwargs = {k: v for k, v in kwargs.items() if k not in special}
            return self.get_base_model().generate(*args, **kwargs)

    @contextlib.contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Within it the model answers as without adapters."""
        was_disabled = self._adapters_disabled
        self._adapters_disabled = True
        if self._is_prompt_learning:
            try:
                yield
            finally:
                self._adapters_disabled = was_disabled
            return
        enabled = self.get_model_status().enabled
        if enabled == "irregular":
            warnings.warn(
                "The model contains some adapter layers that are enabled and others that are "
                "disabled. After exiting the disable_adapter context, all will be enabled.",
                stacklevel=3,
            )
        try:
            self.base_model.disable_adapter_layers()
            yield
        finally:
            if enabled is not False:
                self.base_model.enable_adapter_layers()
            self._adapters_disabled = was_disabled

    # Adapters

    def add_adapter(
        self,
        adapter_name: str,
        peft_config: Any,
        low_cpu_mem_usage: bool = False,
        autocast_adapter_dtype: bool = True,
    ) -> None:
        """Add an adapter of the same method; it is not active yet.

        Raises: ValueError for a name that is taken or another method.
        """
        if adapter_name in self.peft_config:
            raise ValueError(f"Adapter with name '{adapter_name}' already exists.")
        _check_name(adapter_name, peft_config)
        if peft_config.peft_type != self.peft_type:
            raise ValueError(
                "Cannot combine adapters with different peft types. Found "
                f"{self.peft_type} and {peft_config.peft_type}."
            )
        self.peft_config[adapter_name] = peft_config
        try:
            if peft_config.is_prompt_learning:
                self._setup_prompt_encoder(adapter_name)
                set_additional_trainable_modules(self.base_model, peft_config, adapter_name)
            else:
                self.base_model.inject_adapter(self.base_model.model, adapter_name)
        except Exception:
            del self.peft_config[adapter_name]
            raise
        if not self._is_prompt_learning:
            self.base_model._cast_adapter_dtype(adapter_name, autocast_adapter_dtype)

    def set_adapter(self, adapter_name: str, inference_mode: bool = False) -> None:
        """Make an adapter the active one, and trainable unless ``inference_mode``."""
        if adapter_name not in self.peft_config:
            raise ValueError(f"Adapter {adapter_name} not found.")
        self.active_adapter = adapter_name
        if self._is_prompt_learning:
            _set_adapter(self, adapter_name, inference_mode)
        else:
            self.base_model.set_adapter(adapter_name, inference_mode=inference_mode)

    def delete_adapter(self, adapter_name: str) -> None:
        """Remove an adapter; if it was active, another becomes so."""
        if adapter_name not in self.peft_config:
            raise ValueError(f"Adapter {adapter_name} does not exist")
        if not self._is_prompt_learning:
            self.base_model.delete_adapter(adapter_name=adapter_name)
            if len(self.active_adapters) == 1:
                self.active_adapter = self.active_adapters[0]
            return
        del self.peft_config[adapter_name]
        del self.prompt_encoder[adapter_name]
        del self.prompt_tokens[adapter_name]
        left = list(self.peft_config)
        _delete_auxiliary_adapter(self.base_model, adapter_name, left or None)
        if adapter_name in self.active_adapters:
            self.active_adapter = left[0] if left else []
            if left:
                warnings.warn(
                    f"Adapter {adapter_name} was active which is now deleted. Setting active "
                    f"adapter to {left[0]}.",
                    stacklevel=2,
                )

    def set_requires_grad(
        self, adapter_names: str | Sequence[str], requires_grad: bool = True
    ) -> None:
        """Freeze adapters, or let them be trained."""
        if self._is_prompt_learning:
            raise TypeError(
                "Setting `requires_grad` is not supported for prompt learning methods like "
                f"{self.peft_type.value}."
            )
        self.base_model.set_requires_grad(adapter_names, requires_grad)

    # To disk

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        safe_serialization: bool = True,
        selected_adapters: list[str] | None = None,
        save_embedding_layers: bool | str = "auto",
        is_main_process: bool = True,
        path_initial_model_for_weight_conversion: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Write adapters so that peft reads them: "default" into the folder, others below it.

        Args:
            selected_adapters: names; all by default.
            save_embedding_layers: see `get_peft_model_state_dict`.
            path_initial_model_for_weight_conversion: a PiSSA or OLoRA adapter as it began; what is
                written is plain LoRA of twice the rank for the untouched base weights.
            kwargs: ``state_dict``, tensors to write instead of the model's.
        Raises: ValueError for a file in the folder's place or an adapter that does not exist;
        UnsupportedArgumentError for ``safe_serialization=False``.
        """
        if os.path.isfile(save_directory):
            raise ValueError(f"Provided path ({save_directory}) should be a directory, not a file")
        if not safe_serialization:
            raise UnsupportedArgumentError(
                "save_pretrained: safe_serialization=False (pickled weights) is not supported "
                "(nearest: the default, safetensors)."
            )
        names = list(self.peft_config) if selected_adapters is None else selected_adapters
        unknown = [name for name in names if name not in self.peft_config]
        if unknown:
            raise ValueError(
                "You passed an invalid `selected_adapters` arguments, current supported adapter "
                f"names are {list(self.peft_config)} - got {names}."
            )
        if not is_main_process:
            return
        os.makedirs(save_directory, exist_ok=True)
        write_card(self, save_directory)
        for name in names:
            folder = save_directory if name == "default" else os.path.join(save_directory, name)
            tensors = get_peft_model_state_dict(
                self, kwargs.get("state_dict"), name, save_embedding_layers=save_embedding_layers
            )
            config = copy.copy(self.peft_config[name])
            began = path_initial_model_for_weight_conversion
            if began is not None:
                tensors, config = self._as_plain_lora(config, began, tensors)
            os.makedirs(folder, exist_ok=True)
            write_safetensors(
                os.path.join(folder, SAFETENSORS_WEIGHTS_NAME), tensors, {"format": "pt"}
            )
            self._save_config(config, folder)

    def _save_config(self, config: Any, folder: Any) -> None:
        if config.base_model_name_or_path is None:
            base = self.get_base_model()
            config.base_model_name_or_path = getattr(base, "name_or_path", None) or None
        config.inference_mode = True
        mapping = None
        if config.task_type is None:
            mapping = _auto_mapping(type(self.get_base_model()))
        config.save_pretrained(folder, auto_mapping_dict=mapping)

    def _as_plain_lora(self, config: Any, path: str, tensors: dict) -> tuple[dict, Any]:
        """Tensors and config of plain LoRA of twice the rank, and of the same scaling."""
        start = copy.deepcopy(config)
        start.init_lora_weights = True
        start.save_pretrained(path)
        tuner = tuner_class(config.peft_type)
        convert = getattr(tuner, "_convert_state_dict_for_initial_model", None)
        if convert is None:
            raise ValueError(
                "Passing `path_initial_model_for_weight_conversion` to `save_pretrained` is not "
                f"supported for {tuner.__name__}."
            )
        tensors = convert(self, config, path, tensors)
        factor = 2**0.5 if config.use_rslora else 2
        config = copy.deepcopy(config)
        config.init_lora_weights, config.r = True, config.r * 2
        config.lora_alpha *= factor
        config.rank_pattern = {k: 2 * v for k, v in (config.rank_pattern or {}).items()}
        config.alpha_pattern = {k: 2 * v for k, v in (config.alpha_pattern or {}).items()}
        return tensors, config

    def create_or_update_model_card(self, output_dir: str | os.PathLike) -> None:
        """Write the folder's README.md, or add to it."""
        write_card(self, output_dir)

    # From disk

    @classmethod
    def from_pretrained(
        cls,
        model: nn.Layer,
        model_id: str | os.PathLike,
        adapter_name: str = "default",
        is_trainable: bool = False,
        config: Any = None,
        autocast_adapter_dtype: bool = True,
        ephemeral_gpu_offload: bool = False,
        low_cpu_mem_usage: bool = False,
        key_mapping: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Put the adapter in a folder, the Hub cache or the Hub into ``model``.

        Args:
            is_trainable: False freezes the adapter and sets eval mode.
            config: instead of the adapter's own.
            ephemeral_gpu_offload, low_cpu_mem_usage: accepted without effect.
            key_mapping: see `load_peft_weights`.
            kwargs: those of `hf_hub_download`, and ``ignore_mismatched_sizes``.
        Returns: a PeftModel of the class for the adapter's task.
        """
        from hfpaddle.peft.auto import MODEL_TYPE_TO_PEFT_MODEL_MAPPING

        if config is None:
            hub, _ = cls._split_kwargs(kwargs)
            own = config_class(PeftConfig._get_peft_type(model_id, **hub))
            config = own.from_pretrained(model_id, **kwargs)
        elif not isinstance(config, PeftConfig):
            raise ValueError(f"The input config must be a PeftConfig, got {type(config)}")
        if config.is_prompt_learning and is_trainable:
            raise ValueError(
                "Cannot set a prompt learning adapter to trainable when loading pretrained adapter."
            )
        config.inference_mode = not is_trainable
        made = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type, cls)
        peft_model = made(
            model, config, adapter_name, autocast_adapter_dtype=autocast_adapter_dtype
        )
        result = peft_model.load_adapter(
            model_id,
            adapter_name,
            is_trainable=is_trainable,
            autocast_adapter_dtype=autocast_adapter_dtype,
            key_mapping=key_mapping,
            **kwargs,
        )
        missing = [key for key in result.missing_keys if not is_shared_parameter(config, key)]
        if missing:
            warnings.warn(
                f"Found missing adapter keys while loading the checkpoint: {missing}.",
                stacklevel=2,
            )
        return peft_model

    @classmethod
    def _split_kwargs(cls, kwargs: dict[str, Any]) -> tuple[dict, dict]:
        """(for the Hub, the rest)."""
        download = {*inspect.signature(hf_hub_download).parameters, "use_auth_token"}
        hub = {key: value for key, value in kwargs.items() if key in download}
        return hub, {key: value for key, value in kwargs.items() if key not in download}

    def load_adapter(
        self,
        model_id: str | os.PathLike,
        adapter_name: str,
        is_trainable: bool = False,
        torch_device: str | None = None,
        autocast_adapter_dtype: bool = True,
        ephemeral_gpu_offload: bool = False,
        low_cpu_mem_usage: bool = False,
        key_mapping: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Load an adapter's tensors, and add the adapter first if there is none of that name.

        Returns: the adapter's names that the file lacks, and the file's that the model lacks.
        """
        hub, rest = self._split_kwargs(kwargs)
        if adapter_name not in self.peft_config:
            own = config_class(PeftConfig._get_peft_type(model_id, **hub))
            config = own.from_pretrained(model_id, **hub)
            self._check_new_adapter_config(config, is_trainable)
            config.inference_mode = not is_trainable
            self.add_adapter(adapter_name, config, autocast_adapter_dtype=autocast_adapter_dtype)
            if is_trainable:
                self.set_requires_grad(adapter_name)
        tensors = load_peft_weights(model_id, torch_device, key_mapping, **hub)
        result = set_peft_model_state_dict(
            self,
            tensors,
            adapter_name,
            ignore_mismatched_sizes=rest.get("ignore_mismatched_sizes", False),
        )
        prefix = PEFT_TYPE_TO_PREFIX_MAPPING.get(self.peft_config[adapter_name].peft_type, "")
        own_keys = [k for k in result.missing_keys if prefix in k and adapter_name in k]
        result.missing_keys[:] = own_keys
        if not is_trainable:
            self.eval()
        return result

    def load_checkpoint(self, folder: str | os.PathLike) -> None:
        """Read what `save_pretrained` wrote back into the adapters that are there.

        The Trainer calls it to resume and to take the best checkpoint. Frozen and trained stay so.
        Raises: WeightMismatchError if the folder lacks a tensor of an adapter.
        """
        for name in self.peft_config:
            path = folder if name == "default" else os.path.join(folder, name)
            result = set_peft_model_state_dict(self, load_peft_weights(path), name)
            prefix = PEFT_TYPE_TO_PREFIX_MAPPING[self.peft_config[name].peft_type]
            missing = [k for k in result.missing_keys if prefix in k and f".{name}" in k]
            if missing and not self._is_prompt_learning:
                raise WeightMismatchError(
                    f"{path} lacks {len(missing)} tensors of the adapter {name!r}: {missing[:5]}."
                )

    def _check_new_adapter_config(self, config: Any, is_trainable: bool) -> None:
        if config.is_prompt_learning and is_trainable:
            raise ValueError(
                "Cannot set a prompt learning adapter to trainable when loading pretrained adapter."
            )
        for other in (config, *self.peft_config.values()):
            init = getattr(other, "init_lora_weights", None)
            if init in ("pissa", "corda", "olora") and self.peft_config:
                warnings.warn(
                    f"init_lora_weights={init!r} changes the base weights of the model and should "
                    "thus not be used with other adapters. Convert the adapter into a plain LoRA "
                    "adapter: path_initial_model_for_weight_conversion of `save_pretrained`.",
                    stacklevel=3,
                )
                return


def _check_name(adapter_name: str, config: Any) -> None:
    prefix = PEFT_TYPE_TO_PREFIX_MAPPING.get(config.peft_type)
    if "." in adapter_name or not adapter_name:
        raise KeyError(f"adapter name can't be empty or contain '.', got {adapter_name!r}")
    if prefix and adapter_name in prefix:
        warnings.warn(
            f"Adapter name '{adapter_name}' should not be contained in the prefix '{prefix}'. This "
            "may lead to reinitialization of the adapter weights during loading.",
            stacklevel=4,
        )


def _auto_mapping(cls: type) -> dict[str, str]:
    """Class and module of the base model, under the name that it has in transformers."""
    import transformers

    module = getattr(transformers, "_class_to_module", {}).get(cls.__name__)
    parent = f"transformers.{module}" if module else cls.__module__
    return {"base_model_class": cls.__name__, "parent_library": parent}


from hfpaddle.peft.task_models import (  # noqa: E402  these derive from PeftModel
    PeftModelForCausalLM,
    PeftModelForFeatureExtraction,
    PeftModelForQuestionAnswering,
    PeftModelForSeq2SeqLM,
    PeftModelForSequenceClassification,
    PeftModelForTokenClassification,
)

__all__ = [
    "PeftModel", "PeftModelForCausalLM", "PeftModelForFeatureExtraction",
    "PeftModelForQuestionAnswering", "PeftModelForSeq2SeqLM",
    "PeftModelForSequenceClassification", "PeftModelForTokenClassification", "PeftType",
    "TunerLayerStatus", "TunerModelStatus", "get_layer_status", "get_model_status",
]  # fmt: skip
