"""Our generate on the original's forward pass: what differs then is generate's own doing.

A `Bridge` is a Paddle layer that hands each call to a torch model and turns the answer back, so
both libraries decode from the very same logits. The cache is the original's, behind our interface.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
import paddle
import torch
from transformers import cache_utils

from hfpaddle.core.outputs import ModelOutput
from hfpaddle.generation import GenerationMixin
from hfpaddle.layers.cache import Cache


def to_torch(value: Any) -> Any:
    """Paddle tensors, also inside a result or a cache, as torch's."""
    if isinstance(value, paddle.Tensor):
        return torch.from_numpy(value.numpy().copy())
    if isinstance(value, BridgeCache):
        return value.torch
    if isinstance(value, ModelOutput):
        return value.torch
    return value


def to_paddle(value: Any) -> Any:
    """The reverse of `to_torch`, for results."""
    if isinstance(value, torch.Tensor):
        return paddle.to_tensor(value.numpy().copy())
    if isinstance(value, tuple):
        return tuple(to_paddle(v) for v in value)
    return value


class BridgeCache(Cache):
    """The original's cache as ours."""

    def __init__(self, cache: Any):
        super().__init__(layers=[])
        self.torch = cache

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return int(self.torch.get_seq_length())

    def reorder_cache(self, beam_idx: paddle.Tensor) -> None:
        self.torch.reorder_cache(to_torch(beam_idx))

    def crop(self, tokens_to_remove: int) -> None:
        self.torch.crop(tokens_to_remove)

    def activate_past_recording(self) -> None:
        self.torch.activate_past_recording()


class Result(ModelOutput):
    """Any result; ``torch`` is the original it was made from, with rows repeated alike."""

    def __init__(self, output: Any):
        super().__init__()
        self.original = output
        for key, value in output.items():
            cached = isinstance(value, cache_utils.Cache)
            self[key] = BridgeCache(value) if cached else to_paddle(value)

    def __copy__(self) -> Result:
        made = Result(self.original)
        for key in self:
            made[key] = self[key]
        return made

    @property
    def torch(self) -> Any:
        return type(self.original)(
            **{k: to_torch(v) for k, v in self.items() if isinstance(v, paddle.Tensor)}
        )


class Encoder:
    """The original's encoder, as our generate calls it."""

    def __init__(self, encoder: Any):
        self.torch = encoder

    def forward(self, input_ids=None, attention_mask=None, inputs_embeds=None, **kwargs: Any): ...

    def __call__(self, **kwargs: Any) -> Result:
        with torch.no_grad():
            return Result(self.torch(**{k: to_torch(v) for k, v in kwargs.items()}))


class Bridge(paddle.nn.Layer, GenerationMixin):
    """A torch model that our generate can drive."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.anchor = self.create_parameter([1])
        object.__setattr__(self, "torch", model)
        self.config, self.generation_config = model.config, copy.deepcopy(model.generation_config)
        self.main_input_name, self.base_model_prefix = model.main_input_name, "model"
        accepted = inspect.signature(model.forward).parameters
        self.__class__ = type(type(self).__name__, (type(self),), {"forward": _forward(accepted)})

    def get_encoder(self) -> Encoder:
        return Encoder(self.torch.get_encoder())

    def _prepare_cache_for_generation(self, config, model_kwargs, mode, batch_size, room) -> None:
        if model_kwargs.get("past_key_values") is not None or config.use_cache is False:
            return
        own = {"past_key_values": None}
        self.torch._prepare_cache_for_generation(config, own, mode, batch_size, room)
        cache = BridgeCache(own["past_key_values"])
        if config.is_assistant:
            cache.activate_past_recording()
        model_kwargs["past_key_values"] = cache


def _forward(parameters: Any) -> Any:
    def forward(self, *args: Any, **kwargs: Any) -> Result:
        names = [n for n in parameters if n not in ("self", "kwargs")]
        kwargs |= dict(zip(names, args, strict=False))
        with torch.no_grad():
            return Result(self.torch(**{k: to_torch(v) for k, v in kwargs.items()}))

    # generate looks at the names that the forward pass takes.
    shown = [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY) for n in parameters if n != "kwargs"
    ]
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    forward.__signature__ = inspect.Signature([own, *shown])
    return forward


def random_ids(rows: int, length: int, vocab: int = 99, seed: int = 0) -> np.ndarray:
    """Return ids ``[rows, length]`` without the special ones."""
    return np.random.default_rng(seed).integers(5, vocab, (rows, length))
