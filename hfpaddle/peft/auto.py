"""Base model and adapter from the adapter alone."""

from __future__ import annotations

import os
from typing import Any

from hfpaddle.modeling import auto as models
from hfpaddle.modeling import registry
from hfpaddle.peft.config import PeftConfig
from hfpaddle.peft.peft_model import (
    PeftModel,
    PeftModelForCausalLM,
    PeftModelForFeatureExtraction,
    PeftModelForQuestionAnswering,
    PeftModelForSeq2SeqLM,
    PeftModelForSequenceClassification,
    PeftModelForTokenClassification,
)
from hfpaddle.peft.utils.constants import TOKENIZER_CONFIG_NAME
from hfpaddle.peft.utils.other import check_file_exists_on_hf_hub

MODEL_TYPE_TO_PEFT_MODEL_MAPPING: dict[Any, Any] = {
    "SEQ_CLS": PeftModelForSequenceClassification,
    "SEQ_2_SEQ_LM": PeftModelForSeq2SeqLM,
    "CAUSAL_LM": PeftModelForCausalLM,
    "TOKEN_CLS": PeftModelForTokenClassification,
    "QUESTION_ANS": PeftModelForQuestionAnswering,
    "FEATURE_EXTRACTION": PeftModelForFeatureExtraction,
}


class _BaseAutoPeftModel:
    """``from_pretrained`` reads the adapter, loads the base model it names, and joins both."""

    _target_class: Any = None
    _target_peft_class: Any = PeftModel

    def __init__(self, *_: Any, **__: Any) -> None:
        name = type(self).__name__
        raise OSError(
            f"{name} is designed to be instantiated using the "
            f"`{name}.from_pretrained(pretrained_model_name_or_path)` method."
        )

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        adapter_name: str = "default",
        is_trainable: bool = False,
        config: Any = None,
        revision: str | None = None,
        import_allowlist: list[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Load base model and adapter.

        Args:
            import_allowlist: accepted; classes come from hfpaddle alone.
            kwargs: those of the base model's ``from_pretrained``.
        Raises: ValueError if the adapter belongs to another task, or does not tell its class.
        """
        source = pretrained_model_name_or_path
        hub, _ = PeftModel._split_kwargs(kwargs)
        own = PeftConfig.from_pretrained(source, revision=revision, **hub)
        target = cls._base_class(own)
        base = target.from_pretrained(own.base_model_name_or_path, revision=own.revision, **kwargs)
        _fit_vocabulary(base, source, revision, kwargs)
        return cls._target_peft_class.from_pretrained(
            base,
            source,
            adapter_name=adapter_name,
            is_trainable=is_trainable,
            config=config,
            revision=revision,
            **hub,
        )

    @classmethod
    def _base_class(cls, config: Any) -> Any:
        if config.task_type is not None:
            if cls._target_class is None:
                raise ValueError(
                    "Cannot use `AutoPeftModel` with a task type, please use a specific class for "
                    "your task type. (e.g. `AutoPeftModelForCausalLM` for `task_type='CAUSAL_LM'`)"
                )
            expected = MODEL_TYPE_TO_PEFT_MODEL_MAPPING[config.task_type]
            if cls._target_peft_class is not expected:
                raise ValueError(
                    f"Expected target PEFT class: {expected.__name__}, but you have asked for: "
                    f"{cls._target_peft_class.__name__} make sure that you are loading the correct "
                    "model for your task type."
                )
            return cls._target_class
        if cls._target_class is not None:
            return cls._target_class
        name = (config.auto_mapping or {}).get("base_model_class")
        found = None if name is None else registry.find_class(name)
        if found is None:
            raise ValueError(
                "Cannot infer the auto class from the config, please make sure that you are "
                f"loading the correct model for your task type (base_model_class: {name!r})."
            )
        return found


def _fit_vocabulary(base: Any, source: Any, revision: Any, kwargs: dict[str, Any]) -> None:
    """Grow the embedding if the adapter's folder has a tokenizer with more tokens."""
    exists: Any = os.path.exists(os.path.join(source, TOKENIZER_CONFIG_NAME))
    if not exists and not os.path.isdir(source):
        exists = check_file_exists_on_hf_hub(
            str(source), TOKENIZER_CONFIG_NAME, revision=revision, token=kwargs.get("token")
        )
    if not exists or not hasattr(base, "get_input_embeddings"):
        return
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, token=kwargs.get("token"))
    if len(tokenizer) > base.get_input_embeddings().weight.shape[0]:
        base.resize_token_embeddings(len(tokenizer))


class AutoPeftModel(_BaseAutoPeftModel):
    """For adapters without a task: the class is the one the adapter was saved with."""


class AutoPeftModelForCausalLM(_BaseAutoPeftModel):
    """For language models."""

    _target_class = models.AutoModelForCausalLM
    _target_peft_class = PeftModelForCausalLM


class AutoPeftModelForSeq2SeqLM(_BaseAutoPeftModel):
    """For encoder-decoders."""

    _target_class = models.AutoModelForSeq2SeqLM
    _target_peft_class = PeftModelForSeq2SeqLM


class AutoPeftModelForSequenceClassification(_BaseAutoPeftModel):
    """For text classifiers."""

    _target_class = models.AutoModelForSequenceClassification
    _target_peft_class = PeftModelForSequenceClassification


class AutoPeftModelForTokenClassification(_BaseAutoPeftModel):
    """For classifiers of tokens."""

    _target_class = models.AutoModelForTokenClassification
    _target_peft_class = PeftModelForTokenClassification


class AutoPeftModelForQuestionAnswering(_BaseAutoPeftModel):
    """For models that mark answers."""

    _target_class = models.AutoModelForQuestionAnswering
    _target_peft_class = PeftModelForQuestionAnswering


class AutoPeftModelForFeatureExtraction(_BaseAutoPeftModel):
    """For backbones."""

    _target_class = models.AutoModel
    _target_peft_class = PeftModelForFeatureExtraction
