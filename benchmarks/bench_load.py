"""Loading a 1 GB safetensors Llama: seconds until every weight is readable, and peak memory.

Goals: no slower than transformers on torch; peak resident memory, above that after the imports, at
most 1.15 times the file. The file holds random weights and is warm in the page cache; our processes
and theirs alternate. Every page of every parameter is read, so a lazy load gains nothing.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
from common import OURS, THEIRS, Result, child

RATIO, MEMORY_RATIO = 1.0, 1.15
HIDDEN, INTERMEDIATE, VOCABULARY = 1024, 2816, 32000
LAYERS = {"F32": 16, "BF16": 37}  # each about 1.08 GB
NAMES = {"F32": "float32", "BF16": "bfloat16"}

CODE = """
import ctypes, json, sys, time
import numpy as np
library, folder = sys.argv[1:]
if library == "ours":
    from hfpaddle.transformers import AutoModelForCausalLM, LlamaForCausalLM
else:
    from transformers import AutoModelForCausalLM, LlamaForCausalLM
reset_peak()
before, begin = resident(), time.perf_counter()
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
loaded, read = time.perf_counter() - begin, 0
for parameter in model.parameters():
    size = parameter.nbytes if library == "theirs" else parameter.size * parameter.element_size()
    address = (ctypes.c_uint8 * int(size)).from_address(parameter.data_ptr())
    read += int(np.ctypeslib.as_array(address)[::4096].sum()) >= 0 and int(size)
ready = time.perf_counter() - begin
result = {"loaded": loaded, "ready": ready, "peak": peak() - before, "bytes": read}
result["dtypes"] = sorted({str(p.dtype).split(".")[-1] for p in model.parameters()})
print(json.dumps(result))
"""


def shapes(layers: int) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {
        "lm_head.weight": (VOCABULARY, HIDDEN),
        "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    for i in range(layers):
        layer = f"model.layers.{i}."
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            found[f"{layer}self_attn.{name}.weight"] = (HIDDEN, HIDDEN)
        found[f"{layer}mlp.gate_proj.weight"] = (INTERMEDIATE, HIDDEN)
        found[f"{layer}mlp.up_proj.weight"] = (INTERMEDIATE, HIDDEN)
        found[f"{layer}mlp.down_proj.weight"] = (HIDDEN, INTERMEDIATE)
        found[f"{layer}input_layernorm.weight"] = (HIDDEN,)
        found[f"{layer}post_attention_layernorm.weight"] = (HIDDEN,)
    return found


def write_checkpoint(folder: Path, dtype: str) -> int:
    """Write a Llama of random weights stored as ``dtype``; return the size of its weights."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": NAMES[dtype],
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "vocab_size": VOCABULARY,
        "num_hidden_layers": LAYERS[dtype],
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config))
    entries, offset = {}, 0
    size = 4 if dtype == "F32" else 2
    for name, shape in shapes(LAYERS[dtype]).items():
        end = offset + int(np.prod(shape)) * size
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    header = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    header += b" " * (-len(header) % 8)
    random = np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for shape in shapes(LAYERS[dtype]).values():
            values = random.standard_normal(int(np.prod(shape)), dtype=np.float32) * 0.02
            # A bfloat16 is the upper half of a float32.
            file.write(values.tobytes() if size == 4 else values.view(np.uint16)[1::2].tobytes())
    return offset


def measure(repeat: int) -> Iterator[Result]:
    for dtype in LAYERS:
        with tempfile.TemporaryDirectory() as scratch:
            size = write_checkpoint(Path(scratch), dtype)
            sides = {"ours": OURS, "theirs": THEIRS}
            for side, python in sides.items():  # once unmeasured, to warm caches
                child(python, CODE, side, scratch)
            runs: dict[str, list[dict]] = {side: [] for side in sides}
            for _ in range(repeat):
                for side, python in sides.items():
                    runs[side].append(child(python, CODE, side, scratch))
        for run in runs["ours"] + runs["theirs"]:
            assert run["bytes"] == size, f"{run['bytes']} bytes of parameters in a file of {size}"
        yield from results(dtype, size, runs)


def results(dtype: str, size: int, runs: dict[str, list[dict]]) -> Iterator[Result]:
    label = f"{size / 1e9:.2f} GB {NAMES[dtype]}"
    ours, theirs = ([run["ready"] for run in runs[side]] for side in ("ours", "theirs"))
    good = median(ours) <= RATIO * median(theirs)
    yield Result(f"load {label}: ready", "s", ours, theirs, f"ratio <= {RATIO}", good)
    ours, theirs = ([run["peak"] for run in runs[side]] for side in ("ours", "theirs"))
    limit = MEMORY_RATIO * size / 2**20
    good = max(ours) <= limit
    yield Result(f"load {label}: peak", "MB", ours, theirs, f"<= {limit:.0f} MB", good)
