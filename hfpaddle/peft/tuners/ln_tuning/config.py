"""Config of LN tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hfpaddle.peft.config import PeftConfig, helped
from hfpaddle.peft.utils.peft_types import PeftType


@dataclass
class LNTuningConfig(PeftConfig):
    """Which norms are trained.

    Args:
        target_modules, exclude_modules: names, or a regular expression; by default the family's.
        modules_to_save: modules that are trained in full and saved with the adapter.
    """

    target_modules: Any = helped("Names or a regular expression.")
    exclude_modules: Any = helped("Names or a regular expression of modules to leave out.")
    modules_to_save: Any = helped("Modules to train in full and save.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.LN_TUNING
