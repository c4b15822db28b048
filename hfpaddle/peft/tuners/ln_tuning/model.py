"""LN tuning in a model."""

from __future__ import annotations

from typing import Any

from hfpaddle.peft.tuners.ln_tuning.layer import LNTuningLayer
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_LNTUNING_TARGET_MODULES_MAPPING


class LNTuningModel(SimpleTuner):
    """A model whose norms are trained."""

    prefix = "ln_tuning_"
    tuner_layer_cls = LNTuningLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_LNTUNING_TARGET_MODULES_MAPPING

    @classmethod
    def supports(cls, base: Any) -> bool:
        return True  # any module can be copied, as in the original

    def _unload_and_optionally_merge(
        self, merge: bool = True, progressbar: bool = False, safe_merge: bool = False,
        adapter_names: list[str] | None = None,
    ) -> Any:  # fmt: skip
        names = adapter_names or self.active_adapters
        if len(names) > 1 and any(self.peft_config[name].modules_to_save for name in names):
            raise ValueError("Cannot unload multiple adapters that specify `modules_to_save`.")
        return super()._unload_and_optionally_merge(merge, progressbar, safe_merge, adapter_names)

    def _cast_adapter_dtype(self, adapter_name: str, autocast_adapter_dtype: bool = True) -> None:
        """Copies keep the dtype of the original."""
