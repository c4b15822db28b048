"""Equality of a model family with the original library, on a tiny random checkpoint of its making.

Each check also notes what it established in ``reports/support/<family>.jsonl``, from which the
support table of the README is made: a family is listed there only if these tests ran.
"""

from __future__ import annotations

import json
import os
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import torch
import transformers
from safetensors.torch import load_file

import hfpaddle.modeling.auto as ours_auto
from hfpaddle.core import rng

REPORTS = Path(
    os.environ.get("HFPADDLE_REPORTS", Path(__file__).parents[2] / "reports" / "support")
)
TINY: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
TOLERANCE = 1e-4
B, S, PAD = 2, 11, 4


def note(family: str, **facts: Any) -> None:
    """Add facts to the family's support record, a line each: workers may write at once."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    with open(REPORTS / f"{family}.jsonl", "a") as record:
        record.write(json.dumps(facts) + "\n")


def randomise(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give every parameter a visible random value, norms and routers' corrections too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, param in sorted(model.named_parameters()):
            noise = torch.randn(param.shape, generator=generator)
            if param.ndim < 2:
                centre = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
                param.copy_(centre + 0.1 * noise)
            else:
                param.copy_(noise * param.shape[-1] ** -0.5)
        for name, buffer in sorted(model.named_buffers()):
            if name.endswith("e_score_correction_bias"):
                buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
    return model.eval()


def original(auto: str, config: Any, folder: Path, **kwargs: Any) -> torch.nn.Module:
    """Build the original's model for ``config`` with random weights and save it to ``folder``."""
    torch.manual_seed(0)
    model = randomise(getattr(transformers, auto).from_config(config, **kwargs))
    model.save_pretrained(folder)
    return model


def batch(vocab: int = 99, left_padded: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return ids ``[B, S]`` and a mask whose first row begins with PAD padding tokens."""
    ids = np.random.default_rng(0).integers(3, vocab, (B, S))
    mask = np.ones((B, S), dtype=np.int64)
    if left_padded:
        mask[0, :PAD], ids[0, :PAD] = 0, 0
    else:
        mask[0, -PAD:], ids[0, -PAD:] = 0, 0
    return ids, mask


def shifted_labels(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Labels that leave out padding, and the first real token: what predicts it is padding, whose
    state differs between the original's own attention kernels."""
    labels = np.where(mask > 0, ids, -100)
    labels[0, : PAD + 1] = -100
    return labels


def close(actual: Any, expected: torch.Tensor, what: str, atol: float = TOLERANCE) -> float:
    """Assert equality within ``atol`` plus the same relative part; return what differs most."""
    actual, expected = actual.detach().numpy(), expected.detach().float().numpy()
    assert actual.shape == expected.shape, f"{what}: {actual.shape} != {expected.shape}"
    difference = np.abs(actual - expected)
    worst = float((difference - atol * np.abs(expected)).max())
    assert worst <= atol, f"{what} differs by {difference.max():.2e}"
    return float(difference.max())


def load_ours(auto: str, folder: Path, **kwargs: Any) -> Any:
    """Load with ours; every tensor must be accounted for."""
    model, info = getattr(ours_auto, auto).from_pretrained(
        folder, output_loading_info=True, **kwargs
    )
    assert not any(info.values()), info
    return model


def check_saved(ours: Any, folder: Path, saved: Path, auto: str) -> None:
    """Save back: same keys and bytes as the original wrote, and the original loads them."""
    ours.save_pretrained(saved)
    before, after = load_file(folder / "model.safetensors"), load_file(saved / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert tensor.dtype == after[name].dtype and torch.equal(tensor, after[name]), name
    reloaded, info = getattr(transformers, auto).from_pretrained(saved, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    again = transformers.AutoConfig.from_pretrained(saved).to_dict()
    first = transformers.AutoConfig.from_pretrained(folder).to_dict()
    assert {**again, "_name_or_path": ""} == {**first, "_name_or_path": ""}


def run_both(theirs: Any, ours: Any, **inputs: np.ndarray) -> tuple[Any, Any]:
    """Call both models with the same arrays; strings, numbers and flags pass as they are."""

    def convert(make):
        return {k: make(v) if isinstance(v, np.ndarray) else v for k, v in inputs.items()}

    with torch.no_grad():
        expected = theirs(**convert(torch.tensor))
    return ours(**convert(paddle.to_tensor)), expected


def check_forward(theirs: Any, ours: Any, vocab: int) -> float:
    """Logits, loss, hidden states and attentions of a left-padded batch."""
    ids, mask = batch(vocab)
    labels = shifted_labels(ids, mask)
    theirs.set_attn_implementation("eager")
    flags = {"output_hidden_states": True, "output_attentions": True}
    got, want = run_both(theirs, ours, input_ids=ids, attention_mask=mask, labels=labels, **flags)
    real = mask > 0
    worst = 0.0
    picked = paddle.to_tensor(got.logits.numpy()[real])
    worst = close(picked, want.logits[torch.tensor(real)], "logits")
    close(got.loss.reshape([1]), want.loss.reshape(1), "loss")
    assert len(got.hidden_states) == len(want.hidden_states)
    for i, (a, b) in enumerate(zip(got.hidden_states, want.hidden_states, strict=True)):
        close(paddle.to_tensor(a.numpy()[real]), b[torch.tensor(real)], f"hidden state {i}", 5e-4)
    assert len(got.attentions) == len(want.attentions)
    for i, (a, b) in enumerate(zip(got.attentions, want.attentions, strict=True)):
        rows = np.broadcast_to(real[:, None, :], a.shape[:3])
        close(paddle.to_tensor(a.numpy()[rows]), b[torch.tensor(rows.copy())], f"attention {i}")
    got, want = run_both(theirs, ours, input_ids=ids[1:], return_dict=False)
    assert isinstance(got, tuple)
    close(got[0], want[0], "logits without mask")
    return worst


def check_cache(ours: Any, vocab: int) -> None:
    """Token by token through the cache equals all at once."""
    ids, _ = batch(vocab)
    ids = paddle.to_tensor(ids[1:])
    with paddle.no_grad():
        whole = ours(input_ids=ids).logits
        first = ours(input_ids=ids[:, :4], use_cache=True)
        rest = ours(input_ids=ids[:, 4:], past_key_values=first.past_key_values)
    joined = paddle.concat([first.logits, rest.logits], axis=1)
    close(joined, torch.tensor(whole.numpy()), "logits through the cache")


def check_gradients(theirs: Any, ours: Any, vocab: int) -> None:
    """The loss's gradient with respect to every parameter."""
    ids, mask = batch(vocab)
    labels = shifted_labels(ids, mask)
    theirs.zero_grad()
    theirs(
        input_ids=torch.tensor(ids),
        attention_mask=torch.tensor(mask),
        labels=torch.tensor(labels),
    ).loss.backward()
    args = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    ours(**{k: paddle.to_tensor(v) for k, v in args.items()}).loss.backward()
    norm = torch.sqrt(
        sum((p.grad.double() ** 2).sum() for p in theirs.parameters() if p.grad is not None)
    )
    mine = sum(
        (p.grad.astype("float64") ** 2).sum() for p in ours.parameters() if p.grad is not None
    )
    close(paddle.sqrt(mine).reshape([1]), norm.reshape(1), "gradient norm", 1e-3)
    ours.clear_gradients()


def generate_both(theirs: Any, ours: Any, vocab: int, **kwargs: Any) -> tuple[list, list]:
    """Left-padded generation by both, from the same seed."""
    ids, mask = batch(vocab)
    torch.manual_seed(7)
    with torch.no_grad():
        want = theirs.generate(torch.tensor(ids), attention_mask=torch.tensor(mask), **kwargs)
    rng.manual_seed(7)
    got = ours.generate(paddle.to_tensor(ids), attention_mask=paddle.to_tensor(mask), **kwargs)
    return got.tolist(), want.tolist()


def check_generate(family: str, theirs: Any, ours: Any, vocab: int) -> None:
    """Greedy, beam and seeded sampled tokens are equal."""
    theirs.set_attn_implementation("sdpa" if theirs._supports_sdpa else "eager")
    modes = {
        "greedy": {"do_sample": False},
        "beam": {"do_sample": False, "num_beams": 3},
        "sampled": {"do_sample": True, "temperature": 0.8, "top_k": 20, "top_p": 0.9},
    }
    for mode, kwargs in modes.items():
        got, want = generate_both(theirs, ours, vocab, max_new_tokens=12, **kwargs)
        assert got == want, f"{mode}: {got} != {want}"
        note(family, **{mode: "equal"})
    note(family, padded="equal")


def check_causal_lm(
    family: str, tmp_path: Path, config: Any = None, *, cached: bool = True, **overrides: Any
) -> Any:
    """The whole comparison of one decoder family. Returns both models for further checks.

    ``cached=False`` leaves out the cache's self-consistency, for rotary scalings whose angles
    depend on the length of the input.
    """
    if config is None:
        config = transformers.AutoConfig.for_model(family, **{**TINY, **overrides})
    auto, vocab = "AutoModelForCausalLM", config.vocab_size
    theirs = original(auto, config, tmp_path / "theirs")
    ours = load_ours(auto, tmp_path / "theirs")
    assert type(ours).__name__ == type(theirs).__name__
    assert ours.num_parameters() == theirs.num_parameters()
    note(family, load="equal", kind="decoder")
    note(family, logits=check_forward(theirs, ours, vocab))
    if cached:
        check_cache(ours, vocab)
    check_gradients(theirs, ours, vocab)
    check_saved(ours, tmp_path / "theirs", tmp_path / "ours", auto)
    note(family, save="equal")
    check_generate(family, theirs, ours, vocab)
    return theirs, ours


def check_head(
    family: str, auto: str, tmp_path: Path, config: Any = None, **overrides: Any
) -> None:
    """One head: logits and loss on a padded batch, save-back equal."""
    if config is None:
        config = transformers.AutoConfig.for_model(family, **{**TINY, **overrides})
    config.num_labels = 2 if auto.endswith("QuestionAnswering") else 3
    theirs = original(auto, config, tmp_path / auto)
    ours = load_ours(auto, tmp_path / auto)
    assert type(ours).__name__ == type(theirs).__name__
    check_saved(ours, tmp_path / auto, tmp_path / f"ours-{auto}", auto)
    ids, mask = batch(config.vocab_size, left_padded=False)
    inputs: dict[str, np.ndarray] = {"input_ids": ids, "attention_mask": mask}
    if auto.endswith("SequenceClassification"):
        inputs["labels"] = np.array([2, 1])
    elif auto.endswith("TokenClassification"):
        inputs["labels"] = np.where(mask > 0, ids % 3, -100)
    elif auto.endswith("QuestionAnswering"):
        inputs |= {"start_positions": np.array([1, 5]), "end_positions": np.array([3, 99])}
    elif auto.endswith("MultipleChoice"):
        inputs = {k: np.stack([v, v[::-1]], axis=1) for k, v in inputs.items()}
        inputs["labels"] = np.array([1, 0])
    elif auto.endswith(("MaskedLM", "ForCausalLM")):
        inputs["labels"] = np.where(mask > 0, ids, -100)
    elif auto.endswith("NextSentencePrediction"):
        inputs["labels"] = np.array([1, 0])
    elif auto.endswith("ForPreTraining") and "next_sentence_label" in str(
        signature(theirs.forward)
    ):
        inputs |= {"labels": np.where(mask > 0, ids, -100), "next_sentence_label": np.array([1, 0])}
    elif auto.endswith("ForPreTraining"):
        inputs["labels"] = ids % 2
    got, want = run_both(theirs, ours, **inputs)
    assert list(got.keys()) == list(want.keys())
    for key in got:
        if isinstance(got[key], paddle.Tensor):
            if got[key].ndim >= 2 and got[key].shape[:2] == [B, S]:
                # Positions that are padding carry no meaning.
                pair = got[key].numpy()[mask > 0], want[key][torch.tensor(mask > 0)]
                close(paddle.to_tensor(pair[0]), pair[1], f"{auto}.{key}")
            else:
                close(got[key].reshape([-1]), want[key].reshape(-1), f"{auto}.{key}")
    note(family, **{auto: "equal"})


ENCODER: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}


def encoder_config(family: str, **overrides: Any) -> Any:
    """Return a tiny encoder config; an override of None leaves the field out."""
    fields = {k: v for k, v in {**ENCODER, **overrides}.items() if v is not None}
    return transformers.AutoConfig.for_model(family, **fields)


def same_states(got: Any, want: Any, real: np.ndarray) -> float:
    """Compare a backbone's outputs at real tokens; return the last state's largest difference."""
    assert type(got).__name__ == type(want).__name__
    assert list(got.keys()) == list(want.keys())
    where = torch.tensor(real)
    worst = 0.0
    for key in got:
        if key == "pooler_output":
            close(got[key], want[key], key)
        elif key == "last_hidden_state":
            worst = close(paddle.to_tensor(got[key].numpy()[real]), want[key][where], key)
        else:
            assert len(got[key]) == len(want[key]), key
            for i, (a, b) in enumerate(zip(got[key], want[key], strict=True)):
                rows = real
                if key == "attentions":
                    rows = np.broadcast_to(real[:, None, :], a.shape[:3]).copy()
                close(paddle.to_tensor(a.numpy()[rows]), b[torch.tensor(rows)], f"{key} {i}")
    return worst


def gradient_norm(got: Any, want: Any, ours: Any, theirs: Any, real: np.ndarray) -> None:
    """Backward through a random sum of the real tokens' last states; compare the norms."""
    weights = np.random.default_rng(1).standard_normal(want.shape) * real[..., None]
    (want * torch.tensor(weights, dtype=torch.float32)).sum().backward()
    (got * paddle.to_tensor(weights, dtype="float32")).sum().backward()
    norm = sum((p.grad.double() ** 2).sum() for p in theirs.parameters() if p.grad is not None)
    mine = sum(
        (p.grad.astype("float64") ** 2).sum() for p in ours.parameters() if p.grad is not None
    )
    close(paddle.sqrt(mine).reshape([1]), torch.sqrt(norm).reshape(1), "gradient norm", 1e-3)
    theirs.zero_grad()
    ours.clear_gradients()


def check_encoder(
    family: str, tmp_path: Path, config: Any = None, types: int = 0, **extra: np.ndarray
) -> Any:
    """The whole comparison of one encoder's backbone. Returns both models for further checks.

    Args:
        types: number of token types to feed, 0 for none.
        extra: further inputs of both models.
    """
    config = encoder_config(family) if config is None else config
    theirs = original("AutoModel", config, tmp_path / "theirs", attn_implementation="eager")
    ours = load_ours("AutoModel", tmp_path / "theirs")
    assert type(ours).__name__ == type(theirs).__name__
    assert ours.num_parameters() == theirs.num_parameters()
    note(family, load="equal", kind="encoder")
    flags = {"output_hidden_states": True, "output_attentions": True}
    for left in (False, True):
        ids, mask = batch(config.vocab_size, left_padded=left)
        if config.pad_token_id != 0:
            ids[mask == 0], ids[ids == config.pad_token_id] = config.pad_token_id, 5
            ids[mask == 0] = config.pad_token_id
        inputs = {"input_ids": ids, "attention_mask": mask, **extra}
        if types:
            inputs["token_type_ids"] = np.random.default_rng(2).integers(0, types, ids.shape)
        got, want = run_both(theirs, ours, **inputs, **flags)
        note(family, logits=same_states(got, want, mask > 0))
    note(family, padded="equal")
    got, want = run_both(theirs, ours, input_ids=ids[1:], return_dict=False)
    assert isinstance(got, tuple) and len(got) == len(want)
    close(got[0], want[0], "state without mask")
    positions = np.arange(S)[None, ::-1].copy() + 1
    got, want = run_both(theirs, ours, input_ids=ids[1:], position_ids=positions)
    close(got[0], want[0], "state with positions")
    table = theirs.get_input_embeddings().weight.detach().numpy()
    got, want = run_both(theirs, ours, inputs_embeds=table[ids], attention_mask=mask)
    close(paddle.to_tensor(got[0].numpy()[mask > 0]), want[0][torch.tensor(mask > 0)], "embeds")
    torch_inputs = {k: torch.tensor(v) for k, v in inputs.items()}
    paddle_inputs = {k: paddle.to_tensor(v) for k, v in inputs.items()}
    gradient_norm(ours(**paddle_inputs)[0], theirs(**torch_inputs)[0], ours, theirs, mask > 0)
    check_saved(ours, tmp_path / "theirs", tmp_path / "ours", "AutoModel")
    note(family, save="equal")
    return theirs, ours


def check_recompute(ours: Any) -> None:
    """Gradients with and without gradient checkpointing are equal, dropout switched off."""
    calls = []
    ours.blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
    ids, mask = (paddle.to_tensor(x) for x in batch(ours.config.vocab_size))
    norms = []
    ours.train()
    for layer in ours.sublayers():
        layer.p = 0.0
        if isinstance(getattr(layer, "dropout", None), float):
            layer.dropout = 0.0
    for enabled in (False, True):
        if enabled:
            ours.gradient_checkpointing_enable()
        ours(input_ids=ids, attention_mask=mask)[0].square().sum().backward()
        norms.append(
            [float(p.grad.square().sum()) for p in ours.parameters() if p.grad is not None]
        )
        ours.clear_gradients()
    ours.gradient_checkpointing_disable()
    ours.eval()
    assert len(calls) == 3  # once, then once and once more in the backward pass
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-5)


def check_router(family: str, tmp_path: Path, **overrides: Any) -> None:
    """Router logits, both losses and the gradient through the second, by config and by argument."""
    theirs, ours = check_causal_lm(family, tmp_path, router_aux_loss_coef=0.7, **overrides)
    # Only now: the original cannot generate with a mask while it computes this loss.
    theirs.config.output_router_logits = ours.config.output_router_logits = True
    ids, mask = batch()
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": shifted_labels(ids, mask)}
    for given in (inputs, {"input_ids": ids[1:]}):
        got, want = run_both(theirs, ours, **given)
        assert list(got.keys()) == list(want.keys())
        close(got.aux_loss.reshape([1]), want.aux_loss.reshape(1), "aux_loss")
        real = given.get("attention_mask", np.ones([1, 11])).reshape(-1) > 0
        assert len(got.router_logits) == len(want.router_logits)
        for a, b in zip(got.router_logits, want.router_logits, strict=True):
            close(paddle.to_tensor(a.numpy()[real]), b[torch.tensor(real)], "router logits")
    got, want = run_both(theirs, ours, **inputs, output_router_logits=False)
    assert got.router_logits is None and got.aux_loss is None and want.aux_loss is None
    close(got.loss.reshape([1]), want.loss.reshape(1), "loss without aux_loss")
    got, want = run_both(theirs.model, ours.model, input_ids=ids, output_router_logits=True)
    assert list(got.keys()) == list(want.keys())
