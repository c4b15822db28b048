"""NEFTune: noise on the input embeddings while training. Source: arXiv:2310.05914."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import paddle

from hfpaddle.core import rng


@contextlib.contextmanager
def add_noise(model: Any, alpha: float) -> Iterator[None]:
    """Within it, embeddings ``[B, S, H]`` of a training model gain uniform noise, in which no
    value exceeds ``alpha / sqrt(S * H)``; drawn as torch draws it.
    """

    def noisy(layer: Any, inputs: Any, output: paddle.Tensor) -> paddle.Tensor:
        if not layer.training:
            return output
        limit = alpha / math.sqrt(output.shape[1] * output.shape[2])
        noise = rng.default_generator.uniform(tuple(output.shape), -limit, limit)
        return output + paddle.to_tensor(noise).astype(output.dtype).to(output.place)

    hook = model.get_input_embeddings().register_forward_post_hook(noisy)
    try:
        yield
    finally:
        hook.remove()
