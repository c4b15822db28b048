"""Config of BOFT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hfpaddle.peft.config import PeftConfig, helped
from hfpaddle.peft.tuners.targets import settle_targets
from hfpaddle.peft.utils.peft_types import PeftType


@dataclass
class BOFTConfig(PeftConfig):
    """How BOFT is applied: the input is turned by orthogonal blocks, the output scaled.

    Args:
        boft_block_size, boft_block_num: size and number of the blocks; one of them, the other 0.
        boft_n_butterfly_factor: 1; more raises when a model is built.
        boft_dropout: share of blocks that turn nothing in a training step.
        init_weights: True begins with no rotation, False draws it.

    The others are as for LoRA. Raises: ValueError unless exactly one of the sizes is given.
    """

    boft_block_size: int = helped("Size of the blocks.", 4)
    boft_block_num: int = helped("Number of blocks.", 0)
    boft_n_butterfly_factor: int = helped("Number of butterfly factors.", 1)
    target_modules: Any = helped("Names, a regular expression, or 'all-linear'.")
    exclude_modules: Any = helped("Names or a regular expression of modules to leave out.")
    boft_dropout: float = helped("Dropout of blocks.", 0.0)
    fan_in_fan_out: bool = helped("Whether weights are [in, out].", False)
    bias: str = helped("'none', 'all' or 'boft_only'.", "none")
    modules_to_save: list[str] | None = helped("Modules to train in full and save.")
    init_weights: bool = helped("Whether it begins with no rotation.", True)
    layers_to_transform: Any = helped("Numbers of the layers to adapt.")
    layers_pattern: Any = helped("Name of the list that numbers the layers.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.BOFT
        settle_targets(self)
        size, count = self.boft_block_size, self.boft_block_num
        if (size == 0) == (count == 0):
            raise ValueError(
                "BOFT needs exactly one of `boft_block_size` and `boft_block_num` to be non-zero, "
                f"as their product is in_features. Got {size} and {count}."
            )
