"""LoRA+: the second factor learns faster than the first (arXiv:2402.12354)."""

from __future__ import annotations

from typing import Any

from paddle import nn

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.layers import LayerNorm
from hfpaddle.peft.tuners.lora.layer import Embedding


def _group(model: nn.Layer, name: str, param: Any) -> str:
    """Which group a trained parameter belongs to."""
    parts = name.split(".")
    owner: Any = model.get_submodule(".".join(parts[:-2])) if len(parts) > 2 else None
    if isinstance(owner, Embedding):
        return "embedding"
    if "lora_B" not in name and param.ndim != 1:
        return "A"
    holder = model.get_submodule(".".join(parts[:-1]))
    decays = "bias" not in name and not isinstance(holder, (LayerNorm, nn.LayerNorm))
    return "B" if decays else "B without decay"


def create_loraplus_optimizer(
    model: nn.Layer, optimizer_cls: Any, *, lr: float, loraplus_lr_ratio: float, **kwargs: Any
) -> Any:
    """Build an optimizer over groups of trained parameters with rates of their own.

    Args:
        optimizer_cls: of `torch.optim`'s kind.
        lr, loraplus_lr_ratio: rate of ``A``, and how many times as fast ``B`` learns.
        kwargs: ``loraplus_weight_decay``, ``loraplus_lr_embedding``, and the optimizer's own.
    Raises: UnsupportedArgumentError for optimizers of 8 bits.
    """
    if "8bit" in optimizer_cls.__name__:
        raise UnsupportedArgumentError(
            f"create_loraplus_optimizer: {optimizer_cls.__name__} (8 bits) is not implemented. "
            "Use AdamW."
        )
    decay = kwargs.pop("loraplus_weight_decay", 0.0)
    embedding_lr = kwargs.pop("loraplus_lr_embedding", 1e-6)
    fast = lr * loraplus_lr_ratio
    settings = {
        "A": (decay, lr), "embedding": (decay, embedding_lr), "B": (decay, fast),
        "B without decay": (0.0, fast),
    }  # fmt: skip
    members: dict[str, list[Any]] = {name: [] for name in settings}
    for name, param in model.named_parameters():
        if not param.stop_gradient:
            members[_group(model, name, param)].append(param)
    groups = [
        {"params": members[name], "weight_decay": own_decay, "lr": rate}
        for name, (own_decay, rate) in settings.items()
    ]
    return optimizer_cls(groups, lr=lr, **kwargs)
