"""Mirror of ``trl.trainer.model_config``."""

from __future__ import annotations

from dataclasses import dataclass

from hfpaddle.trl.trainer.base_config import option


@dataclass
class ModelConfig:
    """Arguments of scripts about the model and its adapter.

    Raises: ValueError for 8 and 4 bits at once.
    """

    model_name_or_path: str | None = option(None, "Folder or name of the checkpoint.")
    model_revision: str = option("main", "Branch, tag or commit of it.")
    dtype: str | None = option(
        "float32",
        "Type of the weights; 'auto': the checkpoint's.",
        choices=["auto", "bfloat16", "float16", "float32"],
    )
    attn_implementation: str | None = option(None, "Which attention to use.")
    use_peft: bool = option(False, "Train a LoRA adapter.")
    lora_r: int = option(16, "Rank of the adapter.")
    lora_alpha: int = option(32, "Scale of the adapter, over its rank.")
    lora_dropout: float = option(0.05, "Dropout before the adapter.")
    lora_target_modules: list[str] | None = option(None, "Modules that get an adapter.")
    lora_target_parameters: list[str] | None = option(None, "Parameters that get an adapter.")
    lora_modules_to_save: list[str] | None = option(None, "Modules that are trained in full.")
    lora_task_type: str = option("CAUSAL_LM", "Task; 'SEQ_CLS' for reward models.")
    use_rslora: bool = option(False, "Scale by lora_alpha over the root of the rank.")
    use_dora: bool = option(False, "Train size and direction of the weights apart (DoRA).")
    load_in_8bit: bool = option(False, "8-bit weights; not implemented.")
    load_in_4bit: bool = option(False, "4-bit weights; not implemented.")
    bnb_4bit_quant_type: str = option("nf4", "Kind of 4-bit weights.", choices=["fp4", "nf4"])
    use_bnb_nested_quant: bool = option(False, "Quantize the scales too.")
    bnb_4bit_quant_storage: str | None = option(None, "Type that 4-bit weights are kept in.")

    def __post_init__(self) -> None:
        if self.load_in_8bit and self.load_in_4bit:
            raise ValueError("You can't use 8 bit and 4 bit precision at the same time")
        if isinstance(self.lora_target_modules, list) and len(self.lora_target_modules) == 1:
            self.lora_target_modules = self.lora_target_modules[0]
