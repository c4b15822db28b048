"""PeftModel for each task: which module is the head, and what a call takes."""

from __future__ import annotations

from typing import Any

from hfpaddle.peft.peft_model import PeftModel


class _WithHead(PeftModel):
    """A task whose head begins untrained: it is trained in full and saved with the adapter."""

    head_names: tuple[str, ...] = ()

    def __init__(
        self, model: Any, peft_config: Any, adapter_name: str = "default", **kwargs: Any
    ) -> None:
        self._add_heads(peft_config)
        super().__init__(model, peft_config, adapter_name, **kwargs)

    def _add_heads(self, peft_config: Any) -> None:
        if hasattr(peft_config, "modules_to_save"):
            names = list(peft_config.modules_to_save or ())
            peft_config.modules_to_save = [*names, *self.head_names]

    def add_adapter(self, adapter_name: str, peft_config: Any, **kwargs: Any) -> None:
        self._add_heads(peft_config)
        super().add_adapter(adapter_name, peft_config, **kwargs)


class PeftModelForSequenceClassification(_WithHead):
    """A text classifier with adapters."""

    head_names = ("classifier", "score")

    def forward(
        self, input_ids=None, attention_mask=None, inputs_embeds=None, labels=None,
        output_attentions=None, output_hidden_states=None, return_dict=None, task_ids=None,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Call the base model, or with virtual tokens in front; ``labels`` give a loss."""
        kwargs |= {
            "input_ids": input_ids, "attention_mask": attention_mask, "labels": labels,
            "inputs_embeds": inputs_embeds, "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states, "return_dict": return_dict,
        }  # fmt: skip
        return self._call_prompted(kwargs) if self.prompts_count else self._call_base(**kwargs)


class PeftModelForTokenClassification(PeftModelForSequenceClassification):
    """A classifier of tokens with adapters."""


class PeftModelForFeatureExtraction(PeftModel):
    """A backbone with adapters."""

    def forward(
        self, input_ids=None, attention_mask=None, inputs_embeds=None, output_attentions=None,
        output_hidden_states=None, return_dict=None, task_ids=None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Call the base model, or with virtual tokens in front."""
        kwargs |= {
            "input_ids": input_ids, "attention_mask": attention_mask,
            "inputs_embeds": inputs_embeds, "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states, "return_dict": return_dict,
        }  # fmt: skip
        return self._call_prompted(kwargs) if self.prompts_count else self._call_base(**kwargs)


class PeftModelForQuestionAnswering(_WithHead):
    """A model that marks where answers begin and end, with adapters."""

    head_names = ("qa_outputs",)

    def forward(
        self, input_ids=None, attention_mask=None, token_type_ids=None, position_ids=None,
        inputs_embeds=None, start_positions=None, end_positions=None, output_attentions=None,
        output_hidden_states=None, return_dict=None, task_ids=None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Call the base model, or with virtual tokens in front; positions give a loss.

        As in the original, ``token_type_ids`` and ``position_ids`` are not handed on.
        """
        kwargs |= {
            "input_ids": input_ids, "attention_mask": attention_mask,
            "inputs_embeds": inputs_embeds, "start_positions": start_positions,
            "end_positions": end_positions, "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states, "return_dict": return_dict,
        }  # fmt: skip
        return self._call_prompted(kwargs) if self.prompts_count else self._call_base(**kwargs)


class PeftModelForCausalLM(PeftModel):
    """A language model with adapters."""

    def forward(
        self, input_ids=None, attention_mask=None, inputs_embeds=None, labels=None,
        output_attentions=None, output_hidden_states=None, return_dict=None, task_ids=None,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Call the base model, or with virtual tokens in front; ``labels`` give a loss.

        ``adapter_names`` gives each row of the batch its adapter, "__base__" none.
        """
        kwargs |= {
            "input_ids": input_ids, "attention_mask": attention_mask, "labels": labels,
            "inputs_embeds": inputs_embeds, "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states, "return_dict": return_dict,
        }  # fmt: skip
        return self._call_prompted(kwargs) if self.prompts_count else self._call_base(**kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Generate; arguments as of the base model's, and ``adapter_names``."""
        if self.prompts_count:
            return self._generate_prompted(args, kwargs)
        return super().generate(*args, **kwargs)

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self.get_base_model().prepare_inputs_for_generation(*args, **kwargs)


class PeftModelForSeq2SeqLM(PeftModel):
    """An encoder-decoder with adapters."""

    def forward(
        self, input_ids=None, attention_mask=None, inputs_embeds=None, decoder_input_ids=None,
        decoder_attention_mask=None, decoder_inputs_embeds=None, labels=None,
        output_attentions=None, output_hidden_states=None, return_dict=None, task_ids=None,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Call the base model, or with virtual tokens in front; ``labels`` give a loss."""
        kwargs |= {
            "input_ids": input_ids, "attention_mask": attention_mask, "labels": labels,
            "inputs_embeds": inputs_embeds, "decoder_input_ids": decoder_input_ids,
            "decoder_attention_mask": decoder_attention_mask,
            "decoder_inputs_embeds": decoder_inputs_embeds,
            "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states, "return_dict": return_dict,
        }  # fmt: skip
        return self._call_prompted(kwargs) if self.prompts_count else self._call_base(**kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Generate; arguments as of the base model's, and ``adapter_names``."""
        if self.prompts_count:
            return self._generate_prompted(args, kwargs)
        return super().generate(*args, **kwargs)

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self.get_base_model().prepare_inputs_for_generation(*args, **kwargs)
