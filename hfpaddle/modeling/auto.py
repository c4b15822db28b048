"""Auto classes: from a config's ``model_type`` to the class that implements it."""

from __future__ import annotations

from typing import Any

from hfpaddle.modeling.configs import config_from_pretrained
from hfpaddle.modeling.hub import WHERE
from hfpaddle.modeling.registry import auto_model_class

# Arguments of the loader that are config fields too, with a meaning of their own there.
_LOADER = ("dtype", "torch_dtype", "attn_implementation", "quantization_config")


class _AutoModel:
    """Base of the auto classes; they are never instantiated."""

    def __init__(self, *_: Any, **__: Any) -> None:
        name = type(self).__name__
        raise OSError(
            f"{name} is designed to be instantiated using the "
            f"`{name}.from_pretrained(pretrained_model_name_or_path)` or "
            f"`{name}.from_config(config)` methods."
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Read the config, pick the class for its ``model_type``, and load it.

        Arguments, result and errors are those of `PreTrainedModel.from_pretrained`.
        """
        config = kwargs.pop("config", None)
        kwargs.pop("code_revision", None)
        if config is None or isinstance(config, str):
            source = {key: kwargs[key] for key in (*WHERE, "gguf_file") if key in kwargs}
            config = config_from_pretrained(config or pretrained_model_name_or_path, **source)
            for key in [key for key in kwargs if key not in _LOADER and hasattr(config, key)]:
                setattr(config, key, kwargs.pop(key))
        model_class = auto_model_class(cls.__name__, config.model_type)
        return model_class.from_pretrained(
            pretrained_model_name_or_path, *args, config=config, **kwargs
        )

    @classmethod
    def from_config(cls, config: Any, **kwargs: Any) -> Any:
        """Build the class for ``config.model_type`` with new weights."""
        return auto_model_class(cls.__name__, config.model_type)._from_config(config, **kwargs)


class AutoModel(_AutoModel):
    """The bare backbone."""


class AutoModelForCausalLM(_AutoModel):
    """Next-token prediction."""


class AutoModelForMaskedLM(_AutoModel):
    """Prediction of masked tokens."""


class AutoModelForSequenceClassification(_AutoModel):
    """One label a sequence."""


class AutoModelForTokenClassification(_AutoModel):
    """One label a token."""


class AutoModelForQuestionAnswering(_AutoModel):
    """Start and end of an answer in the text."""


class AutoModelForMultipleChoice(_AutoModel):
    """One of several candidate texts."""


class AutoModelForSeq2SeqLM(_AutoModel):
    """Encoder-decoder text generation."""


class AutoModelForPreTraining(_AutoModel):
    """The pre-training heads."""


class AutoModelForNextSentencePrediction(_AutoModel):
    """Whether one sentence follows another."""
