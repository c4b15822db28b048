"""Auto classes: from a config's ``model_type`` to the class that implements it."""

from __future__ import annotations

from typing import Any

import transformers

from hfpaddle.modeling.adapters import adapter_folder, base_of, load_with_adapter
from hfpaddle.modeling.configs import config_from_pretrained
from hfpaddle.modeling.hub import resolve_revision, where
from hfpaddle.modeling.loading import ARGUMENTS
from hfpaddle.modeling.registry import auto_model_class


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
        folder = adapter_folder(pretrained_model_name_or_path)
        if folder is not None and base_of(folder) != folder:
            return load_with_adapter(
                lambda base, **kw: cls.from_pretrained(base, *args, **kw), folder, **kwargs
            )
        config = kwargs.pop("config", None)
        if not isinstance(config, transformers.PretrainedConfig):
            name = pretrained_model_name_or_path if config is None else config
            kwargs["revision"] = resolve_revision(pretrained_model_name_or_path, **where(kwargs))
            given = {key: kwargs.pop(key) for key in ARGUMENTS if key in kwargs}
            source = {**where(given), "gguf_file": given.get("gguf_file")}
            config, kwargs = config_from_pretrained(
                name, return_unused_kwargs=True, **source, **kwargs
            )
            kwargs |= given
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


class AutoModelForImageClassification(_AutoModel):
    """One label an image."""


class AutoModelForMaskedImageModeling(_AutoModel):
    """The pixels of masked patches."""
