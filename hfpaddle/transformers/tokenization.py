"""transformers' tokenizers that give and take Paddle tensors.

A tokenizer class is subclassed under its own name; nothing of transformers is patched.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import paddle
import transformers

from hfpaddle import backends
from hfpaddle.converters.gguf_tokenizer import load_gguf_tokenizer
from hfpaddle.core.dtypes import as_dtype, is_dtype
from hfpaddle.core.errors import CheckpointError, MissingFileError
from hfpaddle.modeling import hub

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.txt",
    "vocab.json",
    "tekken.json",
    "sentencepiece.bpe.model",
)


def wants_paddle(return_tensors: Any) -> bool:
    """Tell whether ``return_tensors`` asks for tensors of the framework: ``"pt"`` or ``"pd"``."""
    return getattr(return_tensors, "value", return_tensors) in ("pt", "pd")


def to_tensor(value: Any) -> Any:
    """Return a Paddle tensor for numbers; leave strings and None alone."""
    if isinstance(value, paddle.Tensor) or value is None:
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(
            "Unable to create tensor, you should probably activate truncation and/or padding with "
            "'padding=True' 'truncation=True' to have batched tensors with the same length."
        )
    return paddle.to_tensor(array, place=paddle.CPUPlace())


def to_python(value: Any) -> Any:
    """Return plain lists for Paddle tensors, at any depth of lists and tuples."""
    if isinstance(value, paddle.Tensor):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [to_python(item) for item in value]
    return value


class BatchEncoding(transformers.BatchEncoding):
    """transformers' BatchEncoding whose tensors are Paddle's and can be moved."""

    def to(self, *args: Any, **kwargs: Any) -> BatchEncoding:
        """Move tensors: ``to(device)``, ``to(dtype)`` (floating ones alone), or both; in place."""
        kwargs.pop("non_blocking", None)
        for value in [*args, *kwargs.values()]:
            if is_dtype(value):
                dtype = as_dtype(value)
                self._each(lambda t, d=dtype: t.astype(d) if t.is_floating_point() else t)
            else:
                device = backends.resolve_device(value)
                self._each(lambda t, d=device: t.to(d))
        return self

    def _each(self, change: Any) -> None:
        for key, value in self.data.items():
            if isinstance(value, paddle.Tensor):
                self.data[key] = change(value)

    def convert_to_tensors(self, tensor_type: Any = None, prepend_batch_axis: bool = False) -> Any:
        if not wants_paddle(tensor_type):
            return super().convert_to_tensors(tensor_type, prepend_batch_axis)
        super().convert_to_tensors("np", prepend_batch_axis)
        self.data = {key: to_tensor(value) for key, value in self.data.items()}
        return self


def to_paddle(encoding: transformers.BatchEncoding) -> BatchEncoding:
    """Return ``encoding`` with Paddle tensors in the place of arrays."""
    data = {key: to_tensor(value) for key, value in encoding.data.items()}
    result = BatchEncoding(data, encoding=encoding.encodings, n_sequences=encoding.n_sequences)
    return result


def _ours(encoding: Any) -> Any:
    """Return ``encoding`` as our class, whose ``convert_to_tensors("pt")`` gives Paddle tensors."""
    if type(encoding) is transformers.BatchEncoding:
        encoding.__class__ = BatchEncoding
    return encoding


class PaddleTensors:
    """What a tokenizer class gains: Paddle tensors out of encoding and into decoding."""

    def __call__(self, *args: Any, return_tensors: Any = None, **kwargs: Any) -> Any:
        paddle_wanted = wants_paddle(return_tensors)
        tensors = "np" if paddle_wanted else return_tensors
        encoding = super().__call__(*args, return_tensors=tensors, **kwargs)  # type: ignore[misc]
        return to_paddle(encoding) if paddle_wanted else _ours(encoding)

    def pad(
        self, encoded_inputs: Any, *args: Any, return_tensors: Any = None, **kwargs: Any
    ) -> Any:
        paddle_wanted = wants_paddle(return_tensors)
        tensors = "np" if paddle_wanted else return_tensors
        plain = _plain(encoded_inputs)
        encoding = super().pad(plain, *args, return_tensors=tensors, **kwargs)  # type: ignore[misc]
        return to_paddle(encoding) if paddle_wanted else _ours(encoding)

    def encode(self, *args: Any, return_tensors: Any = None, **kwargs: Any) -> Any:
        if not wants_paddle(return_tensors):
            return super().encode(*args, return_tensors=return_tensors, **kwargs)  # type: ignore[misc]
        return to_tensor(super().encode(*args, return_tensors="np", **kwargs))  # type: ignore[misc]

    def decode(self, token_ids: Any, *args: Any, **kwargs: Any) -> Any:
        return super().decode(to_python(token_ids), *args, **kwargs)  # type: ignore[misc]

    def batch_decode(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
        return super().batch_decode(to_python(sequences), *args, **kwargs)  # type: ignore[misc]

    def convert_ids_to_tokens(self, ids: Any, *args: Any, **kwargs: Any) -> Any:
        return super().convert_ids_to_tokens(to_python(ids), *args, **kwargs)  # type: ignore[misc]

    def apply_chat_template(self, conversation: Any, *args: Any, **kwargs: Any) -> Any:
        """As upstream. With ``return_assistant_tokens_mask`` the mask is a tensor as well."""
        result = super().apply_chat_template(conversation, *args, **kwargs)  # type: ignore[misc]
        if wants_paddle(kwargs.get("return_tensors")) and isinstance(
            result, transformers.BatchEncoding
        ):
            return to_paddle(result)
        return _ours(result)


def _plain(encoded: Any) -> Any:
    """Turn Paddle tensors inside the input of ``pad`` into lists."""
    if isinstance(encoded, (dict, transformers.BatchEncoding)):
        return {key: to_python(value) for key, value in encoded.items()}
    return [_plain(item) for item in encoded]


class _MirroredClass(type):
    """Lets ``isinstance`` and ``issubclass`` see what they see in transformers: a tokenizer made
    here is an instance of the mirrored PreTrainedTokenizerFast if the original's is of its own.
    """

    def __instancecheck__(cls, instance: Any) -> bool:
        return (
            isinstance(instance, cls.__dict__["upstream"])
            if "upstream" in cls.__dict__
            else (super().__instancecheck__(instance))
        )

    def __subclasscheck__(cls, subclass: type) -> bool:
        return (
            issubclass(subclass, cls.__dict__["upstream"])
            if "upstream" in cls.__dict__
            else (super().__subclasscheck__(subclass))
        )


@functools.lru_cache(None)
def paddle_tokenizer(cls: type) -> Any:
    """Return the subclass of a transformers tokenizer class that speaks Paddle, under its name."""
    if PaddleTensors in cls.__mro__:
        return cls
    attrs = {"__module__": "hfpaddle.transformers", "upstream": cls}
    return _MirroredClass(cls.__name__, (PaddleTensors, cls), attrs)


def check_tokenizer_files(name: Any, subfolder: str = "") -> None:
    """Raise MissingFileError for a local folder without any tokenizer file."""
    folder = os.path.join(name, subfolder) if name is not None else ""
    if not os.path.isdir(folder):
        return
    present = os.listdir(folder)
    if not any(file in present for file in TOKENIZER_FILES):
        raise MissingFileError(
            f"{folder} has no tokenizer: none of {', '.join(TOKENIZER_FILES)} is there "
            f"(found {sorted(present)[:8]}). Save one beside the model with "
            "tokenizer.save_pretrained(folder), or load it from another name."
        )


class AutoTokenizer:
    """transformers' AutoTokenizer; the tokenizers it gives speak Paddle tensors."""

    def __init__(self) -> None:
        raise OSError(
            "AutoTokenizer is designed to be instantiated using the "
            "`AutoTokenizer.from_pretrained(pretrained_model_name_or_path)` method."
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Take upstream's arguments; return upstream's tokenizer with Paddle tensors.

        Raises: MissingFileError for a folder without tokenizer files; CheckpointError for files
        that cannot be read.
        """
        hub.check_source(pretrained_model_name_or_path)
        kwargs.pop("trust_remote_code", None)
        gguf_file = kwargs.pop("gguf_file", None)
        if gguf_file is not None:
            path = hub.need_file(pretrained_model_name_or_path, gguf_file, **kwargs)
            settings = {key: value for key, value in kwargs.items() if key not in hub.WHERE}
            tokenizer = load_gguf_tokenizer(path, **settings)
        else:
            check_tokenizer_files(pretrained_model_name_or_path, kwargs.get("subfolder") or "")
            try:
                tokenizer = transformers.AutoTokenizer.from_pretrained(
                    pretrained_model_name_or_path, *args, **kwargs
                )
            except Exception as error:  # what the tokenizers library raises is no more than that
                if type(error) is not Exception and not isinstance(error, (OSError, ValueError)):
                    raise
                raise CheckpointError(
                    f"{pretrained_model_name_or_path}: its tokenizer cannot be read: {error}"
                ) from error
        tokenizer.__class__ = paddle_tokenizer(type(tokenizer))
        return tokenizer

    @staticmethod
    def register(*args: Any, **kwargs: Any) -> None:
        transformers.AutoTokenizer.register(*args, **kwargs)


__all__ = ["AutoTokenizer", "BatchEncoding", "paddle_tokenizer"]
