"""FourierFT in a model."""

from __future__ import annotations

import re
from typing import Any

from hfpaddle.peft.tuners.fourierft.layer import FourierFTLayer
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_FOURIERFT_TARGET_MODULES_MAPPING


class FourierFTModel(SimpleTuner):
    """A model whose weights get a few frequencies each."""

    prefix = "fourierft_"
    tuner_layer_cls = FourierFTLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_FOURIERFT_TARGET_MODULES_MAPPING

    @classmethod
    def supports(cls, base: Any) -> bool:
        return super().supports(base) or layers.is_conv1d_linear(base)

    def sizes(self, config: Any, key: str) -> dict[str, Any]:
        # A pattern counts only behind a dot, as in the original.
        for pattern, number in (config.n_frequency_pattern or {}).items():
            if re.match(rf".*\.{pattern}$", key):
                return {"n_frequency": number}
        return {"n_frequency": config.n_frequency}
