"""RoAd: pairs of the output are turned and scaled (arXiv:2409.00119)."""

from hfpaddle.peft.tuners.configs import CONFIGS
from hfpaddle.peft.tuners.road.model import RoadModel
from hfpaddle.peft.utils.peft_types import register_peft_method

RoadConfig = CONFIGS["ROAD"]
__all__ = ["RoadConfig", "RoadModel"]

register_peft_method(name="road", config_cls=RoadConfig, model_cls=RoadModel)
