"""Config of FourierFT."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hfpaddle.peft.config import PeftConfig, helped
from hfpaddle.peft.tuners.targets import settle_targets
from hfpaddle.peft.utils.peft_types import PeftType


@dataclass
class FourierFTConfig(PeftConfig):
    """How FourierFT is applied: what is added to a weight has ``n_frequency`` frequencies.

    Args:
        n_frequency: number of trained frequencies of a weight.
        scaling: what is added is multiplied by it.
        random_loc_seed: seed that chooses the frequencies.
        n_frequency_pattern: other numbers for some modules, by name or regular expression.
        init_weights: True begins with no change, False draws it.

    The others are as for LoRA.
    """

    n_frequency: int = helped("Number of trained frequencies.", 1000)
    scaling: float = helped("Factor of what is added.", 150.0)
    random_loc_seed: int | None = helped("Seed that chooses the frequencies.", 777)
    fan_in_fan_out: bool = helped("Whether weights are [in, out].", False)
    target_modules: Any = helped("Names, a regular expression, or 'all-linear'.")
    exclude_modules: Any = helped("Names or a regular expression of modules to leave out.")
    bias: str = helped("'none', 'all' or 'fourier_only'.", "none")
    modules_to_save: list[str] | None = helped("Modules to train in full and save.")
    layers_to_transform: Any = helped("Numbers of the layers to adapt.")
    layers_pattern: Any = helped("Name of the list that numbers the layers.")
    n_frequency_pattern: dict[str, int] | None = field(default_factory=dict)
    init_weights: bool = helped("Whether it begins with no change.", False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.FOURIERFT
        settle_targets(self, regex_alone=True)
