"""Packed samples give the original's numbers, where the original packs without flash attention.

It does so for positions that restart, in families that hand them to the mask, without a cache. The
other decoder families (BLOOM, Falcon, OPT) are compared sample by sample.
"""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch
import transformers
from harness import TINY, close, load_ours, original

LENGTHS = (5, 9, 5, 1, 12, 3)
WINDOW = {"sliding_window": 4}
SOME = {**WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
FAMILIES: dict[str, dict] = {
    "llama": {},
    "mistral": WINDOW,
    "gemma2": {**SOME, "head_dim": 8, "attn_logit_softcapping": 2.0},
    "gemma3_text": {**SOME, "head_dim": 8},
    "gpt2": {},
    "gpt_neox": {},
    "gptj": {"rotary_dim": 4},
    "cohere": {"use_qk_norm": True},
    "glm": {"head_dim": 8},
    "mixtral": {**WINDOW, "num_local_experts": 4},
    "qwen2": {**SOME, "use_sliding_window": True},
    "phi": {},
    "deepseek_v3": {
        **{"num_key_value_heads": 4, "q_lora_rank": 14, "kv_lora_rank": 10, "v_head_dim": 7},
        **{"qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "first_k_dense_replace": 1},
        **{"moe_intermediate_size": 20, "n_routed_experts": 8, "num_experts_per_tok": 3},
        **{"n_group": 4, "topk_group": 2},
    },
}
ALONE: dict[str, dict] = {
    "bloom": {"n_head": 4},
    "falcon": {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True},
    "opt": {"ffn_dim": 48},
}


def flattened() -> dict[str, np.ndarray]:
    """One row of samples, as both libraries' collators give it."""
    random = np.random.default_rng(3)
    features = [{"input_ids": random.integers(3, 99, n).tolist()} for n in LENGTHS]
    collator = transformers.DataCollatorWithFlattening(return_flash_attn_kwargs=True)
    return collator(features, return_tensors="np")


def pair(family: str, fields: dict, folder):
    config = transformers.AutoConfig.for_model(family, **{**TINY, **fields})
    theirs = original("AutoModelForCausalLM", config, folder)
    return theirs, load_ours("AutoModelForCausalLM", folder)


def as_torch(batch: dict) -> dict:
    return {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in batch.items()}


def as_paddle(batch: dict) -> dict:
    return {k: paddle.to_tensor(v) if isinstance(v, np.ndarray) else v for k, v in batch.items()}


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_loss_and_gradients(family, kernel, tmp_path):
    theirs, ours = pair(family, FAMILIES[family], tmp_path)
    if kernel == "sdpa" and not theirs._supports_sdpa:
        kernel = "eager"
    theirs.set_attn_implementation(kernel)
    batch = flattened()
    shared = {k: batch[k] for k in ("input_ids", "labels", "position_ids")}
    want = theirs(**as_torch(shared), use_cache=False)
    for given in (shared, batch):
        got = ours(**as_paddle(given), use_cache=False)
        close(got.logits, want.logits, "logits")
        close(got.loss.reshape([1]), want.loss.reshape(1), "loss")
    want.loss.backward()
    got.loss.backward()
    grads = [p.grad.astype("float64") for p in ours.parameters() if p.grad is not None]
    norm = paddle.sqrt(sum((g**2).sum() for g in grads))
    want_norm = torch.nn.utils.get_total_norm(
        p.grad for p in theirs.parameters() if p.requires_grad
    )
    close(norm.reshape([1]), want_norm.reshape(1), "gradient norm")


@pytest.mark.parametrize("family", ALONE)
def test_samples_of_families_that_the_original_does_not_pack(family, tmp_path):
    theirs, ours = pair(family, ALONE[family], tmp_path)
    batch = flattened()
    bounds = batch["cu_seq_lens_q"].tolist()
    got = ours(**as_paddle(batch)).logits
    with torch.no_grad():
        ids = torch.tensor(batch["input_ids"])
        want = [theirs(ids[:, a:b]).logits for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    close(got, torch.cat(want, dim=1), "logits")
