"""Gemma 3 text decoder: Gemma 2 with query and key norms and one rotary base a layer type.

Source: arXiv:2503.19786; checkpoints `google/gemma-3-270m`, `google/gemma-3-1b-*`,
`google/embeddinggemma-300m` (bidirectional).
"""

from __future__ import annotations

from typing import Any

import transformers

from hfpaddle.layers import AttentionMask
from hfpaddle.modeling.decoder import DecoderModel
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.gemma import gemma_norm
from hfpaddle.models.gemma2 import Gemma2ForCausalLM, SandwichBlock, gemma_block


class Gemma3TextModel(DecoderModel):
    """The backbone; with ``use_bidirectional_attention`` tokens see both sides of themselves."""

    key_map = Gemma2ForCausalLM.key_map

    def __init__(self, config: transformers.Gemma3TextConfig) -> None:
        super().__init__(config)
        self.bidirectional = bool(config.use_bidirectional_attention)

    def make_mask(self, *args: Any, **kwargs: Any) -> AttentionMask:
        mask = super().make_mask(*args, **kwargs)
        if self.bidirectional:
            mask.causal = False
            # The config's window excludes its own bound; a two-sided mask includes it.
            mask.window = None if mask.window is None else mask.window - 1
        return mask


@register_model("gemma3_text")
class Gemma3ForCausalLM(Gemma2ForCausalLM):
    """Gemma 2 blocks without softcap on the scores."""

    config_class = transformers.Gemma3TextConfig
    model_class = Gemma3TextModel
    # The original reads attn_logit_softcapping for Gemma 2 alone: its Gemma 3 attention never
    # applies it.
    neutral_config_keys = Gemma2ForCausalLM.neutral_config_keys | {"attn_logit_softcapping"}

    @staticmethod
    def make_block(config: transformers.Gemma3TextConfig, layer: int) -> SandwichBlock:
        return gemma_block(config, layer, qk_norm=gemma_norm(config.rms_norm_eps))
