"""What kind a module of the base model is, whoever made it.

Three makers count: hfpaddle's layers, the modules of the torch surface (looked up only if a script
has loaded it), and Paddle's own.
"""

from __future__ import annotations

import sys
from typing import Any

import paddle
from paddle import nn

from hfpaddle import layers
from hfpaddle.layers.quantized import QuantizedLinear
from hfpaddle.layers.vision import PatchConv


def _surface(name: str) -> Any:
    """The class ``name`` of the torch surface, or None where nothing has loaded it."""
    modules = sys.modules.get("hfpaddle.torch.nn.modules")
    return getattr(modules, name, None)


def _is_kind(module: Any, own: type, surface: str) -> bool:
    """Whether ``module`` is of a known class and computes as that class does.

    A subclass with a forward pass of its own (a router, say) is something else: an adapter would
    change what it means.
    """
    for kind in (own, _surface(surface)):
        if kind is not None and type(module).__mro__.count(kind):
            return type(module).forward is kind.forward
    return False


def is_linear(module: Any) -> bool:
    """Weight ``[out, in]``, ``x @ weight.T + bias``."""
    return _is_kind(module, layers.Linear, "Linear")


def is_quantized_linear(module: Any) -> bool:
    """A linear layer with a frozen weight of 8 or 4 bits."""
    return type(module) is QuantizedLinear


def is_conv1d_linear(module: Any) -> bool:
    """GPT-2's Conv1D: a linear layer with weight ``[in, out]``."""
    return isinstance(module, layers.Conv1D) and type(module).forward is layers.Conv1D.forward


def is_paddle_linear(module: Any) -> bool:
    """Paddle's own linear layer, weight ``[in, out]``."""
    return type(module) is nn.Linear


def is_embedding(module: Any) -> bool:
    return _is_kind(module, layers.Embedding, "Embedding") or type(module) is nn.Embedding


_PADDLE_CONVS = (nn.Conv1D, nn.Conv2D, nn.Conv3D)


def conv_dims(module: Any) -> int:
    """1, 2 or 3 for a convolution, 0 for anything else."""
    if isinstance(module, PatchConv):
        return 2
    for dims in (1, 2, 3):
        if _is_kind(module, _PADDLE_CONVS[dims - 1], f"Conv{dims}d"):
            return dims
    return 0


def norm_shape(module: Any) -> bool:
    """Whether ``module`` is a norm with a weight of its own."""
    kinds = [layers.LayerNorm, layers.RMSNorm, nn.LayerNorm]
    kinds += [k for k in (_surface("LayerNorm"), _surface("RMSNorm")) if k is not None]
    return isinstance(module, tuple(kinds))


def in_out_features(module: Any) -> tuple[int | None, int | None]:
    """Sizes that an adapter of ``module`` has; (None, None) if they cannot be told.

    An embedding's are (number of rows, size of a row).
    """
    if is_conv1d_linear(module) or is_paddle_linear(module) or is_embedding(module):
        first, second = module.weight.shape
        return int(first), int(second)
    if dims := conv_dims(module):
        groups = conv_settings(module)["groups"]
        out, inner = module.weight.shape[:2]
        assert dims
        return int(inner) * groups, int(out)
    if hasattr(module, "in_features") and hasattr(module, "out_features"):
        return module.in_features, module.out_features
    return None, None


def _spread(value: Any, dims: int) -> Any:
    if isinstance(value, (list, tuple)):
        return list(value)
    return value if isinstance(value, str) else [value] * dims


def conv_settings(module: Any) -> dict[str, Any]:
    """Stride, padding, dilation and groups of a convolution."""
    if isinstance(module, PatchConv):
        size = list(module.patch)
        return {"stride": size, "padding": [0, 0], "dilation": [1, 1], "groups": 1}
    dims, settings = conv_dims(module), {}
    for name in ("stride", "padding", "dilation", "groups"):
        value = getattr(module, name) if hasattr(module, name) else getattr(module, f"_{name}")
        settings[name] = value if name == "groups" else _spread(value, dims)
    return settings


def pad_index(module: Any) -> int | None:
    """The row of an embedding that receives no gradient, or None."""
    index = getattr(module, "padding_idx", getattr(module, "_padding_idx", None))
    return None if index is None or index == -1 else int(index)


def embed_scale(module: Any) -> paddle.Tensor | None:
    """What an embedding multiplies its rows by, a scalar tensor in its dtype; None if nothing."""
    scale = getattr(module, "scale", None)
    scale = getattr(module, "embed_scale", None) if scale is None else scale
    if scale is None:
        return None
    if isinstance(scale, paddle.Tensor):
        return scale if scale.size == 1 else None
    return paddle.to_tensor(float(scale), dtype="float32").astype(module.weight.dtype)


def in_experts(model: nn.Layer, name: str) -> bool:
    """Whether the module ``name`` is a part of a mixture that upstream keeps as bare parameters:
    one expert, or the router.
    """
    from hfpaddle.layers.moe import SparseMoe

    parts = name.split(".")
    for i, part in enumerate(parts):
        expert = part == "experts" and i + 1 < len(parts) and parts[i + 1].isdigit()
        router = part == "gate" and i == len(parts) - 1
        if expert or router:
            return isinstance(model.get_submodule(".".join(parts[:i])), SparseMoe)
    return False
