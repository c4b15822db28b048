"""Config of AdaLoRA."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from hfpaddle.peft.config import helped
from hfpaddle.peft.tuners.lora.config import LoraConfig
from hfpaddle.peft.utils.peft_types import PeftType


@dataclass
class AdaLoraConfig(LoraConfig):
    """How AdaLoRA is applied, and when ranks are pruned.

    Args:
        init_r, target_r: rank at first, and on average in the end.
        total_step: of the whole training; pruning happens after ``tinit`` steps and until
            ``tfinal`` before the end, every ``deltaT``.
        beta1, beta2: of the moving averages of importance and of its uncertainty.
        orth_reg_weight: of the loss that keeps the factors orthogonal.
        rank_pattern: which singular values are left, by name; written by training.
    Raises: ValueError without ``total_step``, without room for pruning, and for DoRA and LoftQ.
    """

    target_r: int = helped("Average rank in the end.", 8)
    init_r: int = helped("Rank at first.", 12)
    tinit: int = helped("Steps before pruning.", 0)
    tfinal: int = helped("Steps after pruning.", 0)
    deltaT: int = helped("Steps between prunings.", 1)  # noqa: N815  peft's name
    beta1: float = helped("Of the average of importance.", 0.85)
    beta2: float = helped("Of the average of uncertainty.", 0.85)
    orth_reg_weight: float = helped("Weight of the orthogonal loss.", 0.5)
    total_step: int | None = helped("Steps of the whole training.")
    rank_pattern: dict | None = helped("Which singular values are left.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.ADALORA
        for name, what in (("use_dora", "DoRA"), ("loftq_config", "LOFTQ")):
            if getattr(self, name):
                raise ValueError(f"{self.peft_type} does not support {what}.")
        if self.r != 8:
            warnings.warn(
                "Note that `r` is not used in AdaLora and will be ignored. If you intended to set "
                "the initial rank, use `init_r` instead.",
                stacklevel=3,
            )
        if self.total_step is None or self.total_step <= 0:
            raise ValueError("AdaLoRA does not work when `total_step` is None, supply a value > 0.")
        if self.orth_reg_weight < 0:
            raise ValueError(
                "`orth_reg_weight` should be greater than or equal to 0, but the value passed is "
                f"{self.orth_reg_weight}"
            )
        if self.tinit >= self.total_step - self.tfinal:
            raise ValueError(
                "The supplied schedule values don't allow for a budgeting phase. Decrease "
                "`tfinal`/`tinit` or increase `total_step`."
            )
