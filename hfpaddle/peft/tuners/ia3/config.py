"""Config of (IA)^3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hfpaddle.peft.config import PeftConfig, helped
from hfpaddle.peft.tuners.targets import settle_targets
from hfpaddle.peft.utils.peft_types import PeftType


@dataclass
class IA3Config(PeftConfig):
    """Which modules get a scale.

    Args:
        target_modules, exclude_modules: as for LoRA.
        feedforward_modules: those of the targets whose input is scaled, and not their output.
        fan_in_fan_out: weights are ``[in, out]``.
        modules_to_save: modules that are trained in full and saved with the adapter.
        init_ia3_weights: scales begin as 1; False draws them.
    Raises: ValueError if ``feedforward_modules`` holds names that are no targets.
    """

    target_modules: Any = helped("Names, a regular expression, or 'all-linear'.")
    exclude_modules: Any = helped("Names or a regular expression of modules to leave out.")
    feedforward_modules: Any = helped("Names or a regular expression of feed-forward modules.")
    fan_in_fan_out: bool = helped("Whether weights are [in, out].", False)
    modules_to_save: list[str] | None = helped("Modules to train in full and save.")
    init_ia3_weights: bool = helped("Whether scales begin as 1.", True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.IA3
        settle_targets(self)
        if isinstance(self.feedforward_modules, list):
            self.feedforward_modules = set(self.feedforward_modules)
        both = (self.feedforward_modules, self.target_modules)
        if all(isinstance(names, set) for names in both) and not both[0] <= both[1]:
            raise ValueError("`feedforward_modules` should be a subset of `target_modules`")
