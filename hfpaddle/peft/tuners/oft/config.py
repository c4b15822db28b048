"""Config of OFT."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import packaging.version

from hfpaddle.peft.config import PeftConfig, helped
from hfpaddle.peft.tuners.targets import settle_targets
from hfpaddle.peft.utils.peft_types import PeftType


@dataclass
class OFTConfig(PeftConfig):
    """How OFT is applied: the input is turned by ``r`` orthogonal blocks.

    Args:
        r, oft_block_size: number and size of the blocks; one of them, the other is 0.
        module_dropout: accepted; the original does not apply it either.
        coft, eps: keep the rotation within ``eps`` of none.
        block_share: all blocks are the same.
        use_cayley_neumann, num_cayley_neumann_terms: a series instead of an inverse.
        init_weights: True begins with no rotation, False draws it.

    The others are as for LoRA. Raises: ValueError unless exactly one of the sizes is given.
    """

    r: int = helped("Number of blocks.", 0)
    oft_block_size: int = helped("Size of the blocks.", 32)
    module_dropout: float = helped("Dropout of blocks.", 0.0)
    target_modules: Any = helped("Names, a regular expression, or 'all-linear'.")
    fan_in_fan_out: bool = helped("Whether weights are [in, out].", False)
    bias: str = helped("'none', 'all' or 'oft_only'.", "none")
    exclude_modules: Any = helped("Names or a regular expression of modules to leave out.")
    init_weights: bool = helped("Whether it begins with no rotation.", True)
    layers_to_transform: Any = helped("Numbers of the layers to adapt.")
    layers_pattern: Any = helped("Name of the list that numbers the layers.")
    modules_to_save: list[str] | None = helped("Modules to train in full and save.")
    coft: bool = helped("Whether the rotation is bounded.", False)
    eps: float = helped("Bound of the rotation.", 6e-5)
    block_share: bool = helped("Whether all blocks are the same.", False)
    use_cayley_neumann: bool = helped("Whether a series stands for the inverse.", True)
    num_cayley_neumann_terms: int = helped("Terms of the series.", 5)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.OFT
        settle_targets(self)
        if (self.r == 0) == (self.oft_block_size == 0):
            raise ValueError(
                "OFT needs exactly one of `r` and `oft_block_size` to be non-zero, as their "
                f"product is in_features. Got r={self.r}, oft_block_size={self.oft_block_size}."
            )

    @classmethod
    def check_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        if "oft_block_size" not in kwargs:
            raise ValueError(
                "OFT has been updated since PEFT 0.14.0: adapters of before do not fit. Train "
                "them anew, or use PEFT 0.13.0."
            )
        version = kwargs.get("peft_version", "0.0.0").partition("@")[0]
        old = packaging.version.Version(version) < packaging.version.Version("0.18.0")
        if kwargs.get("use_cayley_neumann", False) and old:
            warnings.warn(
                "The cayley-neumann parameterization has been slightly changed in PEFT 0.18.0. "
                "Retrain adapters of before.",
                stacklevel=3,
            )
        return super().check_kwargs(**kwargs)
