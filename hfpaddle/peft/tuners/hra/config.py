"""Config of HRA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hfpaddle.peft.config import PeftConfig, helped
from hfpaddle.peft.tuners.targets import settle_targets
from hfpaddle.peft.utils.peft_types import PeftType


@dataclass
class HRAConfig(PeftConfig):
    """How HRA is applied: the input is reflected ``r`` times.

    Args:
        r: number of reflections; an even number begins with no change.
        apply_GS: make the normals of the reflections orthogonal (Gram-Schmidt).
        init_weights: True begins with pairs of equal reflections, False draws each.

    The others are as for LoRA.
    """

    r: int = helped("Number of reflections.", 8)
    apply_GS: bool = helped("Whether normals are made orthogonal.", False)
    target_modules: Any = helped("Names, a regular expression, or 'all-linear'.")
    exclude_modules: Any = helped("Names or a regular expression of modules to leave out.")
    init_weights: bool = helped("Whether it begins with no change.", True)
    layers_to_transform: Any = helped("Numbers of the layers to adapt.")
    layers_pattern: Any = helped("Name of the list that numbers the layers.")
    bias: str = helped("'none', 'all' or 'hra_only'.", "none")
    modules_to_save: list[str] | None = helped("Modules to train in full and save.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.HRA
        settle_targets(self, regex_alone=True)
