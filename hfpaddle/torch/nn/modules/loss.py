"""Losses as modules."""

from __future__ import annotations

from typing import Any

from hfpaddle.torch.nn import functional as F
from hfpaddle.torch.nn._loss import legacy_reduction
from hfpaddle.torch.nn.modules.module import Module

__all__ = [
    "BCELoss", "BCEWithLogitsLoss", "CTCLoss", "CosineEmbeddingLoss", "CrossEntropyLoss",
    "GaussianNLLLoss", "HingeEmbeddingLoss", "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss",
    "MarginRankingLoss", "MultiLabelSoftMarginLoss", "MultiMarginLoss", "NLLLoss",
    "PairwiseDistance", "PoissonNLLLoss",
    "SoftMarginLoss", "TripletMarginWithDistanceLoss", "SmoothL1Loss", "TripletMarginLoss",
]  # fmt: skip


class _Loss(Module):
    """Keeps ``reduction``, options and weights; calls the function of its name."""

    function_name: str
    buffers_of = ("weight", "pos_weight")

    def __init__(
        self, *, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.reduction = legacy_reduction(size_average, reduce, reduction)
        self._options = tuple(options)
        for name, value in options.items():
            if name in self.buffers_of:
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, input, *targets):
        options = {name: getattr(self, name) for name in self._options}
        function = getattr(F, self.function_name)
        return function(input, *targets, reduction=self.reduction, **options)


class CrossEntropyLoss(_Loss):
    """``F.cross_entropy``."""

    function_name = "cross_entropy"

    def __init__(
        self, weight: Any = None, size_average: Any = None, ignore_index: int = -100,
        reduce: Any = None, reduction: str = "mean", label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(
            size_average=size_average, reduce=reduce, reduction=reduction, weight=weight,
            ignore_index=ignore_index, label_smoothing=label_smoothing,
        )  # fmt: skip


class NLLLoss(_Loss):
    """``F.nll_loss``."""

    function_name = "nll_loss"

    def __init__(
        self, weight: Any = None, size_average: Any = None, ignore_index: int = -100,
        reduce: Any = None, reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(
            size_average=size_average, reduce=reduce, reduction=reduction, weight=weight,
            ignore_index=ignore_index,
        )  # fmt: skip


class MSELoss(_Loss):
    """``F.mse_loss``."""

    function_name = "mse_loss"

    def __init__(self, size_average: Any = None, reduce: Any = None, reduction: str = "mean"):
        super().__init__(size_average=size_average, reduce=reduce, reduction=reduction)


class L1Loss(MSELoss):
    """``F.l1_loss``."""

    function_name = "l1_loss"


class SmoothL1Loss(_Loss):
    """``F.smooth_l1_loss``."""

    function_name = "smooth_l1_loss"

    def __init__(
        self, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__(size_average=size_average, reduce=reduce, reduction=reduction, beta=beta)


class HuberLoss(_Loss):
    """``F.huber_loss``."""

    function_name = "huber_loss"

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction, delta=delta)


class BCELoss(_Loss):
    """``F.binary_cross_entropy``."""

    function_name = "binary_cross_entropy"

    def __init__(
        self, weight: Any = None, size_average: Any = None, reduce: Any = None,
        reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(
            size_average=size_average, reduce=reduce, reduction=reduction, weight=weight
        )


class BCEWithLogitsLoss(_Loss):
    """``F.binary_cross_entropy_with_logits``."""

    function_name = "binary_cross_entropy_with_logits"

    def __init__(
        self, weight: Any = None, size_average: Any = None, reduce: Any = None,
        reduction: str = "mean", pos_weight: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            size_average=size_average, reduce=reduce, reduction=reduction, weight=weight,
            pos_weight=pos_weight,
        )  # fmt: skip


class KLDivLoss(_Loss):
    """``F.kl_div``."""

    function_name = "kl_div"

    def __init__(
        self, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
        log_target: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            size_average=size_average, reduce=reduce, reduction=reduction, log_target=log_target
        )


class PoissonNLLLoss(_Loss):
    """``F.poisson_nll_loss``."""

    function_name = "poisson_nll_loss"

    def __init__(
        self, log_input: bool = True, full: bool = False, size_average: Any = None,
        eps: float = 1e-8, reduce: Any = None, reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(
            size_average=size_average, reduce=reduce, reduction=reduction, log_input=log_input,
            full=full, eps=eps,
        )  # fmt: skip


class GaussianNLLLoss(_Loss):
    """``F.gaussian_nll_loss``."""

    function_name = "gaussian_nll_loss"

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean"):
        super().__init__(reduction=reduction, full=full, eps=eps)


class _Margin(_Loss):
    margin_default = 0.0

    def __init__(
        self, margin: float | None = None, size_average: Any = None, reduce: Any = None,
        reduction: str = "mean",
    ) -> None:  # fmt: skip
        margin = self.margin_default if margin is None else margin
        super().__init__(
            size_average=size_average, reduce=reduce, reduction=reduction, margin=margin
        )


class CosineEmbeddingLoss(_Margin):
    """``F.cosine_embedding_loss``."""

    function_name = "cosine_embedding_loss"


class MarginRankingLoss(_Margin):
    """``F.margin_ranking_loss``."""

    function_name = "margin_ranking_loss"


class HingeEmbeddingLoss(_Margin):
    """``F.hinge_embedding_loss``."""

    function_name = "hinge_embedding_loss"
    margin_default = 1.0


class TripletMarginLoss(_Loss):
    """``F.triplet_margin_loss``."""

    function_name = "triplet_margin_loss"

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False,
        size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(
            size_average=size_average, reduce=reduce, reduction=reduction, margin=margin, p=p,
            eps=eps, swap=swap,
        )  # fmt: skip


class CTCLoss(_Loss):
    """``F.ctc_loss``."""

    function_name = "ctc_loss"

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False):
        super().__init__(reduction=reduction, blank=blank, zero_infinity=zero_infinity)


class SoftMarginLoss(MSELoss):
    """``F.soft_margin_loss``."""

    function_name = "soft_margin_loss"


class MultiLabelSoftMarginLoss(_Loss):
    """``F.multilabel_soft_margin_loss``."""

    function_name = "multilabel_soft_margin_loss"

    def __init__(
        self, weight: Any = None, size_average: Any = None, reduce: Any = None,
        reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(
            size_average=size_average, reduce=reduce, reduction=reduction, weight=weight
        )


class MultiMarginLoss(_Loss):
    """``F.multi_margin_loss``."""

    function_name = "multi_margin_loss"

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Any = None, size_average: Any = None,
        reduce: Any = None, reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(
            size_average=size_average, reduce=reduce, reduction=reduction, p=p, margin=margin,
            weight=weight,
        )  # fmt: skip


class TripletMarginWithDistanceLoss(_Loss):
    """``F.triplet_margin_with_distance_loss``."""

    function_name = "triplet_margin_with_distance_loss"

    def __init__(
        self, *, distance_function: Any = None, margin: float = 1.0, swap: bool = False,
        reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(
            reduction=reduction, distance_function=distance_function, margin=margin, swap=swap
        )


class PairwiseDistance(Module):
    """``F.pairwise_distance``."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1, x2):
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
