"""Run by test_models.py beside the null device: ``models.py MODEL_TYPE DEFAULT_DEVICE FOLDER``.

Makes a tiny random checkpoint in FOLDER, computes with it on the CPU, then loads it on the null
device and asks for the same numbers, tokens and files; whatever the model gives must live there.
DEFAULT_DEVICE is Paddle's current device meanwhile: a model must follow its weights, not it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import transformers

import hfpaddle.transformers as ours

DEVICE = "nulldev:0"
DECODER = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
GATED = {**DECODER, "intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}

# model_type -> (auto class, sizes of the tiny model)
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("AutoModelForCausalLM", GATED),
    "qwen3": ("AutoModelForCausalLM", GATED),
    "gemma3_text": (
        "AutoModelForCausalLM",
        {
            **GATED,
            "sliding_window": 4,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 8,
        },
    ),
    "gpt2": (
        "AutoModelForCausalLM",
        {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    ),
    "mixtral": (
        "AutoModelForCausalLM",
        {**GATED, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "bert": ("AutoModelForMaskedLM", {**DECODER, "intermediate_size": 48}),
    "t5": (
        "AutoModelForSeq2SeqLM",
        {
            "vocab_size": 97,
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 48,
            "num_layers": 2,
            "num_heads": 4,
            "decoder_start_token_id": 0,
        },
    ),
}


def tensors(value: Any, path: str = "output") -> Iterator[tuple[str, paddle.Tensor]]:
    """Yield every tensor inside outputs, caches and containers, with the way to it."""
    if isinstance(value, paddle.Tensor):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from tensors(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from tensors(item, f"{path}[{i}]")
    elif type(value).__module__.startswith("hfpaddle."):
        for key, item in vars(value).items():
            yield from tensors(item, f"{path}.{key}")


def all_on_device(what: str, value: Any, at_least: int = 1) -> None:
    found = dict(tensors(value, what))
    assert len(found) >= at_least, f"{what}: {len(found)} tensors, expected {at_least}"
    strays = {path: str(t.place) for path, t in found.items() if not t.place.is_custom_place()}
    assert not strays, f"not on the device: {strays}"


def inputs(auto_class: str, device: str) -> dict[str, paddle.Tensor]:
    """Return a left-padded batch of two rows (right-padded for encoders)."""
    ids_BS = np.random.default_rng(3).integers(3, 97, (2, 7))
    mask_BS = np.ones((2, 7), dtype="int64")
    padded = slice(0, 2) if auto_class == "AutoModelForCausalLM" else slice(5, 7)
    ids_BS[1, padded], mask_BS[1, padded] = 0, 0
    batch = {"input_ids": ids_BS, "attention_mask": mask_BS}
    return {name: paddle.to_tensor(array).to(device) for name, array in batch.items()}


def score(model: Any, auto_class: str, device: str) -> Any:
    """Run the model with labels, so that a loss and, where there is one, a cache come with it."""
    batch = inputs(auto_class, device)
    return model(**batch, labels=batch["input_ids"], output_hidden_states=True)


def close(what: str, got: paddle.Tensor, expected: np.ndarray, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=atol, err_msg=what)


def check_packed(original: Any, model: Any) -> None:
    """Samples behind one another in a row, told apart by positions or by bounds."""
    ids, bounds = inputs("", "cpu")["input_ids"].reshape([1, -1]), [0, 4, 9, 14]
    positions = np.concatenate([np.arange(n) for n in np.diff(bounds)])[None]
    marks = {"position_ids": positions}, {"cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds}
    for mark in marks:
        mark = {name: paddle.to_tensor(values, dtype="int64") for name, values in mark.items()}
        expected = original(ids, **mark)
        result = model(ids.to(DEVICE), **{name: t.to(DEVICE) for name, t in mark.items()})
        all_on_device("packed", result)
        close("packed logits", result.logits, expected.logits.numpy())


def check(model_type: str, default: str, folder: Path) -> None:
    auto_class, sizes = FAMILIES[model_type]
    auto = getattr(ours, auto_class)
    paddle.set_device("cpu")
    paddle.seed(5)
    config = transformers.AutoConfig.for_model(model_type, **{**SPECIAL, **sizes})
    original = auto.from_config(config).eval()
    original.save_pretrained(folder / "cpu")
    reference = score(original, auto_class, "cpu")
    assert reference.logits.place.is_cpu_place()
    reference.loss.backward()

    paddle.set_device(default)
    model = auto.from_pretrained(folder / "cpu", device_map=DEVICE)
    assert str(model.device) == DEVICE and not model.training
    all_on_device("parameters", dict(model.named_parameters()), at_least=8)
    all_on_device("buffers", dict(model.named_buffers()), at_least=0)

    result = score(model, auto_class, DEVICE)
    all_on_device("result", result, at_least=5)
    close("logits", result.logits, reference.logits.numpy())
    close("loss", result.loss, reference.loss.numpy())
    result.loss.backward()
    expected = {name: p.grad for name, p in original.named_parameters()}
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (expected[name] is None), name
        if parameter.grad is not None:
            all_on_device(f"gradient of {name}", parameter.grad)
            close(f"gradient of {name}", parameter.grad, expected[name].numpy())

    if auto_class != "AutoModelForMaskedLM":
        generate(original, model, auto_class)
    if auto_class == "AutoModelForCausalLM":
        check_packed(original, model)
    model.save_pretrained(folder / "device")
    name = "model.safetensors"
    assert (folder / "cpu" / name).read_bytes() == (folder / "device" / name).read_bytes()
    assert paddle.get_device() == default, "the model changed Paddle's current device"


def generate(original: Any, model: Any, auto_class: str) -> None:
    """Greedy with a cache, then beams and a seeded sample: the CPU's tokens, all on the device."""
    ways: dict[str, dict[str, Any]] = {
        "greedy": {"do_sample": False},
        "beams": {"do_sample": False, "num_beams": 2},
        "sample": {"do_sample": True, "top_k": 20, "top_p": 0.9},
    }
    for way, options in ways.items():
        results = []
        for owner, device in ((original, "cpu"), (model, DEVICE)):
            ours.set_seed(11)
            options = {"max_new_tokens": 6, "return_dict_in_generate": True, **options}
            results.append(
                owner.generate(**inputs(auto_class, device), **options, output_scores=True)
            )
        expected, got = results
        all_on_device(way, got.sequences)
        all_on_device(f"{way} cache", got.past_key_values, at_least=4)
        all_on_device(f"{way} scores", got.scores)
        assert got.sequences.tolist() == expected.sequences.tolist(), way


if __name__ == "__main__":
    check(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
