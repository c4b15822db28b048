"""Config of VeRA."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from hfpaddle.peft.config import PeftConfig, helped
from hfpaddle.peft.tuners.targets import settle_targets
from hfpaddle.peft.utils.peft_types import PeftType


@dataclass
class VeraConfig(PeftConfig):
    """How VeRA is applied: ``W + diag(b) B diag(d) A`` with random ``A`` and ``B`` for all layers.

    Args:
        r: rank.
        projection_prng_key: seed of ``A`` and ``B``.
        save_projection: the file holds them; else they are drawn again from the seed.
        vera_dropout: of the adapter's input while training.
        d_initial: what ``d`` begins as; ``b`` begins as zero.
        init_weights: False draws ``d`` and begins with ``b`` of ones.

    The others are as for LoRA.
    """

    r: int = helped("Rank.", 256)
    target_modules: Any = helped("Names, a regular expression, or 'all-linear'.")
    projection_prng_key: int = helped("Seed of the projections.", 0)
    save_projection: bool = helped("Whether the file holds the projections.", True)
    vera_dropout: float = helped("Dropout of the adapter's input.", 0.0)
    d_initial: float = helped("What d begins as.", 0.1)
    fan_in_fan_out: bool = helped("Whether weights are [in, out].", False)
    bias: str = helped("'none', 'all' or 'vera_only'.", "none")
    modules_to_save: list[str] | None = helped("Modules to train in full and save.")
    init_weights: bool = helped("Whether it begins as a change of nothing.", True)
    layers_to_transform: Any = helped("Numbers of the layers to adapt.")
    layers_pattern: Any = helped("Name of the list that numbers the layers.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.VERA
        settle_targets(self)
        if not self.save_projection:
            warnings.warn(
                "save_projection=False: vera_A and vera_B are not in the file and are drawn again "
                "from `projection_prng_key`. Set it to True to be sure of the same on any system.",
                stacklevel=3,
            )
