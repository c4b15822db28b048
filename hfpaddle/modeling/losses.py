"""Losses that models compute from ``labels``, as the original library defines them.

Shape letters: B batch, S sequence, V vocabulary, C classes.
"""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F

from hfpaddle import ops


def causal_lm_loss(
    logits_BSV: paddle.Tensor,
    labels_BS: paddle.Tensor | None,
    num_items_in_batch: Any = None,
    ignore_index: int = -100,
    shift_labels: paddle.Tensor | None = None,
    **_: Any,
) -> paddle.Tensor:
    """Mean cross entropy of each token given those before it; float32 scalar.

    The last position is scored against ``ignore_index``, so the count of logits stays B * S.
    """
    if shift_labels is None:
        assert labels_BS is not None
        shift_labels = F.pad(labels_BS, [0, 1], value=ignore_index)[..., 1:]
    V = logits_BSV.shape[-1]
    return ops.cross_entropy(
        logits_BSV.reshape([-1, V]), shift_labels.reshape([-1]), ignore_index, num_items_in_batch
    )


def token_loss(
    logits: paddle.Tensor, labels: paddle.Tensor, num_items_in_batch: Any = None, **_: Any
) -> paddle.Tensor:
    """Mean cross entropy over the last axis of ``logits`` without shifting; -100 does not count."""
    C = logits.shape[-1]
    return ops.cross_entropy(
        logits.reshape([-1, C]), labels.reshape([-1]), -100, num_items_in_batch
    )


def sequence_classification_loss(
    logits_BC: paddle.Tensor, labels: paddle.Tensor, config: Any
) -> paddle.Tensor:
    """Regression, single-label or multi-label loss.

    ``config.problem_type`` says which; where it is None it is guessed, and set.
    """
    if config.problem_type is None:
        integer = labels.dtype in (paddle.int32, paddle.int64)
        if config.num_labels == 1:
            config.problem_type = "regression"
        elif integer:
            config.problem_type = "single_label_classification"
        else:
            config.problem_type = "multi_label_classification"
    if config.problem_type == "regression":
        if config.num_labels == 1:
            return F.mse_loss(logits_BC.squeeze(), labels.squeeze().astype(logits_BC.dtype))
        return F.mse_loss(logits_BC, labels.astype(logits_BC.dtype))
    if config.problem_type == "single_label_classification":
        return token_loss(logits_BC, labels)
    return F.binary_cross_entropy_with_logits(logits_BC, labels.astype(logits_BC.dtype))


def question_answering_loss(
    start_BS: paddle.Tensor,
    end_BS: paddle.Tensor,
    start_positions: paddle.Tensor,
    end_positions: paddle.Tensor,
) -> paddle.Tensor:
    """Mean of both cross entropies; positions beyond the sequence do not count."""
    S = start_BS.shape[1]
    start = start_positions.reshape([-1]).clip(0, S)
    end = end_positions.reshape([-1]).clip(0, S)
    return (ops.cross_entropy(start_BS, start, S) + ops.cross_entropy(end_BS, end, S)) / 2
