"""Equality of a family that reads images with the original library; see `harness`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import torch
import transformers
from harness import B, check_saved, close, load_ours, note, original, run_both

VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 12,
    "patch_size": 4,
    "encoder_stride": 4,
}
FLAGS = {"output_hidden_states": True, "output_attentions": True}


def vision_config(family: str, **overrides: Any) -> Any:
    return transformers.AutoConfig.for_model(family, **{**VISION, **overrides})


def pixels(config: Any, height: int | None = None, width: int | None = None) -> np.ndarray:
    """Return random pixels ``[B, C, height, width]``, of the model's own size by default."""
    own = config.image_size
    own = own if isinstance(own, (list, tuple)) else (own, own)
    shape = (B, config.num_channels, height or own[0], width or own[1])
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def pair(auto: str, config: Any, folder: Path) -> tuple[Any, Any]:
    """Return the original with random weights, and ours loaded from what it saved."""
    theirs = original(auto, config, folder, attn_implementation="eager")
    ours = load_ours(auto, folder)
    assert type(ours).__name__ == type(theirs).__name__
    assert ours.num_parameters() == theirs.num_parameters()
    return theirs, ours


def same_output(got: Any, want: Any) -> float:
    """Compare every field; return the largest difference of the last state or the logits."""
    assert type(got).__name__ == type(want).__name__
    assert list(got.keys()) == list(want.keys())
    worst = 0.0
    for key in got:
        if isinstance(got[key], tuple):
            assert len(got[key]) == len(want[key]), key
            for i, (a, b) in enumerate(zip(got[key], want[key], strict=True)):
                close(a, b, f"{key} {i}")
        elif key == "loss":
            close(got.loss.reshape([1]), want.loss.reshape(1), key)
        else:
            worst = max(worst, close(got[key], want[key], key))
    return worst


def same_gradients(theirs: Any, ours: Any, what: str, **inputs: np.ndarray) -> None:
    """Compare the gradient of field ``what`` with respect to every parameter that has one."""
    losses = []
    for model, make in ((theirs, torch.tensor), (ours, paddle.to_tensor)):
        out = model(**{k: make(v) for k, v in inputs.items()})[what]
        losses.append(out if what == "loss" else (out * out).sum())
        losses[-1].backward()
    want = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    # Names differ where the original's differ from its checkpoints': our map knows both.
    want = {ours.key_map.to_ours(name): grad for name, grad in want.items()}
    got = {n: p.grad for n, p in ours.named_parameters() if p.grad is not None}
    assert got.keys() == want.keys()
    for name, grad in want.items():
        close(got[name], grad, f"gradient of {name}", 1e-4 * max(1.0, float(grad.abs().max())))
    theirs.zero_grad()
    ours.clear_gradients()


def check_vision(family: str, tmp_path: Path, config: Any = None) -> tuple[Any, Any]:
    """The whole comparison of one image encoder's backbone. Returns both models."""
    config = vision_config(family) if config is None else config
    theirs, ours = pair("AutoModel", config, tmp_path / "theirs")
    note(family, load="equal", kind="encoder")
    images = pixels(config)
    got, want = run_both(theirs, ours, pixel_values=images, **FLAGS)
    note(family, logits=same_output(got, want))
    got, want = run_both(theirs, ours, pixel_values=images, return_dict=False)
    assert isinstance(got, tuple) and len(got) == len(want)
    close(got[0], want[0], "last state of the tuple")
    same_gradients(theirs, ours, "pooler_output", pixel_values=images)
    check_saved(ours, tmp_path / "theirs", tmp_path / "ours", "AutoModel")
    note(family, save="equal")
    return theirs, ours


def check_vision_head(
    family: str, auto: str, tmp_path: Path, config: Any = None, **inputs: np.ndarray
) -> tuple[Any, Any]:
    """One head: every output, the loss's gradients, save-back equal. Returns both models."""
    config = vision_config(family) if config is None else config
    theirs, ours = pair(auto, config, tmp_path / auto)
    check_saved(ours, tmp_path / auto, tmp_path / f"ours-{auto}", auto)
    inputs = {"pixel_values": pixels(config), **inputs}
    got, want = run_both(theirs, ours, **inputs, **FLAGS)
    same_output(got, want)
    assert "loss" in got
    same_gradients(theirs, ours, "loss", **inputs)
    note(family, **{auto: "equal"})
    return theirs, ours
