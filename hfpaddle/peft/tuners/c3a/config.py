"""Config of C3A."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hfpaddle.peft.config import PeftConfig, helped
from hfpaddle.peft.tuners.targets import settle_targets
from hfpaddle.peft.utils.peft_types import PeftType


@dataclass
class C3AConfig(PeftConfig):
    """How C3A is applied: what is added to a weight has circulant blocks.

    Args:
        block_size: size of the blocks; divides both sizes of every adapted weight.
        block_size_pattern: other sizes for some modules, by name or regular expression.
        init_weights: "xavier_uniform" (also False), "kaiming_uniform", "gaussian", or True for
            zeros.

    The others are as for LoRA.
    """

    block_size: int = helped("Size of the blocks.", 256)
    target_modules: Any = helped("Names, a regular expression, or 'all-linear'.")
    bias: str = helped("'none', 'all' or 'c3a_only'.", "none")
    modules_to_save: list[str] | None = helped("Modules to train in full and save.")
    layers_to_transform: Any = helped("Numbers of the layers to adapt.")
    layers_pattern: Any = helped("Name of the list that numbers the layers.")
    block_size_pattern: dict[str, int] | None = field(default_factory=dict)
    init_weights: Any = helped("How the blocks begin.", "xavier_uniform")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.C3A
        settle_targets(self, regex_alone=True, pattern_alone=True)
