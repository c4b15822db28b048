"""Which modules of a model a config means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from paddle import nn

from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.constants import INCLUDE_LINEAR_LAYERS_SHORTHAND, SEQ_CLS_HEAD_NAMES
from hfpaddle.peft.utils.peft_types import TaskType

_LINEAR = (layers.is_linear, layers.is_conv1d_linear, layers.is_quantized_linear)


class _ExcludedModule:
    """A match that ``exclude_modules`` or ``modules_to_save`` takes back."""

    def __bool__(self) -> bool:
        return False


def match_target_against_key(target_pattern: str, key: str) -> re.Match[str] | None:
    """Whether the whole of ``key`` fits the regular expression."""
    return re.fullmatch(target_pattern, key)


def _named(names: Iterable[str], key: str) -> bool:
    """Whether one of ``names`` is ``key`` or its last parts."""
    return any(key == name or key.endswith(f".{name}") for name in names)


def get_pattern_key(pattern_keys: Iterable[str], key_to_match: str) -> str:
    """The first of ``pattern_keys`` that fits the end of the name; the name itself if none does."""
    for key in pattern_keys:
        if re.match(rf"(.*\.)?({key})$", key_to_match):
            return key
    return key_to_match


def _layer_index(key: str, layers_pattern: Any) -> int | None:
    """The number of the layer that the module ``key`` lies in."""
    if not layers_pattern:
        match = re.match(r".*?\.[^.]*\.(?P<idx>\d+)\.", key)
        return int(match["idx"]) if match else None
    patterns = [layers_pattern] if isinstance(layers_pattern, str) else layers_pattern
    for pattern in patterns:
        match = re.match(rf"(?:^|.*?\.){pattern}\.(?P<idx>\d+)\.", key)
        if match:
            return int(match["idx"])
    return None


def check_target_module_exists(config: Any, key: str) -> Any:
    """Whether ``config`` targets the module called ``key``.

    Returns something true, or false; an `_ExcludedModule` (false) where the config excludes what it
    might target.
    """
    exclude = getattr(config, "exclude_modules", None)
    if exclude:
        out = re.fullmatch(exclude, key) if isinstance(exclude, str) else _named(exclude, key)
        if out:
            return _ExcludedModule()
    for name in getattr(config, "modules_to_save", None) or ():
        if re.match(rf"(^|.*\.){name}($|\..*)", key):
            return _ExcludedModule()
    targets = config.target_modules
    if targets is None:
        return False
    if isinstance(targets, str):
        return match_target_against_key(targets, key)
    if key in targets:
        return True
    if not _named(targets, key):
        return False
    wanted = getattr(config, "layers_to_transform", None)
    if wanted is None or wanted == []:
        return True
    index = _layer_index(key, getattr(config, "layers_pattern", None))
    return index == wanted if isinstance(wanted, int) else index in wanted


def _suffixes(name: str) -> list[str]:
    """``a.b.c`` -> ``c``, ``b.c``, ``a.b.c``."""
    parts = name.split(".")
    return [".".join(parts[i:]) for i in reversed(range(len(parts)))]


def _find_minimal_target_modules(
    target_modules: Iterable[str], other_module_names: Iterable[str]
) -> set[str]:
    """The shortest names that mean ``target_modules`` and none of the others.

    Raises: ValueError for a string, an empty name, or names that are in both.
    """
    if isinstance(target_modules, str) or not target_modules:
        raise ValueError("target_modules should be a list or set of strings.")
    targets, others = set(target_modules), set(other_module_names)
    if "" in targets:
        raise ValueError("target_modules should not contain an empty string.")
    if targets & others:
        raise ValueError("target_modules and other_module_names contain common elements.")
    taken = {suffix for name in others for suffix in _suffixes(name)}
    found: set[str] = set()
    for name, suffixes in sorted(((n, _suffixes(n)) for n in targets), key=lambda pair: pair[1]):
        for suffix in suffixes:
            if suffix in found or suffix in taken:
                continue
            if not any(name.endswith(f".{known}") for known in found):
                found.add(suffix)
                break
    return found or targets


def all_linear(model: nn.Layer, task_type: Any) -> set[str]:
    """Names of every linear module but the output layer: what "all-linear" means.

    Experts of a mixture are left out, as they are no linear modules in transformers 5.
    """
    from hfpaddle.modeling.base import PreTrainedModel
    from hfpaddle.peft.tuners.tuners_utils import BaseTunerLayer

    found, below = set(), set()
    for name, module in model.named_sublayers(include_self=True):
        if isinstance(module, BaseTunerLayer):
            below |= {f"{name}.{n}" for n, _ in module.named_sublayers()}
            if "Linear" in type(module).__name__:
                found.add(name)
        elif any(is_kind(module) for is_kind in _LINEAR):
            if not layers.in_experts(model, name):
                found.add(name)
    if not isinstance(model, PreTrainedModel):
        return found - below
    head = model.get_output_embeddings()
    if head is None and task_type == TaskType.SEQ_CLS:
        heads = (getattr(model, name, None) for name in SEQ_CLS_HEAD_NAMES)
        head = next((layer for layer in heads if isinstance(layer, nn.Layer)), None)
    if head is not None:
        found -= {n for n, m in model.named_sublayers() if m is head}
    return found - below


def expand_all_linear(config: Any, model: nn.Layer) -> None:
    """Replace the word "all-linear" in the config by what it means for ``model``."""
    targets = getattr(config, "target_modules", None)
    if isinstance(targets, str) and targets.lower() == INCLUDE_LINEAR_LAYERS_SHORTHAND:
        config.target_modules = all_linear(model, config.task_type)
