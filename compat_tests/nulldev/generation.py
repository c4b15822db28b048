"""Run by test_generation.py beside the null device: ``generation.py MODEL_TYPE DEFAULT_DEVICE``.

Generates in every mode on the CPU and on the null device and asks for the same tokens, there.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import numpy as np
import paddle
import transformers

import hfpaddle.modeling.auto as auto
from hfpaddle.core import rng

DEVICE = "nulldev:0"
SIZES: dict[str, dict[str, Any]] = {
    "llama": {},
    "gemma3_text": {
        "head_dim": 8,
        "sliding_window": 4,
        "layer_types": ["sliding_attention", "full_attention"],
    },
}
TINY = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
ENDS = {"eos_token_id": list(range(2, 97, 6))}
ONE_ROW = ("lookup", "lookup sample", "assistant", "assistant sample")


def allowed(sample: int, ids: paddle.Tensor) -> list[int]:
    return [5 + sample, 17, 30, int(ids[-1]) % 90 + 3, 2]


MODES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "ends": ENDS,
    "min_new_tokens": {**ENDS, "min_new_tokens": 6},
    "min_length": {**ENDS, "min_length": 14},
    "repetition_penalty": {"repetition_penalty": 1.8},
    "no_repeat_ngram_size": {"no_repeat_ngram_size": 2},
    "bad_words_ids": {"bad_words_ids": [[7], [9, 11]]},
    "sequence_bias": {"sequence_bias": {(40,): 6.0, (41, 42): 5.0}},
    "suppress_tokens": {"suppress_tokens": list(range(3, 60))},
    "begin_suppress_tokens": {"begin_suppress_tokens": list(range(3, 80))},
    "forced_eos_token_id": {"forced_eos_token_id": 44},
    "exponential_decay": {**ENDS, "exponential_decay_length_penalty": (2, 1.6)},
    "renormalize_logits": {"renormalize_logits": True},
    "remove_invalid_values": {"remove_invalid_values": True},
    "prefix": {"prefix_allowed_tokens_fn": allowed},
    "no cache": {"use_cache": False},
    "static cache": {"cache_implementation": "static"},
    "static cache beams": {"cache_implementation": "static", "num_beams": 2},
    "prefill in chunks": {"prefill_chunk_size": 3},
    "guidance": {"guidance_scale": 1.5},
    "watermark": {"watermarking_config": transformers.WatermarkingConfig(bias=3.0)},
    "warpers": {
        "do_sample": True,
        "temperature": 1.4,
        "top_p": 0.9,
        "min_p": 0.01,
        "typical_p": 0.95,
        "epsilon_cutoff": 1e-4,
        "eta_cutoff": 1e-4,
        "top_h": 0.9,
    },
    "beams": {**ENDS, "num_beams": 3, "num_return_sequences": 3},
    "beams early": {**ENDS, "num_beams": 3, "early_stopping": True},
    "beam sample": {"num_beams": 3, "do_sample": True},
    "lookup": {"prompt_lookup_num_tokens": 3},
    "lookup sample": {"prompt_lookup_num_tokens": 3, "do_sample": True},
    "assistant": {},
    "assistant sample": {"do_sample": True},
}


def check(model_type: str, default: str) -> None:
    paddle.set_device("cpu")
    paddle.seed(1)
    config = transformers.AutoConfig.for_model(model_type, **{**TINY, **SIZES[model_type]})
    on_host = auto.AutoModelForCausalLM.from_config(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        on_host.save_pretrained(folder)
        paddle.set_device(default)
        on_device = auto.AutoModelForCausalLM.from_pretrained(folder, device_map=DEVICE)
    padded = np.random.default_rng(0).integers(3, 97, (2, 9))
    padded[0, :3] = 0
    repeating = np.array([[7, 8, 9, 10, 11, 7, 8, 9, 10, 11, 7, 8]])
    for mode, kwargs in MODES.items():
        ids, tokens = repeating if mode in ONE_ROW else padded, []
        for model, device in ((on_host, "cpu"), (on_device, DEVICE)):
            rng.manual_seed(3)
            helper = {"assistant_model": model} if mode.startswith("assistant") else {}
            prompt = paddle.to_tensor(ids, place=device)
            out = model.generate(prompt, max_new_tokens=10, **kwargs, **helper)
            assert device in str(out.place), f"{mode}: tokens on {out.place}"
            tokens.append(out.tolist())
        assert tokens[0] == tokens[1], f"{mode}: {tokens}"
        print(mode, flush=True)  # the last one printed tells how far a crash got


if __name__ == "__main__":
    check(sys.argv[1], sys.argv[2])
