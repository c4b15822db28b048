"""Mirror of ``trl.trainer.utils``: models, adapters and log-probabilities for the trainers.

Shape letters: B batch, S sequence, T scored positions, V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.trl.trainer.label_scores import LabelLogProbs

IGNORED = -100


def pad(
    rows: list[Any],
    padding_value: int = 0,
    padding_side: str = "right",
    pad_to_multiple_of: int | None = None,
) -> paddle.Tensor:
    """Stack integer sequences of any lengths into ``[len(rows), longest]``, int64 on the host.

    Raises: ValueError for another side.
    """
    if padding_side not in ("left", "right"):
        raise ValueError("padding_side must be 'left' or 'right'")
    width = max(len(row) for row in rows)
    if pad_to_multiple_of is not None:
        width = -(-width // pad_to_multiple_of) * pad_to_multiple_of
    out = np.full((len(rows), width), padding_value, dtype=np.int64)
    for i, row in enumerate(rows):
        start = width - len(row) if padding_side == "left" else 0
        out[i, start : start + len(row)] = row
    return paddle.to_tensor(out, place=paddle.CPUPlace())


def get_quantization_config(model_args: Any) -> None:
    """Return None: weights are not quantized.

    Raises: UnsupportedArgumentError if 8 or 4 bits are asked for.
    """
    for name in ("load_in_4bit", "load_in_8bit"):
        if getattr(model_args, name):
            raise UnsupportedArgumentError(
                f"ModelConfig({name}=True): quantized training is not implemented. Leave it out; "
                "gradient checkpointing and a LoRA adapter save memory."
            )


def get_kbit_device_map() -> None:
    """Return None: models lie on one device, and none is quantized."""


def get_peft_config(model_args: Any) -> Any:
    """Return the LoraConfig that a ModelConfig describes, None without ``use_peft``."""
    if not model_args.use_peft:
        return None
    from hfpaddle.peft import LoraConfig

    further = {}
    if model_args.lora_target_parameters is not None:
        further["target_parameters"] = model_args.lora_target_parameters
    return LoraConfig(
        task_type=model_args.lora_task_type,
        r=model_args.lora_r,
        target_modules=model_args.lora_target_modules,
        lora_alpha=model_args.lora_alpha,
        lora_dropout=model_args.lora_dropout,
        bias="none",
        use_rslora=model_args.use_rslora,
        use_dora=model_args.use_dora,
        modules_to_save=model_args.lora_modules_to_save,
        **further,
    )


def get_config_model_id(config: Any) -> str:
    """Return where the model of ``config`` was loaded from."""
    return getattr(config, "_name_or_path", "")


def create_model_from_path(model_id: str, architecture: Any = None, **kwargs: Any) -> Any:
    """Load a checkpoint, float32 unless ``dtype`` says otherwise.

    Args:
        architecture: an auto class; None for the class that the config names.
        kwargs: for from_pretrained.
    """
    from hfpaddle import transformers

    kwargs.setdefault("dtype", "float32")
    kwargs.setdefault("device_map", None)
    if architecture is None:
        trusted = {"trust_remote_code": kwargs.get("trust_remote_code", False)}
        config = transformers.AutoConfig.from_pretrained(model_id, **trusted)
        names = config.architectures or ["AutoModelForCausalLM"]
        architecture = getattr(transformers, names[0], transformers.AutoModelForCausalLM)
    return architecture.from_pretrained(model_id, **kwargs)


def disable_dropout_in_model(model: Any) -> None:
    """Set every rate of dropout to 0, that of attention weights too."""
    for layer in model.sublayers(include_self=True):
        for name, value in list(vars(layer).items()):
            if isinstance(value, float) and (name == "p" or name.endswith("dropout")):
                setattr(layer, name, 0.0)


def is_peft_model(model: Any) -> bool:
    from hfpaddle.peft import PeftModel

    return isinstance(model, PeftModel)


@contextlib.contextmanager
def use_adapter(model: Any, adapter_name: str | None) -> Iterator[None]:
    """Within it ``adapter_name`` is the active adapter; None for none."""
    if adapter_name is None:
        with model.disable_adapter():
            yield
        return
    previous = model.active_adapter
    model.set_adapter(adapter_name)
    try:
        yield
    finally:
        model.set_adapter(previous)


@dataclass
class TokenScores:
    """What a model says about each label that follows; zero where the label is -100.

    Without statistics all but ``log_probs`` and ``label_mask`` are None.

    Attributes:
        log_probs: ``[B, T]`` float32, log-probability of the label.
        entropy: ``[B, T]`` float32 without gradient, of the distribution.
        is_top1: ``[B, T]`` bool, whether the label is the likeliest.
        label_mask: ``[B, T]`` bool, whether there is a label.
        mean_logits: ``[B, T]`` float32 without gradient, mean over the vocabulary.
        log_sum_sq_probs: ``[B, T]`` float32 without gradient, log of the sum of squares.
        aux_loss: load-balancing loss of a mixture of experts, if it gives one.
    """

    log_probs: paddle.Tensor
    entropy: Any
    is_top1: Any
    label_mask: paddle.Tensor
    mean_logits: Any
    log_sum_sq_probs: Any
    aux_loss: Any = None


def score_tokens(
    logits_BSV: paddle.Tensor, labels_BS: paddle.Tensor, statistics: bool = True
) -> TokenScores:
    """Score each label by the logits of the position before it.

    Args:
        logits_BSV: may have further positions in front (virtual tokens), which have no labels.
        labels_BS: integers; -100 does not count.
    Returns: scores at the S - 1 positions before the last, with virtual tokens at all of theirs.
    """
    V, virtual = logits_BSV.shape[-1], logits_BSV.shape[1] - labels_BS.shape[1]
    labels_BS = labels_BS.astype("int64")
    if virtual:
        labels_BS = F.pad(labels_BS, [virtual, 0], value=IGNORED)
    labels_BT = labels_BS[:, 1:]
    shape, mask_BT = labels_BT.shape, labels_BT != IGNORED
    at = paddle.nonzero(mask_BT.reshape([-1])).reshape([-1])
    if at.shape[0] == 0:
        zeros = logits_BSV[:, :-1].sum(axis=-1).astype("float32") * 0.0
        plain = zeros.detach()
        return TokenScores(zeros, plain, mask_BT, mask_BT, plain, plain)
    # The labels are those of the next position, so their logits lie among S, not T, a row.
    rows_N = at + at // shape[1]
    labels_N = labels_BT.reshape([-1]).index_select(at)
    found: list[paddle.Tensor] | None = [] if statistics else None
    log_probs_N = LabelLogProbs.apply(logits_BSV.reshape([-1, V]), rows_N, labels_N, found)
    if found is None:
        return TokenScores(_spread(log_probs_N, at, shape), None, None, mask_BT, None, None)
    values = [log_probs_N, *found]
    spread = [_spread(value, at, shape) for value in values]
    log_probs, entropy, hits, mean_logits, squares = spread
    return TokenScores(log_probs, entropy, hits > 0, mask_BT, mean_logits, squares)


def _spread(values_N: paddle.Tensor, at_N: paddle.Tensor, shape: list[int]) -> paddle.Tensor:
    """Put values at their positions of a zero tensor of ``shape``."""
    size = [shape[0] * shape[1]]
    return paddle.scatter_nd(at_N.unsqueeze(-1), values_N, size).reshape(shape)
