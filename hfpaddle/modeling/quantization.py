"""Models whose linear weights are stored in 8 or 4 bits: what may be asked for, and loading it.

Two kinds: the blocks of a GGUF file kept as they are on disk, and floating weights that are rounded
when they are loaded (weight-only int8 and int4).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import paddle
from paddle import nn

from hfpaddle import ops
from hfpaddle.converters.entry import TensorEntry
from hfpaddle.converters.gguf_quants import Block, dequantize
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.logging import warn_once
from hfpaddle.core.op import discover
from hfpaddle.layers.basic import Embedding, Linear
from hfpaddle.layers.quantized import QuantizedEmbedding, QuantizedLinear, quantize
from hfpaddle.ops.quantized import Format

GROUPS = (128, 64, 32)
KERNELS = ("Q4_0", "Q5_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K")
NEAREST = (
    "nearest: hfpaddle.WeightOnlyConfig(bits=8) or (bits=4), or GgufConfig() with gguf_file=..."
)


@dataclass(frozen=True)
class WeightOnlyConfig:
    """Round the weights of linear layers to integers when they are loaded; everything else stays.

    Args:
        bits: 8 or 4.
        group_size: columns that share a scale: 32, 64 or 128, or 0 for a whole row (8 bits only).
            Default: a row for 8 bits, and for 4 the largest of 128, 64, 32 that divides the row.
            A layer whose rows it does not divide stays as it is, with a warning.
        symmetric: no zero points. Default: True for 8 bits (False is refused), False for 4.
        lm_head: round the vocabulary projection as well, untied from the embedding if it was tied.
        modules_to_not_convert: names of layers, whole or their last or first parts, that stay.
    Raises: UnsupportedArgumentError for other values.
    """

    bits: int = 8
    group_size: int | None = None
    symmetric: bool | None = None
    lm_head: bool = False
    modules_to_not_convert: tuple[str, ...] | list[str] | None = None

    def __post_init__(self) -> None:
        problem = ""
        if self.bits not in (8, 4):
            problem = f"bits={self.bits!r} (known: 8, 4)"
        elif self.group_size not in (None, *GROUPS, *((0,) if self.bits == 8 else ())):
            problem = f"group_size={self.group_size!r} (known: {[*GROUPS]}, and 0 for 8 bits)"
        elif self.bits == 8 and self.symmetric is False:
            problem = "symmetric=False with 8 bits (nearest: True)"
        if problem:
            raise UnsupportedArgumentError(f"WeightOnlyConfig: {problem} is not supported.")

    def group(self, cols: int) -> int:
        """Return the columns that share a scale in a row of ``cols``; 0 if none fits."""
        if self.group_size == 0 or (self.group_size is None and self.bits == 8):
            return cols
        fitting = (self.group_size,) if self.group_size else GROUPS
        return next((size for size in fitting if size and cols % size == 0), 0)

    def keeps(self, name: str) -> bool:
        """Whether the layer ``name`` stays as it is."""
        return any(
            name == part or name.startswith(f"{part}.") or f".{part}." in f".{name}."
            for part in self.modules_to_not_convert or ()
        )


class TorchAoConfig:
    """transformers' class of this name, for weight-only int8 and int4.

    Args:
        quant_type: "int8_weight_only", "int4_weight_only", or a config of torchao's with
            that meaning (``Int8WeightOnlyConfig``, ``Int4WeightOnlyConfig``).
        modules_to_not_convert: as in `WeightOnlyConfig`.
        group_size: beside a string, as in transformers 4.
    Raises: UnsupportedArgumentError for every other meaning.
    """

    quant_method = "torchao"

    def __init__(
        self,
        quant_type: Any,
        modules_to_not_convert: list | None = None,
        include_input_output_embeddings: bool = False,
        untie_embedding_weights: bool = False,
        **kwargs: Any,
    ) -> None:
        names = {"int8_weight_only": 8, "int4_weight_only": 4}
        names |= {"Int8WeightOnlyConfig": 8, "Int4WeightOnlyConfig": 4}
        name = quant_type if isinstance(quant_type, str) else type(quant_type).__name__
        group = kwargs.pop("group_size", getattr(quant_type, "group_size", None))
        if name not in names or include_input_output_embeddings or kwargs:
            asked = {"quant_type": name, **kwargs}
            if include_input_output_embeddings:
                asked["include_input_output_embeddings"] = True
            raise UnsupportedArgumentError(f"TorchAoConfig({asked}) is not supported ({NEAREST}).")
        self.quant_type, self.modules_to_not_convert = quant_type, modules_to_not_convert
        bits = names[name]
        self.meaning = WeightOnlyConfig(
            bits,
            group_size=group if group is not None or bits == 8 else 128,
            modules_to_not_convert=modules_to_not_convert,
        )


class Blocks:
    """Asked for: the file's blocks as they are."""


def requested(value: Any, gguf_file: str | None) -> WeightOnlyConfig | Blocks | None:
    """Return what ``quantization_config=value`` means here.

    Raises: UnsupportedArgumentError, a ValueError, for what has no implementation and for
    GgufConfig without ``gguf_file``.
    """
    if value is None or isinstance(value, WeightOnlyConfig):
        return value
    if isinstance(value, TorchAoConfig):
        return value.meaning
    get = value.get if isinstance(value, dict) else partial(_attribute, value)
    method = get("quant_method")
    if method == "gguf":
        if not gguf_file:
            raise UnsupportedArgumentError(
                "from_pretrained: quantization_config=GgufConfig needs the file as gguf_file=..."
            )
        return None if get("dequantize") else Blocks()
    bits = {"int8": 8, "int4": 4}.get(get("weights") or "int8")
    if method == "quanto" and bits and get("activations") is None:
        # Quanto's int4 has groups of 128 where they divide a row, and smaller ones elsewhere.
        return WeightOnlyConfig(bits, modules_to_not_convert=get("modules_to_not_convert"))
    raise UnsupportedArgumentError(
        f"from_pretrained: quantization_config={value!r} is not supported ({NEAREST})."
    )


def _attribute(value: Any, name: str) -> Any:
    return getattr(value, name, None)


def quantize_layers(
    model: Any, filled: dict[str, TensorEntry], wanted: WeightOnlyConfig | Blocks | None
) -> dict[str, TensorEntry]:
    """Replace linear layers (and embeddings, for blocks) by quantised ones, filled.

    Args:
        filled: entry of each parameter that the checkpoint has.
    Returns: the entries that remain to be loaded.
    """
    if wanted is None:
        return filled
    left = dict(filled)
    keep = _keep_blocks if isinstance(wanted, Blocks) else partial(_round, wanted)
    for name in keep(model, filled):
        left.pop(name, None)
    model.is_quantized, model.quantization = True, wanted
    return left


# Blocks of a GGUF file


def _keep_blocks(model: Any, filled: dict[str, TensorEntry]) -> list[str]:
    """Return the parameters that now lie in quantised layers."""
    discover("cpu")
    if not ops.quantized_linear.impls:
        warn_once(
            "GgufConfig: the kernels for the CPU are unavailable, so all weights are unpacked to "
            "float32: several times the file's memory."
        )
        return []
    users = _users(model)
    done: list[str] = []
    left: Counter[str] = Counter()
    for name, entry in filled.items():
        if entry.block is None:
            continue
        layers = users.get(name, [])
        fits = bool(layers) and all(type(x) in (Linear, Embedding) for x in layers)
        if entry.blocks is None or entry.block.name not in KERNELS or not fits:
            left[entry.block.name] += 1
            continue
        weight = entry.blocks()
        for layer in layers:
            replace(model, layer, _from_blocks(layer, entry.block, entry.shape[1], weight))
        done.append(name)
    if left:
        kinds = ", ".join(f"{count} of {kind}" for kind, count in left.items())
        warn_once(
            f"GgufConfig: {sum(left.values())} tensors ({kinds}) are unpacked to float32: there is "
            f"no kernel for their format or their place. Kernels: {', '.join(KERNELS)}."
        )
    return done


def _users(model: Any) -> dict[str, list[nn.Layer]]:
    """Return the layers whose ``weight`` is the parameter of each name, tied ones included."""
    owners = {f"{name}.weight": layer for name, layer in model.named_sublayers(include_self=True)}
    users = {name: [layer] for name, layer in owners.items()}
    for target, source in model.active_ties().items():
        if source in users and target in owners:
            users[source].append(owners[target])
    return users


def _from_blocks(layer: Any, block: Block, cols: int, weight: paddle.Tensor) -> nn.Layer:
    stored = Format(block.name, block.weights, block.bytes, partial(_unpack, block))
    if isinstance(layer, Embedding):
        return QuantizedEmbedding(stored, cols, weight, layer.padding_idx, layer.scale)
    return QuantizedLinear(stored, cols, weight, bias=layer.bias)


def _unpack(block: Block, data: np.ndarray) -> np.ndarray:
    out = np.empty(data.size // block.bytes * block.weights, np.float32)
    dequantize(np.ascontiguousarray(data).reshape(-1), block, out)
    return out


# Integers


def _round(config: WeightOnlyConfig, model: Any, filled: dict[str, TensorEntry]) -> list[str]:
    """Return the parameters that now lie in quantised layers."""
    head = model.get_output_embeddings()
    ties = model.active_ties()
    done, odd = [], []
    for name, layer in list(model.named_sublayers()):
        source = ties.get(f"{name}.weight", f"{name}.weight")
        if type(layer) is not Linear or source not in filled or config.keeps(name):
            continue
        if layer is head and not config.lm_head or layer is not head and source in ties.values():
            continue
        rows, cols = layer.weight.shape
        group = config.group(cols)
        if not group:
            odd.append(name)
            continue
        values = filled[source].load().astype("float32").numpy()
        symmetric = config.bits == 8 if config.symmetric is None else config.symmetric
        parts = quantize(values, config.bits, group, symmetric)
        tensors = [None if part is None else paddle.from_dlpack(part) for part in parts]
        stored = Format(f"int{config.bits}", group)
        if source != f"{name}.weight":
            model.untie(f"{name}.weight")
        else:
            done.append(source)
        quantized = QuantizedLinear(stored, cols, *tensors, bias=layer.bias)  # type: ignore[arg-type]
        replace(model, layer, quantized)
    if odd:
        warn_once(
            f"WeightOnlyConfig: {len(odd)} layers keep their weights, because no group of "
            f"{config.group_size or GROUPS} columns divides their rows; first: {odd[0]}."
        )
    return done


def replace(model: nn.Layer, old: nn.Layer, new: nn.Layer) -> None:
    """Put ``new`` wherever ``old`` is a sublayer."""
    for parent in model.sublayers(include_self=True):
        for name, child in parent._sub_layers.items():
            if child is old:
                parent._sub_layers[name] = new
