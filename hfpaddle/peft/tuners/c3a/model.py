"""C3A in a model."""

from __future__ import annotations

import re
from typing import Any

from hfpaddle.peft.tuners.c3a.layer import C3ALayer
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_C3A_TARGET_MODULES_MAPPING


class C3AModel(SimpleTuner):
    """A model to whose weights circulant blocks are added."""

    prefix = "c3a_"
    tuner_layer_cls = C3ALayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_C3A_TARGET_MODULES_MAPPING

    def sizes(self, config: Any, key: str) -> dict[str, Any]:
        # A pattern counts only behind a dot, as in the original.
        for pattern, size in (config.block_size_pattern or {}).items():
            if re.match(rf".*\.{pattern}$", key):
                return {"block_size": size}
        return {"block_size": config.block_size}
