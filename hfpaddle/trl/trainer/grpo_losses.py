"""Rewards to advantages, and ratios of probabilities to losses.

Sources: arXiv:2402.03300 (GRPO), 2503.20783 (Dr. GRPO), 2503.14476 (DAPO), 2506.13585 (CISPO),
2507.18071 (sequence ratios), 2511.20347 (SAPO), 2602.05261 (LUSPO), 2602.10693 (VESPO).
Shape letters: B completions, C tokens of a completion, V vocabulary, F reward functions.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F

from hfpaddle.ops.cross_entropy import summed
from hfpaddle.trl.trainer.label_scores import LabelLogProbs
from hfpaddle.trl.trainer.utils import IGNORED, _spread

CLIPPED = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo")
LOSSES = (*CLIPPED, "cispo", "sapo", "vespo")
_SMALL = 1e-4  # added to deviations


# Scores of tokens


def score_completions(
    logits_BSV: paddle.Tensor,
    labels_BC: paddle.Tensor,
    temperature: float,
    entropy: str | None = None,
) -> tuple[paddle.Tensor, paddle.Tensor | None]:
    """Score completions under the distribution that they were drawn from.

    Args:
        logits_BSV: those of the last C + 1 positions at least.
        labels_BC: the completions' tokens; -100 is not scored.
        temperature: that logits are divided by.
        entropy: None, "plain", or "gradient" to differentiate it.
    Returns: log-probabilities ``[B, C]`` float32, and entropies of the same shape or None; zero
        where the label is -100.
    """
    B, C = labels_BC.shape
    kept = logits_BSV if logits_BSV.shape[1] == C + 1 else logits_BSV[:, -C - 1 :]
    at = paddle.nonzero(labels_BC.reshape([-1]) != IGNORED).reshape([-1])
    if at.shape[0] == 0:  # a zero that the model's gradients still reach
        zeros_BC = kept[:, :-1].sum(axis=-1).astype("float32") * 0.0
        return zeros_BC, None if entropy is None else zeros_BC
    kept = kept if temperature == 1.0 else kept / temperature
    logits_MV = kept.reshape([-1, logits_BSV.shape[-1]])
    labels_N = labels_BC.reshape([-1]).index_select(at)
    rows_N = at + at // C  # a completion's tokens are scored at C of C + 1 positions
    if entropy == "gradient":
        found = _differentiable(logits_MV.index_select(rows_N), labels_N)
    else:
        statistics: list | None = None if entropy is None else []
        found = [LabelLogProbs.apply(logits_MV, rows_N, labels_N, statistics), *(statistics or ())]
    logps_BC, *rest = [_spread(value, at, [B, C]) for value in found[:2]]
    return logps_BC, rest[0] if rest else None


def _differentiable(
    logits_NV: paddle.Tensor, labels_N: paddle.Tensor
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Return log-probabilities and entropies ``[N]``, both with gradient."""
    logits_NV = logits_NV.astype("float32")
    shifted_NV = logits_NV - logits_NV.detach().max(axis=-1, keepdim=True)
    powers_NV = shifted_NV.exp()
    total_N1 = summed(powers_NV)
    logps_N1 = paddle.index_sample(shifted_NV, labels_N.unsqueeze(-1)) - total_N1.log()
    entropy_N1 = total_N1.log() - summed(powers_NV * shifted_NV) / total_N1
    return logps_N1.squeeze(-1), entropy_N1.squeeze(-1)


def high_entropy(entropies: np.ndarray, mask: np.ndarray, threshold: float) -> np.ndarray:
    """Tell which tokens have an entropy in or above the quantile ``threshold``.

    Args:
        entropies: ``[B, C]`` float32.
        mask: ``[B, C]`` bool, of the tokens that count.
    Returns: ``[B, C]`` bool, False where ``mask`` is.
    """
    values = np.sort(entropies[mask])
    if not values.size:
        return np.zeros_like(mask)
    # In float32, as torch.quantile does: the rank decides which tokens stay.
    rank = np.float32(threshold) * np.float32(values.size - 1)
    low = math.floor(rank)
    share, step = rank - np.float32(low), values[min(low + 1, values.size - 1)] - values[low]
    limit = values[low] + share * step
    if share >= 0.5:
        limit = values[min(low + 1, values.size - 1)] - step * (np.float32(1) - share)
    return (entropies >= limit) & mask


# Advantages


@dataclass
class Advantages:
    """What rewards ``[B, F]`` make of each completion.

    Attributes:
        advantages: ``[B]`` float32; 0 where no function gave a reward.
        rewards: ``[B]`` float32, weighted sums; NaN where no function gave one.
        is_std_zero: ``[B]`` bool, whether rewards do not differ.
    """

    advantages: np.ndarray
    rewards: np.ndarray
    is_std_zero: np.ndarray


def _std(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return deviations (one less in the divisor) without NaN; NaN for fewer than two values."""
    return np.nanstd(values, axis=axis, ddof=1, keepdims=True)


def _summed(rewards_BF: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total_B = np.nansum(rewards_BF * weights, axis=1, dtype=np.float32)
    total_B[np.isnan(rewards_BF).all(axis=1)] = np.nan
    return total_B


def compute_advantages(
    rewards_BF: np.ndarray, weights: np.ndarray, group: int, scale: str, aggregation: str
) -> Advantages:
    """Compare each completion with the others of its prompt.

    Args:
        rewards_BF: float32, NaN where a function does not apply.
        weights: ``[F]`` float32.
        group: completions of a prompt, which lie together.
        scale: "group", "batch" or "none".
        aggregation: "sum_then_normalize" or "normalize_then_sum".
    Raises: ValueError for another scale or aggregation.
    """
    if aggregation not in ("sum_then_normalize", "normalize_then_sum"):
        raise ValueError(
            f"Invalid multi_objective_aggregation: {aggregation}. Must be 'sum_then_normalize' or "
            "'normalize_then_sum'."
        )
    if scale not in ("group", "batch", "none"):
        raise ValueError(
            f"Invalid value for scale_rewards: {scale}. Must be one of 'batch', 'group', or 'none'."
        )
    plain_B = _summed(rewards_BF, weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of groups that hold only NaN
        if aggregation == "sum_then_normalize":
            advantages_B, std_B = _relative_to_group(plain_B, group, scale)
        else:
            grouped = rewards_BF.reshape(-1, group, rewards_BF.shape[1])
            mean = np.nanmean(grouped, axis=1, keepdims=True)
            std = _std(grouped, axis=1) if group > 1 else np.zeros_like(mean)
            scaled_BF = ((grouped - mean) / (std + np.float32(_SMALL))).reshape(rewards_BF.shape)
            total_B = _summed(scaled_BF, weights)
            total_B[np.isnan(plain_B)] = np.nan
            std_B = np.broadcast_to(_std(total_B), total_B.shape)
            std_B = std_B if total_B.size > 1 else np.zeros_like(total_B)
            advantages_B = (total_B - np.nanmean(total_B)) / (std_B + np.float32(_SMALL))
    return Advantages(
        np.nan_to_num(advantages_B, nan=0.0).astype(np.float32), plain_B, np.isclose(std_B, 0.0)
    )


def _relative_to_group(
    rewards_B: np.ndarray, group: int, scale: str
) -> tuple[np.ndarray, np.ndarray]:
    grouped = rewards_B.reshape(-1, group)
    advantages_B = (grouped - np.nanmean(grouped, axis=1, keepdims=True)).reshape(-1)
    if scale == "batch":
        std_B = np.broadcast_to(_std(rewards_B), rewards_B.shape)
        std_B = std_B if rewards_B.size > 1 else np.zeros_like(rewards_B)
    else:
        std = _std(grouped, axis=1) if group > 1 else np.zeros_like(grouped)
        std_B = np.broadcast_to(std, grouped.shape).reshape(-1)
    if scale != "none":
        advantages_B = advantages_B / (std_B + np.float32(_SMALL))
    return advantages_B, std_B


# Losses


def gamma_weights(
    advantages_B1: paddle.Tensor,
    log_ratio_BC: paddle.Tensor,
    mask_BC: paddle.Tensor,
    k_pos: float = 2.0,
    lambda_pos: float = 3.0,
    k_neg: float = 3.0,
    lambda_neg: float = 2.0,
) -> paddle.Tensor:
    """Return ``exp(l) w^k exp(-l w)`` of each completion's ratio w, ``[B, 1]`` without gradient.

    Source: arXiv:2602.10693; k and l depend on the sign of the advantage.
    """
    with paddle.no_grad():
        clipped_BC = log_ratio_BC.clip(-20.0, 20.0) * mask_BC
        log_w = clipped_BC.sum(axis=-1, keepdim=True).clip(math.log(1e-8), 20.0)
        gains = (advantages_B1 >= 0).astype("float32")
        k = gains * k_pos + (1 - gains) * k_neg
        decay = (gains * lambda_pos + (1 - gains) * lambda_neg).clip(min=1e-4)
        phi = (decay + k * log_w - decay * log_w.exp()).exp()
        return paddle.where(paddle.isfinite(phi), phi, paddle.zeros_like(phi))


def off_policy_mask(
    advantages_B1: paddle.Tensor,
    logps_BC: paddle.Tensor,
    sampling_logps_BC: paddle.Tensor,
    mask_BC: paddle.Tensor,
    threshold: float,
) -> paddle.Tensor:
    """Return ``[B, 1]``: 0 for answers of negative advantage that moved further than ``threshold``.

    Source: arXiv:2512.02556, eq. 9.
    """
    moved_BC = sampling_logps_BC - logps_BC.detach()
    moved_BC = paddle.where(paddle.isnan(moved_BC), paddle.zeros_like(moved_BC), moved_BC)
    mean = (moved_BC * mask_BC).sum(axis=1, keepdim=True)
    mean = mean / mask_BC.sum(axis=1, keepdim=True).clip(min=1.0)
    return ((advantages_B1 >= 0) | (mean <= threshold)).astype(mask_BC.dtype)


@dataclass
class Policy:
    """What the loss of a batch is made of.

    Attributes:
        logps: ``[B, C]``, of the model.
        log_ratio: ``[B, C]``, to what it was at generation.
        ratio: ``[B, C]``, or ``[B, 1]`` for whole sequences.
        advantages: ``[B, 1]``.
        mask: ``[B, C]`` float32.
        phi: ``[B, 1]``, the weights of 'vespo'.
    """

    logps: paddle.Tensor
    log_ratio: paddle.Tensor
    ratio: paddle.Tensor
    advantages: paddle.Tensor
    mask: paddle.Tensor
    phi: Any = None


def token_losses(policy: Policy, args: Any) -> paddle.Tensor:
    """Return the loss of each token, ``[B, C]`` or ``[B, 1]``; sets ``ratio`` clipped by delta.

    Raises: ValueError for an unknown ``loss_type``.
    """
    kind, ratio, advantages = args.loss_type, policy.ratio, policy.advantages
    high = args.epsilon if args.epsilon_high is None else args.epsilon_high
    if kind == "cispo":
        return -ratio.clip(max=high).detach() * advantages * policy.logps
    if kind in CLIPPED:
        clipped = ratio.clip(1 - args.epsilon, 1 + high)
        if args.delta is not None:
            policy.ratio = ratio = ratio.clip(max=args.delta)
        return -paddle.minimum(ratio * advantages, clipped * advantages)
    if kind == "sapo":
        gains = (advantages > 0).astype("float32")
        heat = gains * args.sapo_temperature_pos + (1 - gains) * args.sapo_temperature_neg
        return -F.sigmoid(heat * (ratio - 1)) * 4 / heat * advantages
    if kind == "vespo":
        policy.phi = gamma_weights(
            *(advantages, policy.log_ratio, policy.mask),
            *(args.vespo_k_pos, args.vespo_lambda_pos, args.vespo_k_neg, args.vespo_lambda_neg),
        )
        return -policy.phi * advantages * policy.logps
    raise ValueError(f"Unknown loss type: {kind}")


def aggregate(losses_BC: paddle.Tensor, mask_BC: paddle.Tensor, args: Any, window: float) -> Any:
    """Return the mean loss of a batch as ``loss_type`` forms it.

    Args:
        window: tokens of an update's batches, by which cispo, dapo and vespo divide.
    """
    kind, masked_BC = args.loss_type, losses_BC * mask_BC
    if kind in ("grpo", "sapo"):
        return (masked_BC.sum(axis=-1) / mask_BC.sum(axis=-1).clip(min=1.0)).mean()
    if kind == "bnpo":
        return masked_BC.sum() / mask_BC.sum().clip(min=1.0)
    if kind == "dr_grpo":
        return masked_BC.sum() / (losses_BC.shape[0] * args.max_completion_length)
    if kind == "luspo":
        return masked_BC.sum(axis=-1).mean()
    return masked_BC.sum() / window


def masked_mean(values: np.ndarray, mask_BC: np.ndarray) -> float:
    """Return the mean of ``[B, C]`` where the mask is 1; of ``[B, 1]``, that of all."""
    if values.shape[1] == 1:
        return float(values.mean())
    return float((values * mask_BC).sum() / max(mask_BC.sum(), 1.0))


def sequence_means(values: np.ndarray, mask_BC: np.ndarray) -> np.ndarray:
    """Return the mean of each row ``[B]``; NaN for rows that are masked out."""
    if values.shape[1] == 1:
        return values[:, 0]
    with np.errstate(invalid="ignore"):
        return (values * mask_BC).sum(axis=1) / mask_BC.sum(axis=1)


def clip_ratios(policy: Policy, args: Any) -> dict[str, float]:
    """Return how often ratios were clipped, by the names under which trl logs it."""
    ratio, mask = policy.ratio.detach().numpy(), policy.mask.numpy()
    advantages = policy.advantages.numpy()
    bound = args.epsilon if args.epsilon_high is None else args.epsilon_high
    if args.loss_type == "cispo":
        over = ((ratio > bound) & (advantages > 0)).astype(np.float32)
        return {"cispo_clip_ratio": masked_mean(over, mask)}
    if args.loss_type == "vespo":
        return {"vespo/phi_seq_mean": masked_mean(policy.phi.numpy(), mask)}
    if args.loss_type not in CLIPPED:
        return {}
    low = ((ratio < 1 - args.epsilon) & (advantages < 0)).astype(np.float32)
    high = ((ratio > 1 + bound) & (advantages > 0)).astype(np.float32)
    lows, highs = sequence_means(low, mask), sequence_means(high, mask)
    return {
        "clip_ratio/low_mean": masked_mean(low, mask),
        "clip_ratio/high_mean": masked_mean(high, mask),
        "clip_ratio/region_mean": masked_mean(np.maximum(low, high), mask),
        "clip_ratio/low_min": float(np.nanmin(lows)) if not np.isnan(lows).all() else math.nan,
        "clip_ratio/high_max": float(np.nanmax(highs)) if not np.isnan(highs).all() else math.nan,
    }
