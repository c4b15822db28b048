"""The same tiny model in both libraries, with the same adapter: what every comparison needs.

A family is one tiny random checkpoint of the original's making, which both libraries load.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import peft
import torch
import transformers
from harness import TINY, load_ours, original
from safetensors.numpy import load_file

import hfpaddle.peft as ours_peft
from hfpaddle.core import rng

SEED = 7
B, S = 3, 9
TOLERANCE = 1e-5


def family(name: str) -> tuple[str, Any, str]:
    """(auto class, config, task type) of a tiny model."""
    t5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "vocab_size": 99}
    t5 |= {"dropout_rate": 0.0, "decoder_start_token_id": 0, "pad_token_id": 0}
    gpt2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99, "n_positions": 64}
    gpt2 |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    bert = {**TINY, **quiet, "num_labels": 3}
    return {
        "llama": ("AutoModelForCausalLM", transformers.LlamaConfig(**TINY), "CAUSAL_LM"),
        "gpt2": ("AutoModelForCausalLM", transformers.GPT2Config(**gpt2), "CAUSAL_LM"),
        "bert": (
            "AutoModelForSequenceClassification", transformers.BertConfig(**bert), "SEQ_CLS",
        ),
        "t5": ("AutoModelForSeq2SeqLM", transformers.T5Config(**t5), "SEQ_2_SEQ_LM"),
    }[name]  # fmt: skip


def inputs(name: str) -> dict[str, np.ndarray]:
    """A batch with right padding and labels."""
    draw = np.random.default_rng(0)
    ids = draw.integers(3, 99, (B, S))
    mask = np.ones((B, S), dtype=np.int64)
    ids[1, -3:], mask[1, -3:] = 0, 0
    labels = np.where(mask > 0, ids, -100)
    if name == "bert":
        labels = draw.integers(0, 3, (B,))
    if name == "t5":
        labels = draw.integers(3, 99, (B, 5))
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


@dataclass
class Pair:
    """A model in both libraries."""

    name: str
    folder: Path
    theirs: Any
    ours: Any

    def outputs(self) -> tuple[Any, Any]:
        """Run both on the same batch."""
        batch = inputs(self.name)
        with torch.no_grad():
            theirs = self.theirs(**{k: torch.from_numpy(v) for k, v in batch.items()})
        ours = self.ours(**{k: paddle.to_tensor(v) for k, v in batch.items()})
        return ours, theirs

    def check_forward(self, tolerance: float = TOLERANCE) -> None:
        ours, theirs = self.outputs()
        near(ours.logits, theirs.logits, "logits", tolerance)
        near(ours.loss, theirs.loss, "loss", tolerance)

    def gradients(self) -> None:
        """One backward pass in each: the same parameters are trained, with the same gradients."""
        batch = inputs(self.name)
        self.theirs.zero_grad()
        self.theirs(**{k: torch.from_numpy(v) for k, v in batch.items()}).loss.backward()
        self.ours(**{k: paddle.to_tensor(v) for k, v in batch.items()}).loss.backward()
        theirs = {n: p.grad for n, p in self.theirs.named_parameters() if p.requires_grad}
        ours = {n: p.grad for n, p in self.ours.named_parameters() if not p.stop_gradient}
        assert ours.keys() == theirs.keys()
        used = {n for n, grad in theirs.items() if grad is not None}
        assert used
        for n in used:
            assert ours[n] is not None, n
            near(ours[n], theirs[n], f"gradient of {n}")


def near(ours: Any, theirs: Any, what: str, tolerance: float = TOLERANCE) -> None:
    ours = ours.detach().astype("float32").numpy()
    theirs = theirs.detach().float().numpy()
    assert list(ours.shape) == list(theirs.shape), f"{what}: {ours.shape} != {theirs.shape}"
    worst = np.abs(ours - theirs) - tolerance * np.abs(theirs)
    assert worst.size == 0 or worst.max() <= tolerance, f"{what} differs by {worst.max():.2e}"


def base_pair(name: str, folder: Path) -> Pair:
    """Both base models, from the same folder."""
    auto, config, _ = family(name)
    original(auto, config, folder)
    theirs = getattr(transformers, auto).from_pretrained(folder)
    return Pair(name, folder, theirs, load_ours(auto, folder))


def adapter_pair(
    name: str, folder: Path, config: str = "LoraConfig", randomised: bool = True, **kwargs: Any
) -> Pair:
    """Both models with an adapter from the same seed; then with visible values in it."""
    pair = base_pair(name, folder)
    kwargs.setdefault("task_type", family(name)[2])
    torch.manual_seed(SEED)
    pair.theirs = peft.get_peft_model(pair.theirs, getattr(peft, config)(**kwargs))
    rng.manual_seed(SEED)
    pair.ours = ours_peft.get_peft_model(pair.ours, getattr(ours_peft, config)(**kwargs))
    if randomised:
        randomise(pair)
    return pair


def named(model: Any) -> dict[str, Any]:
    return dict(model.named_parameters())


def randomise(pair: Pair, adapter: str = "default", seed: int = 0) -> None:
    """Give every parameter of an adapter the same small random value in both."""
    theirs, ours = named(pair.theirs), named(pair.ours)
    draw = np.random.default_rng(seed)
    for key in sorted(theirs):
        if ".ranknum." in key:
            continue  # AdaLoRA's count of ranks, which is no part of a file
        if f".{adapter}." in key or key.endswith(f".{adapter}"):
            noise = draw.normal(0, 0.2, tuple(theirs[key].shape)).astype("float32")
            with torch.no_grad():
                theirs[key].add_(torch.from_numpy(noise))
            ours[key].set_value(paddle.to_tensor(theirs[key].detach().numpy()))


def check_initial(pair: Pair) -> None:
    """The same names, and after the same seed the same values, trained and frozen alike."""
    theirs, ours = named(pair.theirs), named(pair.ours)
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        near(ours[key], value, key, 1e-6)
        assert ours[key].stop_gradient is not value.requires_grad, key
    assert pair.ours.get_nb_trainable_parameters() == pair.theirs.get_nb_trainable_parameters()


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(config, tensors) of an adapter's folder; what differs by design is taken out."""
    config = json.loads((folder / "adapter_config.json").read_text())
    for key, value in config.items():
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            config[key] = sorted(value)  # sets have no order
    return config, load_file(folder / "adapter_model.safetensors")


def check_folders(pair: Pair, tmp_path: Path) -> tuple[Path, Path]:
    """Save both: the same config, the same names, the same tensors."""
    pair.ours.save_pretrained(tmp_path / "ours")
    pair.theirs.save_pretrained(tmp_path / "theirs")
    our_config, our_tensors = read_folder(tmp_path / "ours")
    their_config, their_tensors = read_folder(tmp_path / "theirs")
    assert our_config == their_config
    assert our_tensors.keys() == their_tensors.keys()
    for key, value in their_tensors.items():
        np.testing.assert_allclose(our_tensors[key], value, atol=1e-6, err_msg=key)
    return tmp_path / "ours", tmp_path / "theirs"


def check_exchange(pair: Pair, tmp_path: Path, trainable: bool = False) -> None:
    """Each library loads what the other wrote, and both answer alike."""
    written, other = check_folders(pair, tmp_path)
    fresh = base_pair(pair.name, tmp_path / "again")
    load = {"is_trainable": trainable}
    fresh.theirs = peft.PeftModel.from_pretrained(fresh.theirs, str(written), **load).eval()
    fresh.ours = ours_peft.PeftModel.from_pretrained(fresh.ours, str(other), **load)
    fresh.ours.eval()
    assert type(fresh.ours).__name__ == type(fresh.theirs).__name__
    fresh.check_forward()
    pair.ours.eval(), pair.theirs.eval()
    near(fresh.outputs()[0].logits, pair.outputs()[1].logits, "logits after loading")
