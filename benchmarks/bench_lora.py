"""Fine-tuning with LoRA and in full on samples of skewed lengths: real tokens a second.

As bench_packing.py, with SmolLM-135M's shape: four processes take turns step by step, hfpaddle and
transformers on torch, padded and packed. LoRA is of rank 8 on every linear layer, by hfpaddle.peft
and by peft; both draw the same adapter, so the losses of the four are compared at every step. Full
fine-tuning follows, in processes of its own, since eight would not fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench_packing import compare
from common import Result

CONFIG = {
    **{"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30},
    **{"num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152},
    **{"tie_word_embeddings": True, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
MODEL = "llama 576x1536 L30 V49152"
BATCH, ROUNDS = 4, 2  # samples a step; measured steps for each unit of --repeat


def measure(repeat: int) -> Iterator[Result]:
    for method in ("lora", "full"):
        yield from compare(CONFIG, MODEL, ROUNDS * repeat, BATCH, method)
