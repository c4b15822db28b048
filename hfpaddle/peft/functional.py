"""Functions for models that had adapters injected without a PeftModel around them."""

from hfpaddle.peft.mapping import inject_adapter_in_model
from hfpaddle.peft.tuners.tuners_utils import (
    cast_adapter_dtype,
    delete_adapter,
    set_adapter,
    set_requires_grad,
)
from hfpaddle.peft.utils.save_and_load import get_peft_model_state_dict, set_peft_model_state_dict

__all__ = [
    "cast_adapter_dtype", "delete_adapter", "get_peft_model_state_dict", "inject_adapter_in_model",
    "set_adapter", "set_peft_model_state_dict", "set_requires_grad",
]  # fmt: skip
