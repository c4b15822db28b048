"""What generate returns when ``return_dict_in_generate=True``.

Tuples hold one entry a generated token. Scores and logits are float32 ``[rows, vocabulary]``;
``sequences`` is int64 ``[rows, prompt + new tokens]``; ``beam_indices`` is int32.
"""

from __future__ import annotations

from dataclasses import dataclass

import paddle

from hfpaddle.core.outputs import ModelOutput
from hfpaddle.layers.cache import Cache

Steps = tuple[paddle.Tensor, ...] | None
StepsOfLayers = tuple[tuple[paddle.Tensor, ...], ...] | None


@dataclass
class GenerateDecoderOnlyOutput(ModelOutput):
    """Greedy, sampled or assisted decoding of a decoder."""

    sequences: paddle.Tensor
    scores: Steps = None
    logits: Steps = None
    attentions: StepsOfLayers = None
    hidden_states: StepsOfLayers = None
    past_key_values: Cache | None = None


@dataclass
class GenerateEncoderDecoderOutput(ModelOutput):
    """Greedy, sampled or assisted decoding of an encoder-decoder."""

    sequences: paddle.Tensor
    scores: Steps = None
    logits: Steps = None
    encoder_attentions: Steps = None
    encoder_hidden_states: Steps = None
    decoder_attentions: StepsOfLayers = None
    cross_attentions: StepsOfLayers = None
    decoder_hidden_states: StepsOfLayers = None
    past_key_values: Cache | None = None


@dataclass
class GenerateBeamDecoderOnlyOutput(ModelOutput):
    """Beam search or beam sampling of a decoder."""

    sequences: paddle.Tensor
    sequences_scores: paddle.Tensor | None = None
    scores: Steps = None
    logits: Steps = None
    beam_indices: paddle.Tensor | None = None
    attentions: StepsOfLayers = None
    hidden_states: StepsOfLayers = None
    past_key_values: Cache | None = None


@dataclass
class GenerateBeamEncoderDecoderOutput(ModelOutput):
    """Beam search or beam sampling of an encoder-decoder."""

    sequences: paddle.Tensor
    sequences_scores: paddle.Tensor | None = None
    scores: Steps = None
    logits: Steps = None
    beam_indices: paddle.Tensor | None = None
    encoder_attentions: Steps = None
    encoder_hidden_states: Steps = None
    decoder_attentions: StepsOfLayers = None
    cross_attentions: StepsOfLayers = None
    decoder_hidden_states: StepsOfLayers = None
    past_key_values: Cache | None = None


GenerateNonBeamOutput = GenerateDecoderOnlyOutput | GenerateEncoderDecoderOutput
GenerateBeamOutput = GenerateBeamDecoderOnlyOutput | GenerateBeamEncoderDecoderOutput
GenerateOutput = GenerateNonBeamOutput | GenerateBeamOutput
