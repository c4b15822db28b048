"""Config of LoHa."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hfpaddle.peft.config import PeftConfig, helped
from hfpaddle.peft.tuners.targets import settle_targets
from hfpaddle.peft.utils.peft_types import PeftType


@dataclass
class LoHaConfig(PeftConfig):
    """How LoHa is applied: ``W + alpha / r * (A1 B1) * (A2 B2)``, the outer product elementwise.

    Args:
        r, alpha, rank_pattern, alpha_pattern: as for LoRA.
        rank_dropout: of whole outputs; module_dropout: of whole calls, both while training.
        use_effective_conv2d: factors of convolutions keep the kernel apart.
        init_weights: True begins as a change of nothing, False draws everything.

    The others are as for LoRA.
    """

    rank_pattern: dict | None = field(default_factory=dict)
    alpha_pattern: dict | None = field(default_factory=dict)
    r: int = helped("Rank.", 8)
    alpha: int = helped("Numerator of the scaling.", 8)
    rank_dropout: float = helped("Dropout of outputs.", 0.0)
    module_dropout: float = helped("Dropout of calls.", 0.0)
    use_effective_conv2d: bool = helped("Whether kernels have factors of their own.", False)
    target_modules: Any = helped("Names, a regular expression, or 'all-linear'.")
    exclude_modules: Any = helped("Names or a regular expression of modules to leave out.")
    init_weights: bool = helped("Whether it begins as a change of nothing.", True)
    layers_to_transform: Any = helped("Numbers of the layers to adapt.")
    layers_pattern: Any = helped("Name of the list that numbers the layers.")
    modules_to_save: list[str] | None = helped("Modules to train in full and save.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.LOHA
        settle_targets(self)
