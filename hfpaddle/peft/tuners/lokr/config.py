"""Config of LoKr."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hfpaddle.peft.config import PeftConfig, helped
from hfpaddle.peft.tuners.targets import settle_targets
from hfpaddle.peft.utils.peft_types import PeftType


@dataclass
class LoKrConfig(PeftConfig):
    """How LoKr is applied: ``W + alpha / r * kron(W1, W2)``, where ``W2`` may be of low rank.

    Args:
        decompose_both: ``W1`` may be of low rank, too.
        decompose_factor: size of ``W1``, if it divides; -1 makes the two about equal.
        rank_dropout_scale: what rank dropout keeps is scaled up.
        init_weights: True, False (draws everything), or "lycoris" (zeros in ``W2``).

    The others are as for LoHa.
    """

    rank_pattern: dict | None = field(default_factory=dict)
    alpha_pattern: dict | None = field(default_factory=dict)
    r: int = helped("Rank.", 8)
    alpha: int = helped("Numerator of the scaling.", 8)
    rank_dropout: float = helped("Dropout of outputs.", 0.0)
    module_dropout: float = helped("Dropout of calls.", 0.0)
    use_effective_conv2d: bool = helped("Whether kernels have factors of their own.", False)
    decompose_both: bool = helped("Whether W1 may be of low rank.", False)
    decompose_factor: int = helped("Size of W1.", -1)
    rank_dropout_scale: bool = helped("Whether rank dropout scales up.", False)
    target_modules: Any = helped("Names, a regular expression, or 'all-linear'.")
    exclude_modules: Any = helped("Names or a regular expression of modules to leave out.")
    init_weights: Any = helped("True, False or 'lycoris'.", True)
    layers_to_transform: Any = helped("Numbers of the layers to adapt.")
    layers_pattern: Any = helped("Name of the list that numbers the layers.")
    modules_to_save: list[str] | None = helped("Modules to train in full and save.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.LOKR
        settle_targets(self)
