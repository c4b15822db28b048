"""One tiny random model in both libraries, to generate with.

``llama`` and ``gemma3_text`` are our models on the original's checkpoint. ``gpt2``, ``t5`` and
``bart`` are the original's own forward pass under our generate (see bridge.py).
"""

from __future__ import annotations

import copy

import numpy as np
import paddle
import torch
import transformers
from bridge import Bridge
from harness import randomise

import hfpaddle.modeling.auto as ours_auto
from hfpaddle.core import rng

SPECIAL = {
    "vocab_size": 99,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    # A tied head would repeat the last token for ever.
    "tie_word_embeddings": False,
}
CONFIGS = {
    "llama": transformers.LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        **SPECIAL,
    ),
    "gemma3_text": transformers.Gemma3TextConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=6,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        max_position_embeddings=256,
        **SPECIAL,
    ),
    "gpt2": transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=256, **SPECIAL),
    "t5": transformers.T5Config(
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        **SPECIAL,
    ),
    "bart": transformers.BartConfig(
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=128,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
        **SPECIAL,
    ),
}
LIVELY = {"llama": 2.0, "gemma3_text": 2.0, "gpt2": 1.0, "t5": 3.0, "bart": 1.0}
OWN = ("llama", "gemma3_text")
DECODERS = ("llama", "gemma3_text", "gpt2")
ENCODER_DECODERS = ("t5", "bart")


class Pair:
    """One model in both libraries."""

    def __init__(self, theirs, ours):
        self.theirs, self.ours = theirs, ours

    def run(self, ids, kwargs, seed=3):
        """Return our result and the original's for the same arrays and seed."""
        out = []
        for model, tensor, manual_seed in (
            (self.ours, paddle.to_tensor, rng.manual_seed),
            (self.theirs, torch.tensor, torch.manual_seed),
        ):
            manual_seed(seed)
            arrays = {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
            out.append(model.generate(*([] if ids is None else [tensor(ids)]), **arrays))
        return out

    def check(self, ids, seed=3, **kwargs):
        got, want = self.run(ids, kwargs, seed)
        assert got.dtype == paddle.int64
        assert got.tolist() == want.tolist()
        return want


def build(name, folder, layers=None):
    """Return both libraries' model of one checkpoint."""
    config = copy.deepcopy(CONFIGS[name])
    if layers is not None:
        for key in ("num_hidden_layers", "num_layers", "num_decoder_layers", "decoder_layers"):
            if hasattr(config, key):
                setattr(config, key, layers)
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:layers]
    encodes = config.is_encoder_decoder
    auto = "AutoModelForSeq2SeqLM" if encodes else "AutoModelForCausalLM"
    torch.manual_seed(0)
    theirs = randomise(getattr(transformers, auto).from_config(config))
    with torch.no_grad():
        # Livelier than a random model, so that beams, cutoffs and ends differ by row.
        for weight in theirs.parameters():
            weight.mul_(LIVELY[name] if weight.ndim > 1 else 1.0)
    if name not in OWN:
        return Pair(theirs, Bridge(theirs))
    theirs.save_pretrained(folder)
    return Pair(theirs, getattr(ours_auto, auto).from_pretrained(folder))
