"""What every tuner and every adapter layer has: injection, activation, merging, state dicts."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Sequence
from typing import Any

import paddle
from paddle import nn

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.peft.config import PeftConfig
from hfpaddle.peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING
from hfpaddle.peft.tuners import matching
from hfpaddle.peft.tuners.layer_base import BaseTunerLayer, check_adapters_to_merge
from hfpaddle.peft.tuners.matching import (
    _ExcludedModule,
    _find_minimal_target_modules,
    check_target_module_exists,
    get_pattern_key,
)
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import BufferDict, ParameterDict, move_like
from hfpaddle.peft.utils.constants import (
    DUMMY_MODEL_CONFIG,
    DUMMY_TARGET_MODULES,
    EMBEDDING_LAYER_NAMES,
    MIN_TARGET_MODULES_FOR_OPTIMIZATION,
)
from hfpaddle.peft.utils.error import NoMatchingPeftModuleError
from hfpaddle.peft.utils.other import _set_adapter, set_additional_trainable_modules
from hfpaddle.peft.utils.peft_types import PeftType
from hfpaddle.peft.utils.wrappers import AuxiliaryTrainingWrapper

__all__ = [
    "BaseTuner", "BaseTunerLayer", "PeftConfig", "_find_minimal_target_modules",
    "check_adapters_to_merge", "check_target_module_exists", "delete_adapter", "set_adapter",
    "get_pattern_key", "inspect_matched_modules", "set_requires_grad", "cast_adapter_dtype",
]  # fmt: skip

_TIED = (
    "Model has `tie_word_embeddings=True` and a tied layer is part of the adapter{but}. This can "
    "lead to complications, for example when merging the adapter or converting your model to "
    "formats other than safetensors. See https://github.com/huggingface/peft/issues/2777"
)


def model_config(model: Any) -> dict[str, Any]:
    """The model's config as a dict; that of a custom model if it has none."""
    config: Any = getattr(model, "config", DUMMY_MODEL_CONFIG)
    if hasattr(config, "to_dict"):
        return config.to_dict()
    return dataclasses.asdict(config) if dataclasses.is_dataclass(config) else config  # type: ignore


class BaseTuner(nn.Layer):
    """A model with the adapters of one method in it.

    A method gives the class attributes, `_create_and_replace`, and its layer class.

    Attributes:
        model: the model, its targeted modules replaced by adapter layers.
        peft_config: config of each adapter by name.
        active_adapter: one name, or several.
        targeted_module_names: the modules that have an adapter.
    """

    uses_shared_state = False
    prefix: str
    tuner_layer_cls: Any = BaseTunerLayer
    target_module_mapping: dict[str, Any] = {}

    def __init__(
        self,
        model: nn.Layer,
        peft_config: Any,
        adapter_name: str,
        low_cpu_mem_usage: bool = False,
        state_dict: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.targeted_module_names: list[str] = []
        self.targeted_parameter_names: list[str] = []
        single = isinstance(peft_config, PeftConfig)
        new = {adapter_name: peft_config} if single else peft_config
        known = getattr(model, "peft_config", None)
        if known is None:
            self.peft_config: dict[str, Any] = new
        else:
            warnings.warn(
                "Already found a `peft_config` attribute in the model. This will lead to having "
                "multiple adapters in the model. Make sure to know what you are doing!",
                stacklevel=3,
            )
            self.peft_config = known
            self.peft_config.update(new)
        self.active_adapter: Any = adapter_name
        self._pre_injection_hook(self.model, self.peft_config[adapter_name], adapter_name)
        self.inject_adapter(self.model, adapter_name, state_dict=state_dict)
        self._post_injection_hook(self.model, self.peft_config[adapter_name], adapter_name)
        self.model.peft_config = self.peft_config

    @property
    def active_adapters(self) -> list[str]:
        active = self.active_adapter
        return [active] if isinstance(active, str) else active

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "model" or "_sub_layers" not in self.__dict__:
                raise
            return getattr(self.model, name)

    # What a method may change

    def _pre_injection_hook(self, model: nn.Layer, config: Any, adapter_name: str) -> None:
        """Called before modules are replaced."""

    def _post_injection_hook(self, model: nn.Layer, config: Any, adapter_name: str) -> None:
        """Called after modules were replaced."""

    def _prepare_model(self, peft_config: Any, model: nn.Layer) -> None:
        """Change the model before modules are matched."""

    def _prepare_adapter_config(self, peft_config: Any, config: dict[str, Any]) -> Any:
        """Fill in ``target_modules`` from the method's table."""
        if peft_config.target_modules is None:
            targets = self.target_module_mapping.get(config["model_type"])
            if targets is None:
                raise ValueError("Please specify `target_modules` in `peft_config`")
            peft_config.target_modules = targets if isinstance(targets, str) else set(targets)
        return peft_config

    @staticmethod
    def _check_target_module_exists(peft_config: Any, key: str) -> Any:
        return check_target_module_exists(peft_config, key)

    def _create_and_replace(
        self, peft_config: Any, adapter_name: str, target: nn.Layer, target_name: str,
        parent: nn.Layer, current_key: str,
    ) -> None:  # fmt: skip
        """Put an adapter layer in the place of ``target``, or add the adapter to it."""
        raise NotImplementedError

    def _check_new_adapter_config(self, config: Any) -> None:
        """Refuse a config that cannot stand beside those that are there."""
        with_bias = [c for c in self.peft_config.values() if getattr(c, "bias", "none") != "none"]
        if len(self.peft_config) > 1 and len(with_bias) > 1:
            raise ValueError(
                f"{type(self).__name__} supports only 1 adapter with bias. When using multiple "
                "adapters, set bias to 'none' for all adapters."
            )

    # Injection

    @staticmethod
    def get_model_config(model: nn.Layer) -> dict[str, Any]:
        return model_config(model)

    def inject_adapter(
        self,
        model: nn.Layer,
        adapter_name: str,
        autocast_adapter_dtype: bool = True,
        low_cpu_mem_usage: bool = False,
        state_dict: dict[str, Any] | None = None,
    ) -> None:
        """Replace every targeted module of ``model`` by an adapter layer around it.

        Args:
            state_dict: if given, modules are those that it names, and the config's choice is only
                compared with it.
        Raises: NoMatchingPeftModuleError if nothing is targeted.
        """
        peft_config = self.peft_config[adapter_name]
        self._check_new_adapter_config(peft_config)
        self._check_tied_modules(model, peft_config)
        tied = tied_names(model)
        peft_config = self._prepare_adapter_config(peft_config, model_config(model))
        self._prepare_model(peft_config, model)
        before = _frozen_before(model, adapter_name)
        dummy = getattr(peft_config, "target_modules", None) == DUMMY_TARGET_MODULES
        matching.expand_all_linear(peft_config, model)
        names = [] if dummy else [name for name, _ in model.named_sublayers()]
        inside = _inside_adapters(model)
        self._shorten_targets(peft_config, names)
        found = _Found()
        wanted = None if state_dict is None else self._modules_of(peft_config, state_dict)
        for key in names:
            if key in inside:
                continue
            match = self._check_target_module_exists(peft_config, key)
            found.note(key, match, match if wanted is None else key in wanted)
        for key in found.targeted:
            self._inject_at(model, key, peft_config, adapter_name)
        if not dummy:
            found.check(peft_config, wanted is not None)
        _check_patterns(peft_config, found.targeted)
        known = set(self.targeted_module_names)
        self.targeted_module_names += [name for name in found.targeted if name not in known]
        self.set_adapter(self.active_adapters, inference_mode=peft_config.inference_mode)
        self._mark_only_adapters_as_trainable(model)
        set_additional_trainable_modules(
            model, peft_config, adapter_name, adapter_name in self.active_adapters, tied
        )
        for param, frozen in before:
            param.stop_gradient = frozen

    def _inject_at(self, model: nn.Layer, key: str, peft_config: Any, adapter_name: str) -> None:
        if layers.in_experts(model, key):
            raise UnsupportedArgumentError(
                f"target_modules={peft_config.target_modules!r} means {key!r}, a part of a "
                "mixture of experts. transformers 5 keeps routers and experts as bare parameters, "
                "so such adapters could not be exchanged. Target attention and shared layers, or "
                "use exclude_modules, e.g. '.*mlp.(gate|experts.*)'."
            )
        parent, target, target_name = get_submodules(model, key)
        self._create_and_replace(
            peft_config, adapter_name, target, target_name, parent, current_key=key
        )

    def _modules_of(self, peft_config: Any, state_dict: dict[str, Any]) -> set[str]:
        prefix = PEFT_TYPE_TO_PREFIX_MAPPING[peft_config.peft_type]
        return {key.rsplit(f".{prefix}", 1)[0] for key in state_dict}

    def _shorten_targets(self, peft_config: Any, names: list[str]) -> None:
        targets: Any = getattr(peft_config, "target_modules", None)
        many = isinstance(targets, (list, set)) and (
            len(targets) >= MIN_TARGET_MODULES_FOR_OPTIMIZATION
        )
        if not many or peft_config.peft_type == PeftType.IA3:
            return
        suffixes = tuple(f".{name}" for name in targets)
        others = [n for n in ["", *names] if n not in targets and not n.endswith(suffixes)]
        shorter = _find_minimal_target_modules(targets, others)
        if len(shorter) < len(targets):
            peft_config.target_modules = shorter

    def _replace_module(
        self, parent: nn.Layer, child_name: str, new_module: nn.Layer, child: nn.Layer
    ) -> None:
        setattr(parent, child_name, new_module)

    def _check_tied_modules(self, model: nn.Layer, peft_config: Any) -> None:
        targets = getattr(peft_config, "target_modules", None) or ()
        if isinstance(targets, str):
            hit = any(re.fullmatch(targets, name) for name in EMBEDDING_LAYER_NAMES)
        else:
            hit = any(name.split(".")[-1] in EMBEDDING_LAYER_NAMES for name in targets)
        saved = getattr(peft_config, "modules_to_save", None) or ()
        hit = hit or any(name.split(".")[-1] in EMBEDDING_LAYER_NAMES for name in saved)
        if getattr(peft_config, "ensure_weight_tying", False):
            _check_kept_tied(hit, tied_names(model))
        elif hit and tied_names(model):
            but = ", but `ensure_weight_tying` is not set to True"
            known = hasattr(peft_config, "ensure_weight_tying")
            warnings.warn(_TIED.format(but=but if known else ""), stacklevel=4)

    def _mark_only_adapters_as_trainable(self, model: nn.Layer) -> None:
        """Freeze all but the adapters, and biases that a config wants trained."""
        own = adapter_keys(model)
        wrapped = {
            name
            for name, m in model.named_sublayers(include_self=True)
            if isinstance(m, AuxiliaryTrainingWrapper)
        }
        for name, param in model.named_parameters():
            if not under(name, own) and not under(name, wrapped):
                param.stop_gradient = True
        for adapter in self.active_adapters:
            bias = getattr(self.peft_config[adapter], "bias", "none")
            if bias == "all":
                for name, param in model.named_parameters():
                    if name == "bias" or name.endswith(".bias"):
                        param.stop_gradient = False
            elif bias.endswith("_only"):
                for layer in model.sublayers(include_self=True):
                    if isinstance(layer, self.tuner_layer_cls):
                        param = getattr(layer, "bias", None)
                        if param is not None:
                            param.stop_gradient = False
            elif bias != "none":
                raise NotImplementedError(f"Requested bias: {bias}, is not implemented.")
        for layer in model.sublayers(include_self=True):
            if isinstance(layer, self.tuner_layer_cls):
                layer._freeze_non_trainable_peft_weights()

    # Activation

    def set_adapter(self, adapter_name: str | list[str], inference_mode: bool = False) -> None:
        """Make one or several adapters the active ones; only these are trainable."""
        set_adapter(self.model, adapter_name, inference_mode, self.tuner_layer_cls)
        self.active_adapter = adapter_name

    def _enable_adapter_layers(self, enabled: bool = True) -> None:
        for layer in self.model.sublayers(include_self=True):
            if isinstance(layer, (BaseTunerLayer, AuxiliaryTrainingWrapper)):
                layer.enable_adapters(enabled)

    def enable_adapter_layers(self) -> None:
        """Let the active adapters count again."""
        self._enable_adapter_layers(True)

    def disable_adapter_layers(self) -> None:
        """Let the model answer as without adapters."""
        for adapter in self.active_adapters:
            bias = getattr(self.peft_config[adapter], "bias", "none")
            if bias != "none":
                warnings.warn(
                    f"Careful, disabling adapter layers with bias configured to be '{bias}' does "
                    "not produce the same output as the base model would without adaption.",
                    stacklevel=2,
                )
        self._enable_adapter_layers(False)

    def set_requires_grad(
        self, adapter_names: str | Sequence[str], requires_grad: bool = True
    ) -> None:
        """Freeze adapters, or let them be trained."""
        set_requires_grad(self.model, adapter_names, requires_grad)

    def delete_adapter(self, adapter_name: str) -> None:
        """Remove an adapter.

        Raises: ValueError if it does not exist or is merged.
        """
        if adapter_name not in self.peft_config:
            raise ValueError(f"Adapter {adapter_name} does not exist")
        _check_adapters_not_merged(self.model, adapter_name)
        del self.peft_config[adapter_name]
        new = delete_adapter(self.model, adapter_name, self.prefix, self.tuner_layer_cls)
        self.active_adapter = new or []

    def _cast_adapter_dtype(self, adapter_name: str, autocast_adapter_dtype: bool = True) -> None:
        cast_adapter_dtype(self.model, adapter_name, autocast_adapter_dtype)

    # Merging

    def _check_merge_allowed(self) -> None:
        config = model_config(self.model)
        names = [
            name
            for name in self.targeted_module_names
            if name.split(".")[-1] in EMBEDDING_LAYER_NAMES
        ]
        if config.get("tie_word_embeddings") and names:
            warnings.warn(
                f"Model with `tie_word_embeddings=True` and the tied_target_modules={names!r} are "
                "part of the adapter: what is merged into one counts for both. Load the model with "
                "`tie_word_embeddings=False` and copy the embedding into the head first.",
                stacklevel=4,
            )

    def merge_adapter(
        self, adapter_names: list[str] | None = None, safe_merge: bool = False
    ) -> None:
        """Add adapters (the active ones by default) to the base weights; `unmerge_adapter` undoes.

        With ``safe_merge`` a result that is not finite raises ValueError and changes nothing.
        """
        self._check_merge_allowed()
        for layer in self.model.sublayers(include_self=True):
            if isinstance(layer, BaseTunerLayer):
                layer.merge(adapter_names=adapter_names, safe_merge=safe_merge)

    def unmerge_adapter(self) -> None:
        """Take every merged adapter out of the base weights."""
        for layer in self.model.sublayers(include_self=True):
            if isinstance(layer, BaseTunerLayer):
                layer.unmerge()

    def merge_and_unload(
        self,
        progressbar: bool = False,
        safe_merge: bool = False,
        adapter_names: list[str] | None = None,
    ) -> nn.Layer:
        """Merge adapters and return the base model without adapter layers."""
        return self._unload_and_optionally_merge(True, progressbar, safe_merge, adapter_names)

    def unload(self) -> nn.Layer:
        """Return the base model as it was before adapters."""
        return self._unload_and_optionally_merge(merge=False)

    def _unload_and_optionally_merge(
        self,
        merge: bool = True,
        progressbar: bool = False,
        safe_merge: bool = False,
        adapter_names: list[str] | None = None,
    ) -> nn.Layer:
        from tqdm import tqdm

        if merge:
            self._check_merge_allowed()
        inside = _inside_adapters(self.model)
        keys = [key for key, _ in self.model.named_sublayers() if key not in inside]
        text = "Unloading and merging model" if merge else "Unloading model"
        for key in tqdm(keys, disable=not progressbar, desc=text):
            try:
                parent, target, name = get_submodules(self.model, key)
            except AttributeError:
                continue  # below something that was just unloaded
            if hasattr(type(target), "unload_and_optionally_merge_module"):
                plain = target.unload_and_optionally_merge_module(merge, safe_merge, adapter_names)
                setattr(parent, name, plain)
            elif isinstance(target, BaseTunerLayer):
                if merge:
                    target.merge(safe_merge=safe_merge, adapter_names=adapter_names)
                setattr(parent, name, target.get_base_layer())
        if "peft_config" in self.model.__dict__:
            del self.model.peft_config
        if merge:
            self._untie_if_needed()
        return self.model

    def _untie_if_needed(self) -> None:
        model: Any = self.model
        if not model_config(model).get("tie_word_embeddings"):
            return
        if not hasattr(model, "get_output_embeddings"):
            return
        head, table = model.get_output_embeddings(), model.get_input_embeddings()
        if head is None or head.weight is table.weight:
            return
        model.config.tie_word_embeddings = False
        warnings.warn(
            "Input and output embeddings are no longer tied after merging. Setting "
            "`tie_word_embeddings=False` in the model config.",
            stacklevel=4,
        )

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return all(
            layer.supports_lora_conversion()
            for layer in self.sublayers()
            if isinstance(layer, BaseTunerLayer)
        )

    # State dicts: which tensors an adapter has, and under which names a file holds them.

    @classmethod
    def _get_adapter_state_dict(
        cls, model: Any, config: Any, adapter_name: str, state_dict: dict[str, Any]
    ) -> dict[str, Any]:
        """The tensors of one adapter, and biases that it trains."""
        own = adapter_keys(model)
        kept = {key: value for key, value in state_dict.items() if under(key, own)}
        bias = getattr(config, "bias", "none")
        if bias == "all":
            kept |= {k: v for k, v in state_dict.items() if k == "bias" or k.endswith(".bias")}
        elif bias.endswith("_only"):
            for name, layer in model.named_sublayers(include_self=True):
                key = f"{name}.base_layer.bias"
                if isinstance(layer, BaseTunerLayer) and key in state_dict:
                    kept[key] = state_dict[key]
        return kept

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        """``x.lora_A.default.weight`` -> ``x.lora_A.weight``."""
        if key.endswith(f".{adapter_name}"):
            return key.removesuffix(f".{adapter_name}")
        head, dot, last = key.rpartition(".")
        return f"{head.removesuffix(f'.{adapter_name}')}{dot}{last}"

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: Any, config: Any, adapter_name: str, state_dict: dict[str, Any]
    ) -> dict[str, Any]:
        """Names of a file -> names in the model."""
        own = adapter_keys(model, adapter_name)
        names = {}
        for key in model.state_dict():
            if under(key, own):
                plain = cls._remove_adapter_name_from_key(key, adapter_name)
                names[plain] = key
                names.setdefault(f"base_model.model.{plain}", key)
        return {names.get(key, key): value for key, value in state_dict.items()}


class _Found:
    """What the names of a model's modules were matched to."""

    def __init__(self) -> None:
        self.targeted: list[str] = []
        self.excluded: list[str] = []
        self.unmatched: list[str] = []
        self.by_config: list[str] = []

    def note(self, key: str, match: Any, wanted: Any) -> None:
        if match:
            self.by_config.append(key)
        if wanted:
            self.targeted.append(key)
        elif isinstance(match, _ExcludedModule):
            self.excluded.append(key)
        else:
            self.unmatched.append(key)

    def check(self, config: Any, from_state_dict: bool) -> None:
        """Raise if nothing is targeted; warn where the config and the names differ."""
        if from_state_dict and set(self.by_config) != set(self.targeted):
            more = sorted(set(self.by_config) - set(self.targeted))
            less = sorted(set(self.targeted) - set(self.by_config))
            warnings.warn(
                "While injecting the PEFT adapters, an inconsistency was discovered between the "
                "PEFT config and the provided state_dict. The PEFT config contained these "
                f"additional target modules: {more}. The state_dict contained these additional "
                f"target modules: {less}.",
                RuntimeWarning,
                stacklevel=4,
            )
        if self.targeted:
            if getattr(config, "exclude_modules", None) and not self.excluded:
                warnings.warn(
                    f"You have passed exclude_modules={config.exclude_modules} but no modules were "
                    "excluded. Please check that exclude_modules was set correctly.",
                    stacklevel=4,
                )
            return
        if self.excluded and not self.unmatched:
            raise NoMatchingPeftModuleError(
                "All modules were excluded. This is likely unintended. Check your "
                "`target_modules`, `exclude_modules` and `modules_to_save` configuration."
            )
        if not self.excluded and not config.target_modules:
            raise NoMatchingPeftModuleError("No `target_modules` passed.")
        text = (
            "No modules were targeted for adaptation. This might be caused by a combination of "
            "mismatched target modules and excluded modules. Please check your `target_modules` "
            "and `exclude_modules` configuration."
            if self.excluded
            else f"Target modules {config.target_modules} not found in the base model. Please "
            "check the target modules and try again."
        )
        for name in ("layers_to_transform", "layers_pattern"):
            if getattr(config, name, None) is not None:
                text += f" You specified {name!r}: {getattr(config, name)}."
        raise NoMatchingPeftModuleError(text)


def _check_kept_tied(hit: bool, tied: list[str]) -> None:
    """What ``ensure_weight_tying`` asks for: warn if it is nothing, raise if it cannot be had."""
    if hit and tied:
        raise UnsupportedArgumentError(
            "ensure_weight_tying=True is implemented for trainable_token_indices only, not for "
            f"adapters or copies of modules that share a weight ({tied}). Leave the embedding out, "
            "or save and load an untied copy of the model."
        )
    text = "no tied modules were found in the model"
    if tied:
        text = "no tied modules are added in either `modules_to_save` or `target_modules`"
    warnings.warn(f"You have requested `ensure_weight_tying`, but {text}", stacklevel=5)


def _check_patterns(config: Any, names: list[str]) -> None:
    for field in ("rank_pattern", "alpha_pattern"):
        patterns = getattr(config, field, None) or {}
        unused = sorted(
            key for key in patterns if not any(re.match(rf"(.*\.)?({key})$", n) for n in names)
        )
        if unused:
            warnings.warn(
                f"The following {field} keys did not match any targeted module and were ignored: "
                f"{unused}.",
                RuntimeWarning,
                stacklevel=4,
            )


def _frozen_before(model: nn.Layer, adapter_name: str) -> list[tuple[paddle.Tensor, bool]]:
    """Which parameters were frozen, if the model has adapters already: a new one keeps that."""
    if not any(isinstance(m, BaseTunerLayer) for m in model.sublayers(include_self=True)):
        return []
    kept = {}
    for name, param in model.named_parameters():
        if f".{adapter_name}." not in name and not name.endswith(f".{adapter_name}"):
            kept[id(param)] = (param, param.stop_gradient)
    return list(kept.values())


def _inside_adapters(model: nn.Layer) -> set[str]:
    """Names of all modules that lie below an adapter layer."""
    found = set()
    for name, layer in model.named_sublayers(include_self=True):
        if isinstance(layer, BaseTunerLayer):
            dot = f"{name}." if name else ""
            found |= {f"{dot}{below}" for below, _ in layer.named_sublayers()}
    return found


def get_submodules(model: nn.Layer, key: str) -> tuple[nn.Layer, nn.Layer, str]:
    """(parent, module, its name in the parent) of the module ``key``."""
    parent, _, name = key.rpartition(".")
    return model.get_submodule(parent), model.get_submodule(key), name


def tied_names(model: Any) -> list[str]:
    """Names of the modules whose weight is the input embedding's, other than the embedding."""

    def weight_of(name: str) -> Any:
        try:
            module: Any = model.get_submodule(name.rpartition(".")[0])
        except AttributeError:
            return None
        while isinstance(module, (BaseTunerLayer, AuxiliaryTrainingWrapper)):
            inner = isinstance(module, BaseTunerLayer)
            module = module.get_base_layer() if inner else module.original_module
        return getattr(module, "weight", None)

    ties = model.key_map.ties if hasattr(model, "active_ties") else ()
    weights = {tie.target: (weight_of(tie.target), weight_of(tie.source)) for tie in ties}
    same = [name for name, (one, other) in weights.items() if one is not None and one is other]
    return sorted({name.rpartition(".")[0] for name in same})


def adapter_keys(model: nn.Layer, adapter_name: str | None = None) -> set[str]:
    """Beginnings of the names of all tensors that belong to adapters.

    With ``adapter_name``, of that adapter alone where names tell.
    """
    found: set[str] = set()
    wrapped: set[str] = set()
    for name, layer in model.named_sublayers(include_self=True):
        if isinstance(layer, AuxiliaryTrainingWrapper):
            wrapped.add(name)
        elif isinstance(layer, (BaseTuner, BaseTunerLayer)) and not under(name, wrapped):
            members = {**layer._sub_layers, **layer._parameters, **layer._buffers}
            for member, value in members.items():
                if member in ("base_layer", "model"):
                    continue
                key = f"{name}.{member}" if name else member
                holder = isinstance(value, (nn.LayerDict, ParameterDict, BufferDict))
                if adapter_name is None or not holder:
                    found.add(key)
                elif adapter_name in value:
                    found.add(f"{key}.{adapter_name}")
    return found


def under(key: str, prefixes: set[str]) -> bool:
    """Whether ``key``, or a beginning of it up to a dot, is among ``prefixes``."""
    while key:
        if key in prefixes:
            return True
        key = key.rpartition(".")[0]
    return False


def set_adapter(
    model: nn.Layer,
    adapter_name: str | list[str],
    inference_mode: bool = False,
    layer_cls: Any = BaseTunerLayer,
) -> None:
    """Activate adapters in every adapter layer of ``model``."""
    _set_adapter(model, adapter_name, inference_mode)
    for layer in model.sublayers(include_self=True):
        if isinstance(layer, layer_cls):
            if layer.merged:
                warnings.warn(
                    "Adapter cannot be set when the model is merged. Unmerging the model first.",
                    stacklevel=3,
                )
                layer.unmerge()
            layer.set_adapter(adapter_name, inference_mode)


def set_requires_grad(
    model: nn.Layer, adapter_names: str | Sequence[str], requires_grad: bool = True
) -> None:
    """Freeze adapters in every adapter layer, or let them be trained."""
    for layer in model.sublayers(include_self=True):
        if isinstance(layer, (BaseTunerLayer, AuxiliaryTrainingWrapper)):
            layer.set_requires_grad(adapter_names, requires_grad)


def _check_adapters_not_merged(model: nn.Layer, adapter_name: str) -> None:
    for layer in model.sublayers(include_self=True):
        if isinstance(layer, BaseTunerLayer) and adapter_name in layer.merged_adapters:
            raise ValueError(
                f"Cannot delete adapter(s) {[adapter_name]} while they are merged. Please unmerge "
                "them first."
            )


def delete_adapter(
    model: nn.Layer, adapter_name: str, prefix: str, layer_cls: Any = BaseTunerLayer
) -> list[str] | None:
    """Remove an adapter from every layer; return which adapters are active then."""
    new = None
    for layer in model.sublayers(include_self=True):
        if isinstance(layer, layer_cls):
            layer.delete_adapter(adapter_name)
            new = list(layer.active_adapters) if new is None else new
    _delete_auxiliary_adapter(model, adapter_name, new)
    return new


def _delete_auxiliary_adapter(model: nn.Layer, adapter_name: str, new: list[str] | None) -> None:
    for layer in model.sublayers(include_self=True):
        if isinstance(layer, AuxiliaryTrainingWrapper):
            layer.delete_adapter(adapter_name, new)


def cast_adapter_dtype(
    model: nn.Layer, adapter_name: str, autocast_adapter_dtype: bool = True
) -> None:
    """Keep an adapter's half-precision parameters in float32."""
    if not autocast_adapter_dtype:
        return
    wide = paddle.zeros([1], dtype="float32")
    half = (paddle.float16, paddle.bfloat16)
    for layer in model.sublayers(include_self=True):
        if not isinstance(layer, BaseTunerLayer):
            continue
        for holder in layer.sublayers():
            own = isinstance(holder, (nn.LayerDict, ParameterDict, BufferDict))
            if not own or adapter_name not in holder:
                continue
            item = holder[adapter_name]
            tensors = [item] if isinstance(item, paddle.Tensor) else item.parameters()
            for tensor in tensors:
                if tensor.dtype in half:
                    move_like(tensor, wide.to(tensor.place))


def inspect_matched_modules(tuner: BaseTuner, adapter_name: str = "default") -> dict[str, list]:
    """Names of the modules that an adapter's config means, and of the others."""
    config = tuner.peft_config[adapter_name]
    names = ["", *(name for name, _ in tuner.model.named_sublayers())]
    hit = {n: bool(tuner._check_target_module_exists(config, n)) for n in names}
    return {
        "matched": [name for name in names if hit[name]],
        "unmatched": [name for name in names if not hit[name]],
    }
