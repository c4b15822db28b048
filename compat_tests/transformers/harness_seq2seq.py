"""Equality of an encoder-decoder family with the original library; see harness.py.

The source is padded on the right in the first row, so attention to it is masked; the decoder's
labels end with positions that do not count.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import torch
from harness import (
    PAD,
    B,
    S,
    batch,
    check_saved,
    close,
    load_ours,
    note,
    original,
    run_both,
)

from hfpaddle.core import rng

TARGET = 7
FLAGS = {"output_hidden_states": True, "output_attentions": True}


def targets(vocab: int) -> np.ndarray:
    """Return labels ``[B, TARGET]``; the last two of the second row do not count."""
    labels = np.random.default_rng(1).integers(3, vocab, (B, TARGET))
    labels[1, -2:] = -100
    return labels


def same(got: Any, want: Any, rows: np.ndarray | None, what: str, atol: float = 1e-4) -> float:
    """Compare tensors whose first axes are those of ``rows``, where ``rows`` is true."""
    if rows is None:
        return close(got, want, what, atol)
    rows = np.broadcast_to(rows, got.shape[: rows.ndim]).copy()
    return close(paddle.to_tensor(got.numpy()[rows]), want[torch.tensor(rows)], what, atol)


def compare(got: Any, want: Any, real: np.ndarray) -> float:
    """Compare every field of two results. ``real`` marks the source's tokens."""
    assert list(got.keys()) == list(want.keys())
    worst = 0.0
    for key in got:
        if key == "past_key_values":
            assert got[key].get_seq_length() == want[key].get_seq_length()
        elif isinstance(got[key], tuple):
            assert len(got[key]) == len(want[key]), key
            for i, (a, b) in enumerate(zip(got[key], want[key], strict=True)):
                rows = None
                if key.startswith("encoder"):
                    rows = real[:, None, :] if key.endswith("attentions") else real
                tolerance = 5e-4 if key.endswith("hidden_states") else 1e-4
                same(a, b, rows, f"{key} {i}", tolerance)
        elif got[key].ndim == 0:
            close(got[key].reshape([1]), want[key].reshape(1), key)
        else:
            difference = same(got[key], want[key], real if key.startswith("encoder") else None, key)
            worst = difference if key == "logits" else worst
    return worst


def check_seq2seq_forward(theirs: Any, ours: Any, vocab: int) -> float:
    """Logits, loss, states and attentions of both sides, with labels and with decoder inputs."""
    theirs.set_attn_implementation("eager")
    labels = targets(vocab)
    for left_padded in (True, False):
        ids, mask = batch(vocab, left_padded)
        source = {"input_ids": ids, "attention_mask": mask}
        got, want = run_both(theirs, ours, **source, labels=labels, **FLAGS)
        worst = compare(got, want, mask > 0)
    decoder_ids = np.where(labels < 0, 5, labels)
    own_mask = np.ones_like(labels)
    own_mask[0, :2] = 0
    decoder = {"decoder_input_ids": decoder_ids, "decoder_attention_mask": own_mask}
    got, want = run_both(theirs, ours, **source, **decoder)
    same(got.logits, want.logits, own_mask > 0, "logits with a decoder mask")
    got, want = run_both(theirs, ours, **source, **decoder, return_dict=False)
    assert isinstance(got, tuple) and len(got) == len(want)
    same(got[0], want[0], own_mask > 0, "logits in a tuple")
    encoded = ours.get_encoder()(*(paddle.to_tensor(x) for x in (ids, mask)))
    again = ours(
        encoder_outputs=(encoded.last_hidden_state,),
        attention_mask=paddle.to_tensor(mask),
        **{k: paddle.to_tensor(v) for k, v in decoder.items()},
    )
    same(again.logits, want[0], own_mask > 0, "logits from encoder_outputs")
    return worst


def check_seq2seq_cache(ours: Any, vocab: int) -> None:
    """Token by token through the cache equals all at once; the source's side is filled once."""
    ids, mask = (paddle.to_tensor(x) for x in batch(vocab, left_padded=False))
    decoder_ids = paddle.to_tensor(np.abs(targets(vocab)) % vocab)
    with paddle.no_grad():
        source = {"input_ids": ids, "attention_mask": mask}
        whole = ours(**source, decoder_input_ids=decoder_ids, use_cache=False)
        assert whole.past_key_values is None
        first = ours(**source, decoder_input_ids=decoder_ids[:, :3], use_cache=True)
        cache = first.past_key_values
        assert all(cache.is_updated.values()) and cache.get_seq_length() == 3
        encoded = (paddle.full_like(first.encoder_last_hidden_state, float("nan")),)
        rest = ours(
            encoder_outputs=encoded,
            attention_mask=mask,
            decoder_input_ids=decoder_ids[:, 3:],
            past_key_values=cache,
        )
    joined = paddle.concat([first.logits, rest.logits], axis=1)
    close(joined, torch.tensor(whole.logits.numpy()), "logits through the cache")


def gradients(ours: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return each parameter's gradient of the loss."""
    ours(**{k: paddle.to_tensor(v) for k, v in inputs.items()}).loss.backward()
    found = {n: p.grad.numpy() for n, p in ours.named_parameters() if p.grad is not None}
    ours.clear_gradients()
    return found


def check_seq2seq_gradients(theirs: Any, ours: Any, vocab: int) -> None:
    """The loss's gradient of every parameter; recomputation does not change it."""
    ids, mask = batch(vocab, left_padded=False)
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": targets(vocab)}
    theirs.zero_grad()
    theirs(**{k: torch.tensor(v) for k, v in inputs.items()}).loss.backward()
    got = gradients(ours, inputs)
    want = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    assert got.keys() == want.keys()
    for name, gradient in want.items():
        close(paddle.to_tensor(got[name]), gradient, f"gradient of {name}", 5e-4)
    ours.train()
    for layer in ours.sublayers():
        layer.p = layer.layerdrop = 0.0
        if isinstance(getattr(layer, "dropout", None), float):
            layer.dropout = 0.0
    ours.gradient_checkpointing_enable()
    for name, gradient in gradients(ours, inputs).items():
        np.testing.assert_allclose(gradient, got[name], atol=1e-5, err_msg=name)
    ours.gradient_checkpointing_disable()
    ours.eval()


def check_seq2seq_generate(family: str, theirs: Any, ours: Any, vocab: int) -> None:
    """Greedy, beam and seeded sampled tokens are equal, with both kinds of cache."""
    theirs.set_attn_implementation("sdpa")
    ids, mask = batch(vocab, left_padded=False)
    modes = {
        "greedy": {"do_sample": False},
        "beam": {"do_sample": False, "num_beams": 3},
        "sampled": {"do_sample": True, "temperature": 0.8, "top_k": 20, "top_p": 0.9},
        "static": {"do_sample": False, "cache_implementation": "static"},
        "uncached": {"do_sample": False, "use_cache": False},
        "prompted": {"do_sample": False, "decoder_input_ids": np.array([[7, 8], [9, 4]])},
    }
    for mode, kwargs in modes.items():
        torch.manual_seed(7), rng.manual_seed(7)
        results = []
        for model, make in ((theirs, torch.tensor), (ours, paddle.to_tensor)):
            given = {k: make(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
            with torch.no_grad():
                made = model.generate(
                    make(ids), attention_mask=make(mask), max_new_tokens=12, **given
                )
            results.append(made.tolist())
        assert results[0] == results[1], f"{mode}: {results}"
        if mode in ("greedy", "beam", "sampled"):
            note(family, **{mode: "equal"})
    note(family, padded="equal")


def check_seq2seq(family: str, tmp_path: Path, config: Any) -> tuple[Any, Any]:
    """The whole comparison of one encoder-decoder family. Returns both models."""
    auto, vocab, folder = "AutoModelForSeq2SeqLM", config.vocab_size, tmp_path / "theirs"
    theirs = original(auto, config, folder)
    for name, buffer in theirs.named_buffers():
        if name == "final_logits_bias":
            buffer.copy_(torch.randn(buffer.shape, generator=torch.Generator().manual_seed(1)))
            theirs.save_pretrained(folder)
    ours = load_ours(auto, folder)
    assert type(ours).__name__ == type(theirs).__name__
    assert ours.num_parameters() == theirs.num_parameters()
    note(family, load="equal", kind="encoder-decoder", AutoModelForSeq2SeqLM="equal")
    note(family, logits=check_seq2seq_forward(theirs, ours, vocab))
    check_seq2seq_cache(ours, vocab)
    check_seq2seq_gradients(theirs, ours, vocab)
    check_saved(ours, folder, tmp_path / "ours", auto)
    note(family, save="equal")
    check_seq2seq_generate(family, theirs, ours, vocab)
    return theirs, ours


def check_seq2seq_head(family: str, auto: str, tmp_path: Path, config: Any) -> None:
    """One head over both sides: every field and the loss, save-back equal."""
    config.num_labels = 2 if auto.endswith("QuestionAnswering") else 3
    theirs = original(auto, config, tmp_path / auto)
    ours = load_ours(auto, tmp_path / auto)
    assert type(ours).__name__ == type(theirs).__name__
    check_saved(ours, tmp_path / auto, tmp_path / f"ours-{auto}", auto)
    ids, mask = batch(config.vocab_size, left_padded=False)
    # Classifiers read the state of each row's end token.
    ids[0, S - PAD - 1] = ids[1, S - 1] = config.eos_token_id
    inputs: dict[str, np.ndarray] = {"input_ids": ids, "attention_mask": mask}
    if auto.endswith("SequenceClassification"):
        inputs["labels"] = np.array([2, 1])
    elif auto.endswith("QuestionAnswering"):
        inputs |= {"start_positions": np.array([1, 5]), "end_positions": np.array([3, 99])}
    elif auto == "AutoModel":
        inputs["decoder_input_ids"] = np.abs(targets(config.vocab_size)) % config.vocab_size
    theirs.set_attn_implementation("eager")
    got, want = run_both(theirs, ours, **inputs, **FLAGS)
    compare(got, want, mask > 0)
    note(family, **{auto: "equal"})
