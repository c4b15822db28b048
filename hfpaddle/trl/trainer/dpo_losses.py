"""The losses of preference tuning, each one formula on the scores of a batch of pairs.

Shape letters: P pairs, T scored positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paddle
import paddle.nn.functional as F

# Losses of the difference of both rewards, in which the normaliser of another divergence cancels.
OF_DIFFERENCES = frozenset("sigmoid sigmoid_norm hinge ipo exo_pair robust discopop sft".split())
DIVERGENCES = ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence")
_LARGEST = 80.0  # whose exponential is a float32


@dataclass
class Pairs:
    """What the losses are made of; log-probabilities are sums over an answer's tokens.

    Attributes:
        chosen, rejected: ``[P]``, of the model.
        ref_chosen, ref_rejected: ``[P]``, of the reference.
        chosen_scores, rejected_scores: ``[P]``, log ratios under the divergence.
        chosen_tokens, rejected_tokens: ``[P]``, tokens of each answer.
        chosen_mean: scalar, mean log-probability of all chosen tokens.
    """

    chosen: paddle.Tensor
    rejected: paddle.Tensor
    ref_chosen: paddle.Tensor
    ref_rejected: paddle.Tensor
    chosen_scores: paddle.Tensor
    rejected_scores: paddle.Tensor
    chosen_tokens: paddle.Tensor
    rejected_tokens: paddle.Tensor
    chosen_mean: paddle.Tensor

    @property
    def chosen_ratios(self) -> paddle.Tensor:
        return self.chosen - self.ref_chosen

    @property
    def rejected_ratios(self) -> paddle.Tensor:
        return self.rejected - self.ref_rejected

    @property
    def margin(self) -> paddle.Tensor:
        return self.chosen_scores - self.rejected_scores

    @property
    def margin_of_means(self) -> paddle.Tensor:
        """The margin of scores per token."""
        chosen = self.chosen_scores / self.chosen_tokens.clip(min=1.0)
        return chosen - self.rejected_scores / self.rejected_tokens.clip(min=1.0)


def divergence_scores(ratios: paddle.Tensor, kind: str, coefficient: float) -> paddle.Tensor:
    """Return ``f'(ratio)`` of log ratios, for the divergence that ``f`` defines (arXiv:2309.16240).

    Raises: ValueError for another kind.
    """
    if kind not in DIVERGENCES:
        raise ValueError(f"Unknown f_divergence_type: {kind}")
    if kind == "forward_kl":
        return 1 - (-ratios).exp()
    if kind == "js_divergence":
        return math.log(2) + F.log_sigmoid(ratios)
    exponent = coefficient - 1.0
    if kind == "reverse_kl" or abs(exponent) < 1e-6:
        return ratios
    return ((exponent * ratios).clip(max=_LARGEST).exp() - 1.0) / exponent


def _log_sigmoid(x: paddle.Tensor, beta: float) -> paddle.Tensor:
    return F.log_sigmoid(beta * x)


def sigmoid(pairs: Pairs, args: Any) -> paddle.Tensor:
    """arXiv:2305.18290, eq. 7."""
    return -_log_sigmoid(pairs.margin, args.beta)


def sigmoid_norm(pairs: Pairs, args: Any) -> paddle.Tensor:
    return -_log_sigmoid(pairs.margin_of_means, args.beta)


def hinge(pairs: Pairs, args: Any) -> paddle.Tensor:
    return F.relu(1 - args.beta * pairs.margin)


def ipo(pairs: Pairs, args: Any) -> paddle.Tensor:
    """arXiv:2310.12036, eq. 17, with scores per token."""
    return (pairs.margin_of_means - 1 / (2 * args.beta)) ** 2


def exo_pair(pairs: Pairs, args: Any) -> paddle.Tensor:
    """arXiv:2402.00856, eq. 16, for two answers."""
    x, epsilon = args.beta * pairs.margin, args.label_smoothing
    won = F.sigmoid(x) * (F.log_sigmoid(x) - math.log1p(-epsilon))
    return won + F.sigmoid(-x) * (F.log_sigmoid(-x) - math.log(epsilon))


def nca_pair(pairs: Pairs, args: Any) -> paddle.Tensor:
    chosen, rejected = args.beta * pairs.chosen_ratios, args.beta * pairs.rejected_ratios
    both = F.log_sigmoid(-chosen) + F.log_sigmoid(-rejected)
    return -F.log_sigmoid(chosen) - 0.5 * both


def robust(pairs: Pairs, args: Any) -> paddle.Tensor:
    """arXiv:2403.00409: labels are wrong with probability ``label_smoothing``."""
    share = args.label_smoothing
    right = (1 - share) * _log_sigmoid(pairs.margin, args.beta)
    wrong = share * _log_sigmoid(-pairs.margin, args.beta)
    return (wrong - right) / (1 - 2 * share)


def bco_pair(pairs: Pairs, args: Any) -> paddle.Tensor:
    chosen = _log_sigmoid(pairs.chosen_ratios, args.beta)
    return -chosen - _log_sigmoid(-pairs.rejected_ratios, args.beta)


def sppo_hard(pairs: Pairs, args: Any) -> paddle.Tensor:
    """arXiv:2405.00675, eq. 4.7, the winner's probability 1."""
    target = 0.5 / args.beta
    return (pairs.chosen_ratios - target) ** 2 + (pairs.rejected_ratios + target) ** 2


def _smoothed(delta: paddle.Tensor, args: Any) -> paddle.Tensor:
    right = _log_sigmoid(delta, args.beta) * (1 - args.label_smoothing)
    return -right - _log_sigmoid(-delta, args.beta) * args.label_smoothing


def aot(pairs: Pairs, args: Any) -> paddle.Tensor:
    ratios = paddle.sort(pairs.chosen - pairs.rejected, axis=0)
    return _smoothed(ratios - paddle.sort(pairs.ref_chosen - pairs.ref_rejected, axis=0), args)


def aot_unpaired(pairs: Pairs, args: Any) -> paddle.Tensor:
    chosen = paddle.sort(pairs.chosen_ratios, axis=0)
    return _smoothed(chosen - paddle.sort(pairs.rejected_ratios, axis=0), args)


def apo_zero(pairs: Pairs, args: Any) -> paddle.Tensor:
    """arXiv:2408.06266, eq. 7: the chosen answers are better than the model's."""
    chosen = 1 - F.sigmoid(args.beta * pairs.chosen_ratios)
    return chosen + F.sigmoid(args.beta * pairs.rejected_ratios)


def apo_down(pairs: Pairs, args: Any) -> paddle.Tensor:
    """arXiv:2408.06266, eq. 8: the chosen answers are worse than the model's."""
    margin = pairs.chosen_ratios - pairs.rejected_ratios
    return F.sigmoid(args.beta * pairs.chosen_ratios) + 1 - F.sigmoid(args.beta * margin)


def discopop(pairs: Pairs, args: Any) -> paddle.Tensor:
    """arXiv:2406.08414, eq. 5."""
    x = args.beta * pairs.margin
    share = F.sigmoid(x / args.discopop_tau)
    return -F.log_sigmoid(x) * (1 - share) + (-x).exp() * share


def sft(pairs: Pairs, args: Any) -> paddle.Tensor:
    return -pairs.chosen_mean.expand([pairs.chosen.shape[0]])


LOSSES: dict[str, Callable[[Pairs, Any], paddle.Tensor]] = {
    loss.__name__: loss
    for loss in (
        *(sigmoid, hinge, ipo, exo_pair, nca_pair, robust, bco_pair, sppo_hard, aot),
        *(aot_unpaired, apo_zero, apo_down, discopop, sft, sigmoid_norm),
    )
}
