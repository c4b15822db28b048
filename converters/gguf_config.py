"""The config that a GGUF file's metadata describes, as arguments of transformers' config class.

It is what ``transformers`` derives, and in addition what it passes over although the file states it
and results depend on it: sizes without which the tensors do not fit, rotary bases and scalings, and
the gate of T5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hfpaddle.converters.gguf_names import ALWAYS_TIED, FAMILIES, MIXTRAL, TOKEN_IDS, Family
from hfpaddle.core.errors import (
    CheckpointError,
    UnsupportedConfigError,
    UnsupportedModelError,
    nearest,
)
from hfpaddle.core.logging import logger

# Llama 3.1 to 3.3 differ in the factor alone (8 or 32).
_LLAMA3 = {
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def find_family(metadata: dict[str, Any], source: str) -> Family:
    """The family of ``general.architecture``.

    Raises: CheckpointError if the file names none; UnsupportedModelError if it is not known here.
    """
    name = metadata.get("general.architecture")
    if not isinstance(name, str):
        raise CheckpointError(
            f"{source}: the metadata has no general.architecture, so it is no model. A file of "
            "vocabulary or adapter alone cannot be loaded."
        )
    if name == "llama" and _number(metadata, "llama.expert_count"):
        return MIXTRAL
    if name == "llama" and metadata.get("general.name") == "mistral":
        return FAMILIES["mistral"]
    if name not in FAMILIES:
        raise UnsupportedModelError(
            f"{source}: GGUF architecture {name!r} has no reader here{nearest(name, FAMILIES)}. "
            f"Known: {', '.join(sorted(FAMILIES))}. Load the model's safetensors files instead."
        )
    return FAMILIES[name]


def _number(metadata: dict[str, Any], key: str) -> Any:
    value = metadata.get(key)
    return value if type(value) in (int, float) else None


def _plain(value: Any) -> Any:
    """Arrays become lists, and a list of one its item, as in transformers."""
    value = value.tolist() if isinstance(value, np.ndarray) else value
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def make_config(
    family: Family,
    metadata: dict[str, Any],
    names: set[str],
    values: Callable[[str], np.ndarray],
    source: str,
) -> dict[str, Any]:
    """Arguments for the config class, with ``model_type`` among them.

    Args:
        names: of the file's tensors.
        values: reads one of them.
    """
    arch = metadata["general.architecture"]
    config: dict[str, Any] = {
        "model_type": family.model_type,
        "tie_word_embeddings": "output.weight" not in names or arch in ALWAYS_TIED,
        **family.defaults,
    }
    if "general.name" in metadata:
        config["_model_name_or_path"] = metadata["general.name"]
    for theirs, ours in family.config.items():
        if f"{arch}.{theirs}" in metadata:
            config[ours] = _plain(metadata[f"{arch}.{theirs}"])
    for key, ours in TOKEN_IDS.items():
        if key in metadata:
            config[ours] = metadata[key]
    tokens = metadata.get("tokenizer.ggml.tokens")
    if "vocab_size" not in config and isinstance(tokens, list):
        config["vocab_size"] = len(tokens)
    if family.model_type == "stablelm":
        config["use_qkv_bias"] = any(name.endswith("attn_q.bias") for name in names)
        config["use_parallel_residual"] = not any("ffn_norm" in name for name in names)
    added = {
        ours: _plain(metadata[f"{arch}.{theirs}"])
        for theirs, ours in family.extra.items()
        if f"{arch}.{theirs}" in metadata
    }
    added |= _special(family, arch, metadata, config, names, source)
    added |= _rope_scaling(arch, metadata, config, names, values, source)
    if added:
        logger.info("%s: the file also states %s; transformers ignores it", source, added)
    return config | added


def _special(
    family: Family, arch: str, metadata: dict, config: dict, names: set[str], source: str
) -> dict[str, Any]:
    """What single families need."""
    if family.model_type == "falcon":
        shared = _number(metadata, "falcon.attention.head_count_kv")
        if shared not in (None, 1) or any("attn_norm_2" in name for name in names):
            raise UnsupportedConfigError(
                f"{source}: Falcon with {shared} key/value heads stores its attention in an order "
                "that is not read here; the limit is 1, as in Falcon 7B. Load its safetensors."
            )
    if family.model_type == "t5":
        gated = any(".ffn_gate." in name for name in names)
        return {"feed_forward_proj": "gated-gelu" if gated else "relu"}
    turned = _number(metadata, f"{arch}.rope.dimension_count")
    if family.model_type == "stablelm" and turned:
        heads = _number(config, "num_attention_heads")
        hidden = _number(config, "hidden_size")
        if heads and hidden:
            return {"partial_rotary_factor": turned * heads / hidden}
    return {}


def _rope_scaling(
    arch: str,
    metadata: dict,
    config: dict,
    names: set[str],
    values: Callable[[str], np.ndarray],
    source: str,
) -> dict[str, Any]:
    """``rope_scaling`` from its keys, or from tables that stand among the tensors."""
    if "rope_freqs.weight" in names:
        return {"rope_scaling": _llama3_scaling(config, values("rope_freqs.weight"), source)}
    original = _number(metadata, f"{arch}.rope.scaling.original_context_length")
    if "rope_factors_long.weight" in names and "rope_factors_short.weight" in names:
        scaling = {
            "rope_type": "longrope",
            "long_factor": values("rope_factors_long.weight").tolist(),
            "short_factor": values("rope_factors_short.weight").tolist(),
        }
        kept = {"original_max_position_embeddings": original} if original else {}
        return {"rope_scaling": scaling, **kept}
    kind = metadata.get(f"{arch}.rope.scaling.type", "none")
    factor = _number(metadata, f"{arch}.rope.scaling.factor")
    if kind == "none" or factor is None:
        return {}
    if kind not in ("linear", "yarn"):
        raise UnsupportedConfigError(
            f"{source}: {arch}.rope.scaling.type is {kind!r}; 'none', 'linear' and 'yarn' are "
            "known. Load the model's safetensors files instead."
        )
    scaling = {"rope_type": kind, "factor": factor}
    if kind == "yarn" and original:
        scaling["original_max_position_embeddings"] = original
    return {"rope_scaling": scaling}


def _llama3_scaling(config: dict, table: np.ndarray, source: str) -> dict[str, Any]:
    """Recover Llama 3's parameters from its table of divisors, one a frequency.

    Raises: UnsupportedConfigError if no factor gives the table.
    """
    table = table.reshape(-1)
    count, factor = len(table), float(table.max())
    theta = float(_number(config, "rope_theta") or 10000.0)
    wavelength = 2 * math.pi * theta ** (np.arange(count) / count)
    low, high = _LLAMA3["low_freq_factor"], _LLAMA3["high_freq_factor"]
    turns = _LLAMA3["original_max_position_embeddings"] / wavelength
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    if not np.allclose(table, 1 / ((1 - smooth) / factor + smooth), rtol=1e-3):
        raise UnsupportedConfigError(
            f"{source}: the {count} rotary divisors in rope_freqs.weight (largest {factor:g}) are "
            "not Llama 3's. Load the model's safetensors files instead."
        )
    return {"rope_type": "llama3", "factor": factor, **_LLAMA3}
