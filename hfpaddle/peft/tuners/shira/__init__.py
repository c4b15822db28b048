"""SHiRA: a sparse choice of the weight's elements is trained (arXiv:2406.13175)."""

from hfpaddle.peft.tuners.configs import CONFIGS
from hfpaddle.peft.tuners.shira.model import ShiraModel
from hfpaddle.peft.utils.peft_types import register_peft_method

ShiraConfig = CONFIGS["SHIRA"]
__all__ = ["ShiraConfig", "ShiraModel"]

register_peft_method(
    name="shira", config_cls=ShiraConfig, model_cls=ShiraModel, is_mixed_compatible=True
)
