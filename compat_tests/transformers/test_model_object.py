"""The model as an object: what users read from it, switch on it and do to it, as upstream."""

import copy
import pickle
import re

import numpy as np
import paddle
import pytest
import torch
import transformers
from folders import scores
from harness import TINY, batch, close, run_both, shifted_labels

import hfpaddle.modeling.auto as ours_auto
from hfpaddle.core import rng
from hfpaddle.core.errors import DeviceError, UnsupportedArgumentError
from hfpaddle.layers import Embedding, Linear
from hfpaddle.models.llama import LlamaForCausalLM, LlamaModel

AUTO = {"llama": "AutoModelForCausalLM", "tied": "AutoModelForCausalLM",
        "gpt2": "AutoModelForCausalLM", "bert": "AutoModelForMaskedLM"}  # fmt: skip
families = pytest.mark.parametrize("family", AUTO)


@pytest.fixture
def pair(request, family):
    """The original's model and ours, fresh."""
    folder, _ = request.getfixturevalue(family)
    sides = (transformers, ours_auto)
    return tuple(getattr(side, AUTO[family]).from_pretrained(folder) for side in sides)


# Outputs


@families
def test_output(pair, family):
    theirs, ours = pair
    ids, mask = batch()
    flags = {"output_hidden_states": True, "output_attentions": True}
    theirs.set_attn_implementation("eager")
    labels = shifted_labels(ids, mask)
    got, want = run_both(theirs, ours, input_ids=ids, attention_mask=mask, labels=labels, **flags)
    assert type(got).__name__ == type(want).__name__
    # Upstream's GPT-2 lists the attentions of its absent cross-attention: an empty tuple.
    want = type(want)(**{k: v for k, v in want.items() if not isinstance(v, tuple) or v})
    assert list(got.keys()) == list(want.keys())
    assert got["logits"] is got.logits is got[1] and got["loss"] is got.loss is got[0]
    assert len(got) == len(want) and len(got.to_tuple()) == len(want.to_tuple())
    assert [x.shape for x in got[:2]] == [list(x.shape) for x in want[:2]]
    assert "logits" in got and "nothing" not in got and got.get("nothing") is None
    with pytest.raises(AttributeError):
        got.nothing  # noqa: B018
    with pytest.raises(KeyError):
        got["nothing"]
    loss, logits = got[:2]
    assert loss.ndim == 0 and logits.dtype == paddle.float32
    close(loss.reshape([1]), want.loss.reshape(1), "loss")
    for name in ("hidden_states", "attentions"):
        assert isinstance(got[name], tuple) and len(got[name]) == len(want[name])
        assert [list(x.shape) for x in got[name]] == [list(x.shape) for x in want[name]]
    plain = ours(paddle.to_tensor(ids))
    assert plain.loss is None and plain.hidden_states is None and "loss" not in plain


@families
def test_return_dict(pair, family):
    theirs, ours = pair
    ids = batch()[0][1:]
    for kwargs in ({}, {"labels": ids}):
        got, want = run_both(theirs, ours, input_ids=ids, return_dict=False, **kwargs)
        assert isinstance(got, tuple) and len(got) == len(want)
        close(got[0].reshape([-1]), want[0].reshape(-1), "first")


@families
def test_labels(pair, family):
    """-100 does not count; all of them give what the original gives."""
    theirs, ours = pair
    ids = batch()[0]
    masked = np.where(np.arange(ids.size).reshape(ids.shape) % 3 == 0, -100, ids)
    for labels in (ids, masked, np.full_like(ids, -100), ids.astype("int32")):
        if labels.dtype == np.int32 and family != "llama":
            continue
        wide = labels.astype("int64")
        with torch.no_grad():
            want = theirs(input_ids=torch.tensor(ids), labels=torch.tensor(wide)).loss
        got = ours(input_ids=paddle.to_tensor(ids), labels=paddle.to_tensor(labels)).loss
        np.testing.assert_allclose(float(got), float(want), rtol=1e-4)


@families
def test_inputs_embeds(pair, family):
    theirs, ours = pair
    ids, mask = batch()
    embeds = ours.get_input_embeddings()(paddle.to_tensor(ids))
    got = ours(inputs_embeds=embeds, attention_mask=paddle.to_tensor(mask)).logits.numpy()
    want = ours(paddle.to_tensor(ids), attention_mask=paddle.to_tensor(mask)).logits.numpy()
    np.testing.assert_allclose(got[mask > 0], want[mask > 0], atol=1e-6)
    for kwargs in ({}, {"input_ids": paddle.to_tensor(ids), "inputs_embeds": embeds}):
        with pytest.raises(ValueError, match="input_ids"):
            ours(**kwargs)


def test_unknown_argument(llama):
    model = LlamaForCausalLM.from_pretrained(llama[0])
    with pytest.raises((TypeError, UnsupportedArgumentError), match="no_such"):
        model(paddle.to_tensor([[5]]), no_such=3)


# Parameters and their names


@families
def test_names_and_shapes(pair, family):
    theirs, ours = pair
    want = {name: tuple(p.shape) for name, p in theirs.named_parameters()}
    assert {name: tuple(p.shape) for name, p in ours.named_parameters()} == want
    state = {name: tuple(t.shape) for name, t in theirs.state_dict().items()}
    assert {name: tuple(t.shape) for name, t in ours.state_dict().items()} == state
    assert len(list(ours.parameters())) == len(list(theirs.parameters()))
    for kwargs in ({}, {"exclude_embeddings": True}, {"only_trainable": True}):
        assert ours.num_parameters(**kwargs) == theirs.num_parameters(**kwargs)
    for side in (ours, theirs):
        side.get_input_embeddings().requires_grad_(False)
    count = ours.num_parameters(only_trainable=True)
    assert count == theirs.num_parameters(only_trainable=True) < ours.num_parameters()


@families
def test_load_state_dict(pair, family):
    _, ours = pair
    weights = {name: tensor * 2 for name, tensor in ours.state_dict().items()}
    result = ours.load_state_dict(weights)
    assert not result.missing_keys and not result.unexpected_keys
    for name, tensor in ours.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), weights[name].numpy(), name)
    first = next(iter(weights))
    missing = {name: tensor for name, tensor in weights.items() if name != first}
    with pytest.raises(RuntimeError, match=f"(?s)Missing key.*{re.escape(first)}"):
        ours.load_state_dict(missing)
    with pytest.raises(RuntimeError, match="(?s)Unexpected key.*extra"):
        ours.load_state_dict({**weights, "extra": weights[first]})
    with pytest.raises(RuntimeError, match=f"(?s)size mismatch for {re.escape(first)}"):
        ours.load_state_dict({**weights, first: paddle.zeros([3])})
    result = ours.load_state_dict({**missing, "extra": weights[first]}, strict=False)
    assert list(result.missing_keys) == [first] and list(result.unexpected_keys) == ["extra"]


def test_load_state_dict_keeps_dtype_and_ties(tied):
    model = LlamaForCausalLM.from_pretrained(tied[0])
    weights = {k: v.astype("float64") for k, v in model.state_dict().items()}
    model.load_state_dict(weights)
    assert model.dtype == paddle.float32
    assert model.lm_head.weight is model.model.embed_tokens.weight


# Embeddings


@families
def test_embeddings(pair, family):
    theirs, ours = pair
    table, head = ours.get_input_embeddings(), ours.get_output_embeddings()
    assert isinstance(table, Embedding) and table.weight.shape == [99, 32]
    assert isinstance(head, Linear) and head.weight.shape == [99, 32]
    assert (head.weight is table.weight) is (family != "llama")
    new = Embedding(99, 32)
    ours.set_input_embeddings(new)
    assert ours.get_input_embeddings() is new and ours.base_model.get_input_embeddings() is new
    ours.tie_weights()
    assert (head.weight is new.weight) is (family != "llama")
    other = Linear(32, 99)
    ours.set_output_embeddings(other)
    assert ours.get_output_embeddings() is other


SIZES = [
    *({"new_num_tokens": 120}, {"new_num_tokens": 101}, {"new_num_tokens": 60}),
    *({"pad_to_multiple_of": 64}, {"new_num_tokens": 100, "pad_to_multiple_of": 8}, {}),
    *({"new_num_tokens": 99}, {"new_num_tokens": 120, "mean_resizing": False}),
]


@families
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_resize(pair, family, size, tmp_path):
    """Shapes, ties, config and, from the same seed, every value."""
    theirs, ours = pair
    torch.manual_seed(5)
    want = theirs.resize_token_embeddings(**size)
    rng.manual_seed(5)
    got = ours.resize_token_embeddings(**size)
    assert got is ours.get_input_embeddings()
    assert got.num_embeddings == want.num_embeddings == ours.config.vocab_size
    assert ours.config.vocab_size == theirs.config.vocab_size
    head = ours.get_output_embeddings()
    assert head.weight.shape == list(theirs.get_output_embeddings().weight.shape)
    assert head.out_features == theirs.get_output_embeddings().out_features
    assert (head.weight is got.weight) is (family != "llama")
    names = dict(ours.named_parameters())
    assert set(names) == {name for name, _ in theirs.named_parameters()}
    for name, param in theirs.named_parameters():
        np.testing.assert_allclose(names[name].numpy(), param.detach().numpy(), atol=1e-7)
        assert names[name].stop_gradient is False
    ids = batch(min(99, got.num_embeddings))[0][1:]
    output, expected = run_both(theirs, ours, input_ids=ids)
    close(output.logits, expected.logits, "logits")
    ours.save_pretrained(tmp_path)
    again = getattr(transformers, AUTO[family]).from_pretrained(tmp_path)
    np.testing.assert_allclose(again(torch.tensor(ids)).logits.detach().numpy(),
                               expected.logits.numpy(), atol=1e-6)  # fmt: skip
    if family != "bert":
        tokens = ours.generate(paddle.to_tensor(ids), max_new_tokens=4, do_sample=False)
        wanted = theirs.generate(torch.tensor(ids), max_new_tokens=4, do_sample=False)
        assert tokens.tolist() == wanted.tolist()
    with pytest.raises(ValueError, match="not an integer"):
        ours.resize_token_embeddings(pad_to_multiple_of=1.5)


def test_resize_frozen_and_half(llama):
    model = LlamaForCausalLM.from_pretrained(llama[0], dtype="bfloat16")
    model.get_input_embeddings().weight.stop_gradient = True
    old = model.get_input_embeddings().weight.astype("float32").numpy()
    table = model.resize_token_embeddings(130)
    assert table.weight.dtype == model.lm_head.weight.dtype == paddle.bfloat16
    assert table.weight.stop_gradient and not model.lm_head.weight.stop_gradient
    np.testing.assert_array_equal(table.weight[:99].astype("float32").numpy(), old)


# Moves and switches


@families
def test_moves(pair, family):
    theirs, ours = pair
    before = scores(ours)
    for move in (
        lambda m: m.to("cpu"), lambda m: m.cpu(), lambda m: m.float(), lambda m: m.eval(),
        lambda m: m.train(), lambda m: m.train(False), lambda m: m.requires_grad_(True),
        lambda m: m.to(paddle.CPUPlace()), lambda m: m.to(device="cpu", dtype="float32"),
        lambda m: m.to("cpu", paddle.float32), lambda m: m.to(paddle.ones([1])),
        lambda m: m.to(torch.device("cpu")), lambda m: m.to("cpu", non_blocking=True),
    ):  # fmt: skip
        assert move(ours) is ours
    np.testing.assert_array_equal(scores(ours), before)
    assert ours.dtype == paddle.float32 and ours.device.type == "cpu" == str(ours.device)
    for dtype, move in {
        "float16": lambda m: m.half(),
        "bfloat16": lambda m: m.to(paddle.bfloat16),
        "float64": lambda m: m.double(),
        "float32": lambda m: m.to(torch.float32),
    }.items():
        assert move(ours) is ours and ours.dtype == getattr(paddle, dtype)
        assert {p.dtype for p in ours.parameters()} == {getattr(paddle, dtype)}
        if family != "llama":
            assert ours.get_output_embeddings().weight is ours.get_input_embeddings().weight
    with torch.no_grad():  # of the model as a whole, upstream would round its angles too
        for param in theirs.parameters():
            param.copy_(param.half().bfloat16())
    close(paddle.to_tensor(scores(ours)), torch.tensor(scores(theirs)), "after rounding")
    for move in (lambda m: m.cuda(), lambda m: m.to("cuda:0"), lambda m: m.to(0)):
        with pytest.raises(DeviceError, match="GPU|accelerator"):
            move(ours)
    with pytest.raises(TypeError, match="no_such"):
        ours.to("cpu", no_such=1)


def test_half_models_compute_in_float32(llama):
    """As stored, not as rounded once more: the loaded half model and the cast one agree."""
    cast = LlamaForCausalLM.from_pretrained(llama[0]).to("bfloat16")
    loaded = LlamaForCausalLM.from_pretrained(llama[0], dtype="bfloat16")
    np.testing.assert_array_equal(scores(cast), scores(loaded))
    reference = transformers.LlamaForCausalLM.from_pretrained(llama[0], dtype=torch.bfloat16)
    close(paddle.to_tensor(scores(loaded)), torch.tensor(scores(reference.float())), "logits")


@families
def test_switches(pair, family):
    theirs, ours = pair
    assert not ours.training and ours.train().training
    assert all(layer.training for layer in ours.sublayers() if type(layer).__name__ == "Dropout")
    ours.eval()
    assert not any(layer.training for layer in ours.sublayers())
    assert all(p.stop_gradient for p in ours.requires_grad_(False).parameters())
    assert not any(p.stop_gradient for p in ours.requires_grad_().parameters())
    assert ours.framework == "pd" and ours.main_input_name == theirs.main_input_name
    assert ours.base_model_prefix == theirs.base_model_prefix
    assert ours.base_model is getattr(ours, ours.base_model_prefix)
    assert ours.can_generate() is theirs.can_generate()
    assert ours.name_or_path == theirs.name_or_path
    assert ours.config.to_dict() | {"dtype": 0} == theirs.config.to_dict() | {"dtype": 0}
    if ours.can_generate():
        assert ours.generation_config.to_dict() == theirs.generation_config.to_dict()
    with pytest.raises(UnsupportedArgumentError, match="flash_attention_2"):
        ours.set_attn_implementation("flash_attention_2")
    ours.set_attn_implementation("eager")


@families
def test_gradient_checkpointing(pair, family):
    """The same gradients as without, and as the original's."""
    theirs, ours = pair
    ids, mask = batch()
    labels = shifted_labels(ids, mask)
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": labels}

    def gradients(**kwargs):
        for layer in ours.train().sublayers():
            if hasattr(layer, "p"):
                layer.p = 0.0
            if isinstance(getattr(layer, "dropout", None), float):
                layer.dropout = 0.0
        ours(**{k: paddle.to_tensor(v) for k, v in inputs.items()}, **kwargs).loss.backward()
        found = {n: p.grad.numpy() for n, p in ours.named_parameters() if p.grad is not None}
        ours.clear_gradients()
        return found

    plain = gradients()
    assert not ours.is_gradient_checkpointing
    ours.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    assert ours.is_gradient_checkpointing
    checkpointed = gradients()
    ours.gradient_checkpointing_disable()
    assert not ours.is_gradient_checkpointing
    theirs(**{k: torch.tensor(v) for k, v in inputs.items()}).loss.backward()
    want = {n: p.grad.numpy() for n, p in theirs.named_parameters() if p.grad is not None}
    assert plain.keys() == checkpointed.keys() == want.keys()
    for name, gradient in want.items():
        np.testing.assert_allclose(checkpointed[name], plain[name], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(plain[name], gradient, rtol=1e-3, atol=1e-4, err_msg=name)


def test_input_gradients_for_adapters(llama):
    model = LlamaForCausalLM.from_pretrained(llama[0]).requires_grad_(False)
    model.enable_input_require_grads()
    hidden = model(paddle.to_tensor([[5, 6]]), output_hidden_states=True).hidden_states
    assert not hidden[0].stop_gradient and not hidden[-1].stop_gradient
    model.disable_input_require_grads()
    hidden = model(paddle.to_tensor([[5, 6]]), output_hidden_states=True).hidden_states
    assert hidden[0].stop_gradient


# Copies, text, construction


@families
def test_copies(pair, family):
    _, ours = pair
    ours.get_input_embeddings().weight.stop_gradient = True
    before = scores(ours)
    for made in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert type(made) is type(ours) and made is not ours
        np.testing.assert_array_equal(scores(made), before)
        tied = made.get_output_embeddings().weight is made.get_input_embeddings().weight
        assert tied is (family != "llama")
        assert made.get_input_embeddings().weight.stop_gradient
        assert not made.base_model.parameters()[-1].stop_gradient
        assert made.config is not ours.config and made.config.to_dict() == ours.config.to_dict()
        with paddle.no_grad():
            made.get_input_embeddings().weight.scale_(2.0)
        np.testing.assert_array_equal(scores(ours), before)


def test_print(llama):
    """Names and sizes of the layers, in the original's order."""
    ours = LlamaForCausalLM.from_pretrained(llama[0])
    text = str(ours)
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "LlamaForCausalLM("
    assert "(embed_tokens): Embedding(99, 32, padding_idx=0)" in lines
    assert "(q_proj): Linear(in_features=32, out_features=32, bias=False)" in lines
    assert "(lm_head): Linear(in_features=32, out_features=99, bias=False)" in lines
    names = re.findall(r"\((\w+)\):", text)
    wanted = [name.split(".")[-1] for name, _ in llama[1].named_modules() if name]
    assert [n for n in names if n in set(wanted)][:10] == [n for n in wanted if n in set(names)][
        :10
    ]


@pytest.mark.parametrize("dtype", [None, "bfloat16", paddle.float16, torch.float32], ids=str)
def test_from_config(dtype):
    config = transformers.LlamaConfig(**TINY)
    arguments = {} if dtype is None else {"dtype": dtype}
    theirs = transformers.AutoModelForCausalLM.from_config(
        copy.deepcopy(config), **{k: torch.float16 if v == paddle.float16 else v
                                  for k, v in arguments.items()})  # fmt: skip
    ours = ours_auto.AutoModelForCausalLM.from_config(
        config, attn_implementation="sdpa", **arguments
    )
    assert type(ours) is LlamaForCausalLM and ours.dtype.name.lower() == str(theirs.dtype)[6:]
    assert ours.training is theirs.training
    assert ours.num_parameters() == theirs.num_parameters()
    for name, param in ours.named_parameters():
        if "norm" in name:
            np.testing.assert_array_equal(param.astype("float32").numpy(), 1.0)
        else:
            std = float(param.astype("float32").std())
            assert abs(std - 0.02) < 0.002, name
    pad = ours.get_input_embeddings().weight[0].astype("float32").numpy()
    np.testing.assert_array_equal(pad, theirs.get_input_embeddings().weight[0].detach().float())


def test_from_config_takes_its_dtype():
    config = transformers.LlamaConfig(**TINY, dtype="bfloat16")
    for auto in (transformers.AutoModelForCausalLM, ours_auto.AutoModelForCausalLM):
        model = auto.from_config(copy.deepcopy(config))
        assert "bfloat16" in str(model.dtype).lower()
    assert LlamaModel(config).dtype == paddle.float32
