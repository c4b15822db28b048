"""transformers' image processors, feature extractors and processors that give Paddle tensors.

Each class is subclassed under its own name; nothing of transformers is patched. Images are resized
by the Pillow back end, which needs no torchvision, so ``ViTImageProcessor`` here is transformers'
``ViTImageProcessorPil``.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import paddle
import transformers
from transformers.image_processing_base import ImageProcessingMixin

from hfpaddle import backends
from hfpaddle.core.dtypes import as_dtype, is_dtype
from hfpaddle.core.errors import MissingFileError
from hfpaddle.core.logging import warn_once
from hfpaddle.modeling import hub
from hfpaddle.transformers.tokenization import paddle_tokenizer, to_python, wants_paddle

PROCESSOR_FILES = (
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
)
NESTED = ("text_kwargs", "images_kwargs", "videos_kwargs", "audio_kwargs", "common_kwargs")


def to_arrays(value: Any) -> Any:
    """Return NumPy arrays for Paddle tensors, at any depth of lists and tuples."""
    if isinstance(value, paddle.Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, (list, tuple)):
        return type(value)(to_arrays(item) for item in value)
    return value


def to_tensors(value: Any) -> Any:
    """Return a Paddle tensor for an array of numbers; leave everything else alone."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return paddle.to_tensor(value, place=paddle.CPUPlace())
    if isinstance(value, (list, tuple)):
        return type(value)(to_tensors(item) for item in value)
    return value


class BatchFeature(transformers.BatchFeature):
    """transformers' BatchFeature whose tensors are Paddle's and can be moved."""

    def to(self, *args: Any, **kwargs: Any) -> BatchFeature:
        """Move tensors: ``to(device)``, ``to(dtype)`` (floating ones alone), or both; in place."""
        kwargs.pop("non_blocking", None)
        for value in [*args, *kwargs.values()]:
            if is_dtype(value):
                dtype = as_dtype(value)
                self._each(lambda t, d=dtype: t.astype(d) if t.is_floating_point() else t)
            elif value is not None:
                device = backends.resolve_device(value)
                self._each(lambda t, d=device: t.to(d))
        return self

    def _each(self, change: Any) -> None:
        def walk(value: Any) -> Any:
            if isinstance(value, paddle.Tensor):
                return change(value)
            if isinstance(value, (list, tuple)):
                return type(value)(walk(item) for item in value)
            return value

        self.data = {key: walk(value) for key, value in self.data.items()}

    def convert_to_tensors(self, tensor_type: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As upstream; ``"pt"`` and ``"pd"`` give Paddle tensors."""
        if not wants_paddle(tensor_type):
            return super().convert_to_tensors(tensor_type, *args, **kwargs)
        self.data = {key: to_arrays(value) for key, value in self.data.items()}
        super().convert_to_tensors("np", *args, **kwargs)
        self.data = {key: to_tensors(value) for key, value in self.data.items()}
        return self


def to_paddle(features: Any) -> Any:
    """Return ``features`` with Paddle tensors in the place of arrays."""
    if isinstance(features, (transformers.BatchFeature, transformers.BatchEncoding)):
        return BatchFeature({key: to_tensors(value) for key, value in features.items()})
    return to_tensors(features)


def as_numpy(kwargs: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Ask for arrays where ``kwargs``, or a dictionary in them, ask for tensors; tell if any do."""
    wanted, changed = False, dict(kwargs)
    if wants_paddle(changed.get("return_tensors")):
        wanted, changed["return_tensors"] = True, "np"
    for name in NESTED:
        if isinstance(changed.get(name), dict):
            changed[name], inner = as_numpy(changed[name])
            wanted = wanted or inner
    return changed, wanted


class PaddleFeatures:
    """What an image processor or a feature extractor gains: Paddle tensors in and out."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._paddle(super().__call__, args, kwargs)  # type: ignore[misc]

    def preprocess(self, *args: Any, **kwargs: Any) -> Any:
        return self._paddle(super().preprocess, args, kwargs)  # type: ignore[misc]

    def pad(self, *args: Any, **kwargs: Any) -> Any:
        return self._paddle(super().pad, args, kwargs)  # type: ignore[misc]

    def _paddle(self, call: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        kept = getattr(self, "return_tensors", None)
        if kept is not None:
            kwargs = {"return_tensors": kept, **kwargs}
        kwargs, wanted = as_numpy(kwargs)
        features = call(*to_arrays(args), **{k: to_arrays(v) for k, v in kwargs.items()})
        return to_paddle(features) if wanted else features


class PaddleProcessor:
    """What a processor of several kinds of input gains: Paddle tensors, from its parts, too."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        kwargs, wanted = as_numpy(kwargs)
        kwargs = {key: to_arrays(value) for key, value in kwargs.items()}
        features = super().__call__(*to_arrays(args), **kwargs)  # type: ignore[misc]
        return to_paddle(features) if wanted else features

    def decode(self, token_ids: Any, *args: Any, **kwargs: Any) -> Any:
        return super().decode(to_python(token_ids), *args, **kwargs)  # type: ignore[misc]

    def batch_decode(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
        return super().batch_decode(to_python(sequences), *args, **kwargs)  # type: ignore[misc]


def adopting(cls: Any) -> Any:
    """Return the constructor of ``cls`` that lets the new processor's parts give Paddle tensors."""

    @functools.wraps(cls.__init__)  # the signature says which parts a processor has
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        cls.__init__(self, *args, **kwargs)
        adopt(self)

    return construct


@functools.lru_cache(None)
def paddle_processor(cls: type) -> Any:
    """Return the subclass of a transformers class that gives Paddle tensors, under its name.

    Image processors bear the name without ``Pil``. A class of another kind is returned as it is.
    """
    if issubclass(cls, transformers.PreTrainedTokenizerBase):
        return paddle_tokenizer(cls)
    if issubclass(cls, (PaddleFeatures, PaddleProcessor)):
        return cls
    attributes = {"__module__": "hfpaddle.transformers", "__doc__": cls.__doc__}
    if issubclass(cls, transformers.ProcessorMixin):
        attributes["__init__"] = adopting(cls)
        return type(cls.__name__, (PaddleProcessor, cls), attributes)
    if issubclass(cls, (ImageProcessingMixin, transformers.FeatureExtractionMixin)):
        return type(cls.__name__.removesuffix("Pil"), (PaddleFeatures, cls), attributes)
    return cls


def adopt(value: Any) -> Any:
    """Let an instance, and the parts of a processor, give Paddle tensors. Returns it."""
    value.__class__ = paddle_processor(type(value))
    if isinstance(value, transformers.ProcessorMixin):
        for name in value.get_attributes():
            part = getattr(value, name, None)
            if part is not None:
                adopt(part)
    return value


def find_processor(name: str) -> Any:
    """Return the class called ``name`` that gives Paddle tensors, None if it is none of these."""
    base = name.removesuffix("Fast").removesuffix("Pil")
    listed = getattr(transformers, "_class_to_module", {})
    if base.endswith("ImageProcessor") and listed.get(f"{base}Pil", "").startswith("models."):
        return paddle_processor(getattr(transformers, f"{base}Pil"))
    module = listed.get(name, "")
    if not module.startswith("models.") or ".auto" in module:
        return None
    kind = module.rsplit(".", 1)[-1].split("_")[0]
    if kind not in ("processing", "feature"):
        return None
    value = getattr(transformers, name)
    return paddle_processor(value) if isinstance(value, type) else None


def check_processor_files(name: Any, subfolder: str, more: tuple[str, ...] = ()) -> None:
    """Raise MissingFileError for a local folder that holds no processor's file."""
    folder = os.path.join(name, subfolder) if name is not None else ""
    if not os.path.isdir(folder):
        return
    present, wanted = os.listdir(folder), (*PROCESSOR_FILES, *more)
    if not any(file in present for file in wanted):
        raise MissingFileError(
            f"{folder} has no processor: none of {', '.join(wanted)} is there "
            f"(found {sorted(present)[:8]}). Save one beside the model with "
            "processor.save_pretrained(folder), or load it from another name."
        )


class _AutoProcessing:
    """Base of the auto classes here; they are never instantiated."""

    further_files: tuple[str, ...] = ()

    def __init__(self) -> None:
        name = type(self).__name__
        raise OSError(
            f"{name} is designed to be instantiated using the "
            f"`{name}.from_pretrained(pretrained_model_name_or_path)` method."
        )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Take upstream's arguments; return upstream's object with Paddle tensors.

        Raises: MissingFileError for a folder without the files of a processor.
        """
        hub.check_source(pretrained_model_name_or_path)
        kwargs.pop("trust_remote_code", None)
        check_processor_files(
            pretrained_model_name_or_path, kwargs.get("subfolder") or "", cls.further_files
        )
        upstream = getattr(transformers, cls.__name__)
        found = upstream.from_pretrained(
            pretrained_model_name_or_path, *args, **cls._settings(kwargs)
        )
        if isinstance(found, tuple):  # return_unused_kwargs=True
            return adopt(found[0]), *found[1:]
        return adopt(found)

    @classmethod
    def _settings(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        return kwargs

    @classmethod
    def register(cls, *args: Any, **kwargs: Any) -> None:
        getattr(transformers, cls.__name__).register(*args, **kwargs)


class AutoImageProcessor(_AutoProcessing):
    """transformers' AutoImageProcessor with its Pillow back end."""

    further_files = ("config.json",)

    @classmethod
    def _settings(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        fast, backend = kwargs.pop("use_fast", None), kwargs.pop("backend", None)
        if fast or backend not in (None, "pil"):
            warn_once(
                "AutoImageProcessor: torchvision's back end (use_fast=True, "
                'backend="torchvision") is not used on Paddle; images go through backend="pil".'
            )
        return {**kwargs, "backend": "pil"}


class AutoFeatureExtractor(_AutoProcessing):
    """transformers' AutoFeatureExtractor, for sound."""

    further_files = ("config.json",)


class AutoProcessor(_AutoProcessing):
    """transformers' AutoProcessor: what prepares every kind of input of one model."""

    further_files = ("config.json", "tokenizer_config.json", "tokenizer.json")


__all__ = [
    "AutoFeatureExtractor",
    "AutoImageProcessor",
    "AutoProcessor",
    "BatchFeature",
    "paddle_processor",
]
