"""Print the table of docs/loading.md: what storage in 8 and 4 bits does to Gemma 3 270M's logits.

    .venv-compat/bin/python benchmarks/quantization_error.py

transformers on torch continues five prompts greedily in float32, with the file's weights unpacked.
Each kind of storage is then given the same tokens, the prompt in one call and one token a call
after it, and its logits are compared; and it continues the prompts itself.
"""

from __future__ import annotations

import numpy as np
import paddle
import torch
import transformers

from hfpaddle.cli.demo import gemma_file
from hfpaddle.transformers import AutoModelForCausalLM, GgufConfig, WeightOnlyConfig

PROMPTS = (
    "The capital of France is",
    "Once upon a time, in a village by the sea,",
    "def fibonacci(n):\n",
    "Water boils at",
    "Der schnelle braune Fuchs",
)
NEW = 40
KINDS = {
    "unpacked to float32": {"dtype": "float32"},
    "blocks kept": {"quantization_config": GgufConfig()},
    "int8, a scale a row": {"bits": 8},
    "int8, groups of 128": {"bits": 8, "group_size": 128},
    "int8, a scale a row, `lm_head=True`": {"bits": 8, "lm_head": True},
    "int4, groups of 128 with zero points": {"bits": 4, "group_size": 128},
    "int4, groups of 32 with zero points": {"bits": 4, "group_size": 32},
    "int4, groups of 32, symmetric": {"bits": 4, "group_size": 32, "symmetric": True},
}


def expected() -> list[tuple[list[list[int]], np.ndarray, np.ndarray]]:
    """Return each prompt's ids, all tokens ``[1, T]`` and the new tokens' logits ``[NEW, V]``."""
    file = gemma_file()
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    rows = []
    for prompt in PROMPTS:
        inputs = tokenizer(prompt, return_tensors="pt")
        tokens = model.generate(**inputs, max_new_tokens=NEW, do_sample=False)
        with torch.no_grad():
            logits = model(tokens).logits[0, inputs["input_ids"].shape[1] - 1 : -1].numpy()
        rows.append((inputs["input_ids"].tolist(), tokens.numpy(), logits))
    return rows


def follow(model, tokens: np.ndarray, count: int) -> np.ndarray:
    """Return the logits after the prompt of ``count`` tokens and after each further one."""
    with paddle.no_grad():
        out = model(paddle.to_tensor(tokens[:, :count]), use_cache=True, logits_to_keep=1)
        rows, cache = [out.logits[0, -1].numpy()], out.past_key_values
        for at in range(count, tokens.shape[1] - 1):
            out = model(paddle.to_tensor(tokens[:, at : at + 1]), past_key_values=cache)
            rows.append(out.logits[0, -1].numpy())
    return np.stack(rows)


def main() -> None:
    rows, file = expected(), gemma_file()
    spread = np.concatenate([logits for _, _, logits in rows]).std()
    print(f"standard deviation of the logits {spread:.1f}")
    print("| | mean error | largest | same top token | greedy continuations equal |")
    print("|---|---|---|---|---|")
    for name, options in KINDS.items():
        if "bits" in options:
            options = {"quantization_config": WeightOnlyConfig(**options)}
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, **options)
        errors, same, parts = [], [], []
        for ids, tokens, logits in rows:
            got = follow(model, tokens, len(ids[0]))
            errors.append(np.abs(got - logits))
            same.append(got.argmax(-1) == logits.argmax(-1))
            out = model.generate(paddle.to_tensor(ids), max_new_tokens=NEW, do_sample=False)
            differ = np.flatnonzero(out.numpy()[0] != tokens[0])
            parts.append(int(differ[0]) - len(ids[0]) if len(differ) else NEW)
        equal = f"{parts.count(NEW)} of {len(parts)}"
        others = ", ".join(str(at) for at in parts if at < NEW)
        equal += f"; others part at {others}" if others else ""
        print(
            f"| {name} | {np.mean(errors):.2g} | {np.max(errors):.2g} | {np.mean(same):.1%} | "
            f"{equal} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
