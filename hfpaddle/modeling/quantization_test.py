"""Models with weights of 8 and 4 bits: GGUF blocks kept, floats rounded, and what is refused."""

import contextlib

import gguf
import numpy as np
import paddle
import pytest
import transformers

import hfpaddle.kernels
import hfpaddle.transformers as hf
from hfpaddle import ops
from hfpaddle.converters.gguf import read_gguf
from hfpaddle.core import logging as core_logging
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.op import discover
from hfpaddle.core.rng import manual_seed
from hfpaddle.layers.basic import Linear
from hfpaddle.layers.quantized import QuantizedEmbedding, QuantizedLinear
from hfpaddle.modeling.quantization import TorchAoConfig, WeightOnlyConfig

pytestmark = pytest.mark.unit
load = hf.AutoModelForCausalLM.from_pretrained

SIZES = {
    **{"vocab_size": 99, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0},
}
IDS = paddle.to_tensor(np.random.default_rng(0).integers(3, 99, (1, 12)))
REFERENCE = dict.fromkeys(("quantized_linear", "quantized_rows", "run_blocks"), "reference")

discover("cpu")
built = pytest.mark.skipif(not ops.quantized_linear.impls, reason="the kernels were not built")


def logits(model, ids=IDS):
    """Return those of each position, the last eight from steps of one token."""
    with paddle.no_grad():
        first = model(ids[:, :-8], use_cache=True)
        parts = [first.logits]
        for at in range(ids.shape[1] - 8, ids.shape[1]):
            step = model(ids[:, at : at + 1], past_key_values=first.past_key_values)
            parts.append(step.logits)
    return paddle.concat(parts, axis=1).numpy()


def far(a, b):
    """Return the distance of two arrays relative to the second."""
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@contextlib.contextmanager
def rounding(monkeypatch):
    """Within it, linear layers round the activations of a few tokens as the kernel does."""
    forward = QuantizedLinear.forward

    def rounded(self, x):
        if x.size // x.shape[-1] <= 8:
            groups = x.reshape([*x.shape[:-1], -1, 32])
            scale = groups.abs().max(-1, keepdim=True) / 127
            x = ((groups / scale).round() * scale).reshape(x.shape)
        return forward(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(QuantizedLinear, "forward", rounded)
        yield


def write_gguf(path, kind="Q8_0", odd=None, tied=False):
    """Write a tiny llama; ``odd`` maps tensors to another format."""
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    sizes = {"block_count": 2, "embedding_length": 64, "feed_forward_length": 128}
    sizes |= {"context_length": 64, "attention.head_count": 4, "attention.head_count_kv": 2}
    for key, value in {**sizes, "vocab_size": 99, "rope.dimension_count": 16}.items():
        writer.add_uint32(f"llama.{key}", value)
    writer.add_float32("llama.rope.freq_base", 10000.0)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-6)
    writer.add_token_list([f"t{i}" for i in range(99)])
    writer.add_pad_token_id(0)
    block = {"attn_q": (64, 64), "attn_k": (32, 64), "attn_v": (32, 64), "attn_output": (64, 64)}
    block |= {"ffn_gate": (128, 64), "ffn_up": (128, 64), "ffn_down": (64, 128)}
    block |= {"attn_norm": (64,), "ffn_norm": (64,)}
    shapes = {"token_embd": (99, 64), "output_norm": (64,)}
    shapes |= {} if tied else {"output": (99, 64)}
    shapes |= {f"blk.{i}.{name}": shape for i in range(2) for name, shape in block.items()}
    for name, shape in shapes.items():
        values = rng.standard_normal(shape, dtype=np.float32) * 2 * shape[-1] ** -0.5
        stored = gguf.GGMLQuantizationType[(odd or {}).get(name, kind)]
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", 1 + values)
        else:
            writer.add_tensor(f"{name}.weight", gguf.quantize(values, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def blocks(folder, **kwargs):
    return load(folder, gguf_file="x.gguf", quantization_config=hf.GgufConfig(), **kwargs)


@built
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["Q4_0", "Q5_0", "Q8_0"])
def test_blocks_mean_what_unpacking_them_gives(tmp_path, monkeypatch, kind, tied):
    write_gguf(tmp_path / "x.gguf", kind, tied=tied)
    plain = load(tmp_path, gguf_file="x.gguf", dtype="float32")
    kept = blocks(tmp_path)
    assert not plain.is_quantized and kept.is_quantized and not kept.training
    assert not any(type(layer) is Linear for layer in kept.sublayers())
    assert isinstance(kept.get_input_embeddings(), QuantizedEmbedding)
    assert (kept.lm_head.weight is kept.get_input_embeddings().weight) == tied
    assert kept.num_parameters() == plain.num_parameters()
    assert kept.get_memory_footprint() < 0.36 * plain.get_memory_footprint()
    want = logits(plain)
    with hfpaddle.kernels.use(**REFERENCE):
        np.testing.assert_allclose(logits(kept), want, rtol=1e-4, atol=1e-4)
    got = logits(kept)
    assert far(got, want) > 1e-4  # the kernel rounds the activations of a few tokens to 8 bits
    with hfpaddle.kernels.use(**REFERENCE), rounding(monkeypatch):
        assert far(got, logits(kept)) < 5e-3


@built
def test_blocks_lie_in_the_file_and_run_whole_steps(tmp_path):
    write_gguf(tmp_path / "x.gguf")
    file = read_gguf(tmp_path / "x.gguf")
    begin, copied = file._file.array.ctypes.data, []
    for name, entry in file.entries().items():
        if entry.blocks is not None:
            at = entry.blocks().data_ptr() - begin
            copied += [] if 0 <= at < file._file.size else [name.rpartition("attn.")[2]]
    # The file permutes the rows of queries and keys.
    assert copied == ["q_proj.weight", "k_proj.weight"] * 2
    kept = blocks(tmp_path)
    calls, impl = [], ops.run_blocks.impls[0]
    original = impl.fn
    object.__setattr__(impl, "fn", lambda *a: calls.append(1) or original(*a))
    try:
        whole = logits(kept)
    finally:
        object.__setattr__(impl, "fn", original)
    assert len(calls) == 9  # the prompt, and each token
    with hfpaddle.kernels.use(run_blocks="reference"):
        assert far(logits(kept), whole) < 2e-2  # rounds the same activations


@built
def test_formats_without_a_kernel_are_unpacked_and_reported(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(core_logging, "_seen", set(), raising=False)
    write_gguf(tmp_path / "x.gguf", odd={"blk.0.ffn_up": "Q4_1", "token_embd": "Q5_1"})
    kept = blocks(tmp_path)
    assert "2 tensors" in caplog.text and "1 of Q4_1" in caplog.text and "Q5_1" in caplog.text
    up = [layer.mlp.up_proj for layer in kept.model.layers]
    assert type(up[0]) is Linear and type(up[1]) is QuantizedLinear
    plain = load(tmp_path, gguf_file="x.gguf", quantization_config=hf.GgufConfig(dequantize=True))
    with hfpaddle.kernels.use(**REFERENCE):
        np.testing.assert_allclose(logits(kept), logits(plain), rtol=1e-4, atol=1e-4)


@built
def test_adapters_and_gradients_pass_through(tmp_path):
    write_gguf(tmp_path / "x.gguf")
    kept, plain = blocks(tmp_path), load(tmp_path, gguf_file="x.gguf", dtype="float32")
    grads = []
    for model in (kept, plain):
        x = plain.get_input_embeddings()(IDS).detach()
        x.stop_gradient = False
        model(inputs_embeds=x, labels=IDS).loss.backward()
        grads.append(x.grad)
    np.testing.assert_allclose(*grads, rtol=1e-3, atol=1e-5)


# Rounded when loaded


def saved(folder, family="llama", **fields):
    config = transformers.AutoConfig.for_model(family, **{**SIZES, **fields})
    manual_seed(0)
    model = hf.AutoModelForCausalLM.from_config(config).eval()
    with paddle.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.set_value(parameter * 8)
    model.save_pretrained(folder)
    return model


CONFIGS = {
    "int8": WeightOnlyConfig(8),
    "int8/32": WeightOnlyConfig(8, group_size=32),
    "int4": WeightOnlyConfig(4),
    "int4/32": WeightOnlyConfig(4, group_size=32, symmetric=True),
    "head": WeightOnlyConfig(8, lm_head=True),
}


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("family", ["llama", "phi3", "qwen2"])
def test_rounded_weights(tmp_path, monkeypatch, family, config):
    plain = saved(tmp_path, family, tie_word_embeddings=family == "qwen2")
    wanted = CONFIGS[config]
    model = load(tmp_path, quantization_config=wanted)
    linears = [layer for layer in model.sublayers() if type(layer) is QuantizedLinear]
    before = [layer for layer in plain.sublayers() if type(layer) is Linear]
    assert len(linears) == len(before) - (0 if wanted.lm_head else 1)
    want = far(logits(model), logits(plain))
    assert 1e-3 < want < (0.05 if wanted.bits == 8 else 0.6)
    # The same integers as floats in the plain model: the reference path, to the last digits.
    named = dict(plain.named_sublayers())
    for name, layer in model.named_sublayers():
        if type(layer) is QuantizedLinear:
            if named[name] is plain.lm_head and family == "qwen2":
                plain.untie("lm_head.weight")
            hfpaddle.layers.assign(named[name].weight, layer.dequantize())
    with hfpaddle.kernels.use(**REFERENCE):
        np.testing.assert_allclose(logits(model), logits(plain), rtol=1e-4, atol=1e-4)
        want = logits(model)
        with rounding(monkeypatch):
            rounded = logits(model)
    assert far(logits(model), rounded) < 5e-3 or not ops.quantized_linear.impls
    assert far(logits(model), want) < 5e-2


def test_layers_that_stay(tmp_path, caplog):
    saved(tmp_path)
    skip = ["o_proj", "model.layers.0.mlp"]
    model = load(tmp_path, quantization_config=WeightOnlyConfig(8, modules_to_not_convert=skip))
    names = [n for n, layer in model.named_sublayers() if type(layer) is Linear]
    mlp = [f"model.layers.0.mlp.{n}_proj" for n in ("gate", "up", "down")]
    kept = [*(f"model.layers.{i}.self_attn.o_proj" for i in (0, 1)), *mlp, "lm_head"]
    assert sorted(names) == sorted(kept)
    model = load(tmp_path, quantization_config=WeightOnlyConfig(4, group_size=128))
    assert "12 layers keep their weights" in caplog.text
    assert type(model.model.layers[0].mlp.down_proj) is QuantizedLinear  # 128 columns


@pytest.mark.parametrize(
    "given, bits, group",
    [
        (transformers.QuantoConfig(weights="int8"), 8, 64),
        (transformers.QuantoConfig(weights="int4"), 4, 64),
        ({"quant_method": "quanto", "weights": "int4"}, 4, 64),
        (TorchAoConfig("int8_weight_only"), 8, 64),
        (TorchAoConfig("int4_weight_only", group_size=32), 4, 32),
    ],
    ids=str,
)
def test_names_of_the_original(tmp_path, given, bits, group):
    saved(tmp_path)
    model = load(tmp_path, quantization_config=given)
    stored = model.model.layers[0].self_attn.q_proj.stored
    assert (stored.name, stored.group) == (f"int{bits}", group)


@pytest.mark.parametrize(
    "given, message",
    [
        (transformers.QuantoConfig(weights="int2"), "WeightOnlyConfig"),
        (transformers.QuantoConfig(weights="float8"), "WeightOnlyConfig"),
        (transformers.QuantoConfig(activations="int8"), "WeightOnlyConfig"),
        ({"load_in_8bit": True}, "quantization_config"),
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        (transformers.GgufConfig(), "gguf_file"),
    ],
    ids=str,
)
def test_refusals(tmp_path, given, message):
    saved(tmp_path)
    with pytest.raises(UnsupportedArgumentError, match=message):
        load(tmp_path, quantization_config=given)


@pytest.mark.parametrize(
    "kwargs",
    [{"bits": 2}, {"bits": 8, "group_size": 48}, {"bits": 4, "group_size": 0},
     {"bits": 8, "symmetric": False}],
    ids=str,
)  # fmt: skip
def test_values_that_are_refused(kwargs):
    with pytest.raises(UnsupportedArgumentError, match=list(kwargs)[-1]):
        WeightOnlyConfig(**kwargs)
    for name in ("float8_weight_only", "int8_dynamic_activation_int8_weight"):
        with pytest.raises(UnsupportedArgumentError, match=name):
            TorchAoConfig(name)


def test_what_a_quantised_model_refuses(tmp_path):
    saved(tmp_path)
    model = load(tmp_path, quantization_config=WeightOnlyConfig(8, lm_head=True))
    assert model.to("cpu") is model
    for wrong in (lambda: model.to("bfloat16"), model.half, lambda: model.save_pretrained("x")):
        with pytest.raises(UnsupportedArgumentError, match="quantis"):
            wrong()
    with pytest.raises(UnsupportedArgumentError, match="cannot be trained"):
        hf.Trainer(model, hf.TrainingArguments(str(tmp_path / "runs"), use_cpu=True))
    with pytest.raises(UnsupportedArgumentError, match="resize_token_embeddings"):
        model.resize_token_embeddings(120)
