"""Tiny GGUF files, good ones and bad ones."""

import importlib
import struct
import time

import numpy as np
import paddle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hfpaddle.converters.gguf import read_gguf
from hfpaddle.converters.gguf_names import FAMILIES
from hfpaddle.converters.gguf_quants import BLOCKS
from hfpaddle.converters.gguf_tokenizer import load_gguf_tokenizer, tokenizer_parts
from hfpaddle.core.errors import (
    CheckpointError,
    HfpaddleError,
    MissingFileError,
    UnsupportedConfigError,
    UnsupportedModelError,
)

pytestmark = pytest.mark.unit


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def packed(value):
    """A metadata value with its type."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    items = b"".join(packed(item)[4:] for item in value)
    return struct.pack("<I", 9) + packed(value[0])[:4] + struct.pack("<Q", len(value)) + items


def gguf_bytes(metadata, tensors, *, version=3, counts=None, edit=None):
    """A file written by hand. ``tensors``: name -> array, or (type, shape, raw bytes)."""
    rows, data = [], b""
    for name, tensor in tensors.items():
        if isinstance(tensor, np.ndarray):
            kind = {"float32": 0, "float16": 1}[tensor.dtype.name]
            tensor = (kind, tensor.shape, tensor.tobytes())
        kind, shape, raw = tensor
        row = {"name": name, "shape": shape, "kind": kind, "offset": len(data)}
        rows.append(row if edit is None else edit(row))
        data += raw + bytes(-len(raw) % 32)
    head = b"GGUF" + struct.pack("<I", version)
    head += struct.pack("<QQ", *(counts or (len(rows), len(metadata))))
    head += b"".join(text(key) + packed(value) for key, value in metadata.items())
    for row in rows:
        shape = row["shape"][::-1]
        head += text(row["name"]) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", row["kind"], row["offset"])
    return head + bytes(-len(head) % 32) + data


LLAMA = {
    "general.architecture": "llama",
    "llama.context_length": 64,
    "llama.embedding_length": 16,
    "llama.block_count": 1,
    "llama.feed_forward_length": 24,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.rope.dimension_count": 4,
    "tokenizer.ggml.tokens": ["a", "b", "c"],
}


def write(folder, *args, **kwargs):
    path = folder / "model.gguf"
    path.write_bytes(gguf_bytes(*args, **kwargs))
    return path


def config_of(folder, metadata, tensors):
    return read_gguf(write(folder, metadata, tensors)).config


def random(*shape, dtype="float32"):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("kind", BLOCKS, ids=lambda kind: BLOCKS[kind].name)
def test_blocks_unpack_as_the_gguf_package_does(kind, tmp_path):
    gguf = importlib.import_module("gguf")
    block, rows = BLOCKS[kind], 37
    raw = np.random.default_rng(kind).integers(0, 256, (rows, 2 * block.bytes), dtype=np.uint8)
    writer = gguf.GGUFWriter(str(tmp_path / "model.gguf"), "qwen2")
    writer.add_tensor("output.weight", raw, raw_dtype=gguf.GGMLQuantizationType(kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    entry = read_gguf(tmp_path / "model.gguf").entries()["lm_head.weight"]
    assert (entry.shape, entry.dtype) == ((rows, 2 * block.weights), "float32")
    with np.errstate(all="ignore"):
        want = gguf.dequantize(raw, gguf.GGMLQuantizationType(kind))
    np.testing.assert_array_equal(entry.load().numpy(), want)


def test_plain_tensors_share_the_file(tmp_path):
    half = random(3, 16, dtype="float16")
    brain = random(4, 16).view(np.uint32) >> 16
    path = write(
        tmp_path,
        LLAMA,
        {
            "output_norm.weight": random(16),
            "token_embd.weight": half,
            "output.weight": (30, (4, 16), brain.astype("<u2").tobytes()),
        },
    )
    before = path.read_bytes()
    entries = read_gguf(path).entries()
    assert [(e.name, e.dtype) for e in entries.values()] == [
        ("model.norm.weight", "float32"),
        ("model.embed_tokens.weight", "float16"),
        ("lm_head.weight", "bfloat16"),
    ]
    norm = entries["model.norm.weight"].load()
    np.testing.assert_array_equal(norm.numpy(), random(16))
    np.testing.assert_array_equal(entries["model.embed_tokens.weight"].load().numpy(), half)
    head = entries["lm_head.weight"].load()
    assert head.dtype == paddle.bfloat16
    want = (brain.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(head.astype("float32").numpy(), want)
    norm[0] = 7.0
    assert path.read_bytes() == before
    assert read_gguf(path).dtype == "bfloat16"


def permuted(values, heads):
    """What llama.cpp's converter does to query and key weights."""
    split = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2)).reshape(values.shape)


def test_llama_heads_come_back_in_order(tmp_path):
    query, key, bias = random(16, 16), random(8, 16, dtype="float16"), random(16)
    tensors = {
        "blk.0.attn_q.weight": permuted(query, 4),
        "blk.0.attn_q.bias": permuted(bias, 4),
        "blk.0.attn_k.weight": permuted(key, 2),
        "blk.0.attn_v.weight": key,
    }
    entries = read_gguf(write(tmp_path, LLAMA, tensors)).entries()
    layer = "model.layers.0.self_attn."
    np.testing.assert_array_equal(entries[layer + "q_proj.weight"].load().numpy(), query)
    np.testing.assert_array_equal(entries[layer + "q_proj.bias"].load().numpy(), bias)
    for name in ("k_proj", "v_proj"):
        np.testing.assert_array_equal(entries[f"{layer}{name}.weight"].load().numpy(), key)
    assert entries[layer + "k_proj.weight"].dtype == "float16"


def test_experts_come_one_by_one(tmp_path):
    stack = random(3, 24, 16)
    metadata = {**LLAMA, "llama.expert_count": 3, "llama.expert_used_count": 2}
    file = read_gguf(write(tmp_path, metadata, {"blk.0.ffn_up_exps.weight": stack}))
    assert file.config["model_type"] == "mixtral"
    assert (file.config["num_local_experts"], file.config["num_experts_per_tok"]) == (3, 2)
    entries = file.entries()
    assert len(entries) == 3
    for index in range(3):
        entry = entries[f"model.layers.0.block_sparse_moe.experts.{index}.w3.weight"]
        np.testing.assert_array_equal(entry.load().numpy(), stack[index])


def architecture(name, **more):
    values = {key.replace("llama.", f"{name}."): value for key, value in LLAMA.items()}
    return {**values, "general.architecture": name, **more}


def test_each_family_gives_the_values_of_the_hub(tmp_path):
    norm, square, qkv = random(16), random(16, 8), random(48, 16)
    cases = {
        "gemma3": ("blk.0.attn_q_norm.weight", norm + 1, "self_attn.q_norm.weight", norm),
        "gpt2": ("blk.0.attn_output.weight", square.T, "attn.c_proj.weight", square),
        "qwen2moe": ("blk.0.ffn_gate_inp_shexp.weight", norm, "expert_gate.weight", norm[None]),
        "bloom": (
            "blk.0.attn_qkv.weight",
            qkv.reshape(4, 3, 4, 16).swapaxes(0, 1).reshape(48, 16),
            "self_attention.query_key_value.weight",
            qkv,
        ),
    }  # fmt: skip
    for name, (theirs, stored, ours, want) in cases.items():
        stored = np.ascontiguousarray(stored)
        (entry,) = (
            read_gguf(write(tmp_path, architecture(name), {theirs: stored})).entries().values()
        )
        assert entry.name.endswith(ours)
        assert entry.shape == want.shape
        got = entry.load().numpy()
        if name == "gemma3":
            np.testing.assert_array_equal(got, stored - np.float32(1))
        else:
            np.testing.assert_array_equal(got, want)


def test_a_bare_model_and_unknown_tensors(tmp_path):
    tensors = {"output_norm.weight": random(16), "blk.0.surprise.weight": random(16)}
    file = read_gguf(write(tmp_path, LLAMA, {**tensors, "rope_freqs.weight": np.ones(2, "f4")}))
    assert set(file.entries()) == {"model.norm.weight", "blk.0.surprise.weight"}
    assert set(file.entries(["norm.weight"])) == {"norm.weight", "blk.0.surprise.weight"}


def test_config(tmp_path):
    config = config_of(tmp_path, LLAMA, {"output_norm.weight": random(16)})
    assert config["model_type"] == "llama"
    assert config["tie_word_embeddings"] is True
    assert (config["vocab_size"], config["head_dim"], config["num_key_value_heads"]) == (3, 4, 2)
    assert "rope_scaling" not in config


def llama3_table(theta, count, factor):
    frequency = theta ** -(np.arange(count) / count)
    turns = 8192 * frequency / (2 * np.pi)
    smooth = np.clip((turns - 1) / 3, 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def test_rope_scalings_are_found(tmp_path):
    metadata = {**LLAMA, "llama.rope.freq_base": 500000.0, "llama.rope.dimension_count": 64}
    table = llama3_table(500000.0, 32, 8.0)
    config = config_of(tmp_path, metadata, {"rope_freqs.weight": table})
    assert config["rope_scaling"]["rope_type"] == "llama3"
    assert config["rope_scaling"]["factor"] == 8.0
    with pytest.raises(UnsupportedConfigError, match="rope_freqs"):
        config_of(tmp_path, metadata, {"rope_freqs.weight": table + 1})
    scaled = architecture(
        "gemma3", **{"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": 8.0}
    )
    want = {"rope_type": "linear", "factor": 8.0}
    assert config_of(tmp_path, scaled, {})["rope_scaling"] == want
    odd = {**scaled, "gemma3.rope.scaling.type": "odd"}
    with pytest.raises(UnsupportedConfigError, match="'odd'"):
        config_of(tmp_path, odd, {})


def test_t5_says_whether_it_has_a_gate(tmp_path):
    name = "dec.blk.0.ffn_up.weight"
    gated = {name: random(8, 4), "dec.blk.0.ffn_gate.weight": random(8, 4)}
    for tensors, act, leaf in ((gated, "gated-gelu", "wi_1"), ({name: random(8, 4)}, "relu", "wi")):
        file = read_gguf(write(tmp_path, architecture("t5"), tensors))
        assert file.config["feed_forward_proj"] == act
        assert f"decoder.block.0.layer.2.DenseReluDense.{leaf}.weight" in file.entries()


def test_refused_models(tmp_path):
    with pytest.raises(UnsupportedModelError, match="nearest: 'qwen3moe'"):
        read_gguf(write(tmp_path, architecture("qwen4moe"), {}))
    many = architecture("falcon")
    with pytest.raises(UnsupportedConfigError, match="2 key/value heads"):
        config_of(tmp_path, many, {})
    with pytest.raises(CheckpointError, match="4 heads"):
        read_gguf(write(tmp_path, LLAMA, {"blk.0.attn_q.weight": random(6, 16)})).entries()
    with pytest.raises(CheckpointError, match="3 axes"):
        moe = architecture("qwen3moe")
        read_gguf(write(tmp_path, moe, {"blk.0.ffn_up_exps.weight": random(6, 16)})).entries()
    with pytest.raises(CheckpointError, match="general.architecture"):
        read_gguf(write(tmp_path, {"general.name": "x"}, {}))
    with pytest.raises(MissingFileError):
        read_gguf(tmp_path / "none.gguf")


GOOD = {"output_norm.weight": random(16), "output.weight": random(3, 16)}


def changed(**values):
    return lambda row: {**row, **values}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty"),
        (b"GG", "no GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"GGUF\x03", "left"),
        (gguf_bytes(LLAMA, GOOD, version=1), "version 1"),
        (gguf_bytes(LLAMA, GOOD, version=3 << 24), "big-endian"),
        (gguf_bytes(LLAMA, GOOD, counts=(2**60, 2)), "tensors are declared"),
        (gguf_bytes(LLAMA, GOOD, counts=(2, 2**60)), "metadata entries are declared"),
        (gguf_bytes(LLAMA, GOOD)[:-1], "past the end"),
        (gguf_bytes(LLAMA, GOOD)[:100], "left"),
        (gguf_bytes(LLAMA, GOOD, edit=changed(offset=0)), "overlap"),
        (gguf_bytes(LLAMA, GOOD, edit=changed(offset=2**63)), "past the end"),
        (gguf_bytes(LLAMA, GOOD, edit=changed(offset=8)), "no multiple of 32"),
        (gguf_bytes(LLAMA, GOOD, edit=changed(shape=(2**40, 2**40))), "past the end"),
        (gguf_bytes(LLAMA, GOOD, edit=changed(shape=(0, 16))), "axis of size 0"),
        (gguf_bytes(LLAMA, GOOD, edit=changed(shape=(1,) * 9)), "9 axes"),
        (gguf_bytes(LLAMA, GOOD, edit=changed(name="same.weight")), "comes twice"),
        (gguf_bytes(LLAMA, GOOD, edit=changed(kind=23)), "IQ4_XS"),
        (gguf_bytes(LLAMA, GOOD, edit=changed(kind=999)), r"number \(999\)"),
        (gguf_bytes(LLAMA, GOOD, edit=changed(kind=12)), "no multiple of 256"),
        (gguf_bytes({**LLAMA, "general.alignment": 0}, GOOD), "power of two"),
        (gguf_bytes({**LLAMA, "general.alignment": "x"}, GOOD), "power of two"),
        (gguf_bytes(LLAMA, GOOD).replace(b"general.arch", b"general.\xff\xff\xff\xff"), "UTF-8"),
    ],
)  # fmt: skip
def test_damaged_files(data, problem, tmp_path):
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    start = time.perf_counter()
    with pytest.raises(CheckpointError, match=problem):
        read_gguf(path)
    assert time.perf_counter() - start < 1


def test_hostile_arrays(tmp_path):
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<I", 9)
    for item, count in ((8, 2**61), (0, 2**62), (12, 2**63), (9, 1), (77, 1)):
        path = tmp_path / "bad.gguf"
        path.write_bytes(head + struct.pack("<IQ", item, count) + bytes(64))
        with pytest.raises(CheckpointError, match="declared|only numbers and strings"):
            read_gguf(path)


def test_tokenizer_parts(tmp_path):
    metadata = {
        **LLAMA,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.scores": [0.0, -1.0, -2.0],
        "tokenizer.ggml.eos_token_id": 2,
    }
    parts, around = tokenizer_parts(read_gguf(write(tmp_path, metadata, {})))
    assert parts["scores"] == [0.0, -1.0, -2.0]
    assert around["eos_token"] == "c"
    assert around["bos_token"] is None
    assert around["add_bos_token"] is True
    tokenizer = load_gguf_tokenizer(write(tmp_path, metadata, {}))
    assert tokenizer.convert_tokens_to_ids(["a", "b"]) == [0, 1]
    bad = {**metadata, "tokenizer.ggml.eos_token_id": 3}
    with pytest.raises(CheckpointError, match="vocabulary of 3"):
        load_gguf_tokenizer(write(tmp_path, bad, {}))
    with pytest.raises(CheckpointError, match="cannot be rebuilt"):
        load_gguf_tokenizer(write(tmp_path, {**metadata, "tokenizer.ggml.model": "odd"}, {}))
    del metadata["tokenizer.ggml.tokens"]
    with pytest.raises(CheckpointError, match="no vocabulary"):
        load_gguf_tokenizer(write(tmp_path, metadata, {}))


FUZZED = gguf_bytes(
    {**LLAMA, "llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 2.0},
    {
        "blk.0.attn_q.weight": random(16, 16),
        "blk.0.ffn_up.weight": (8, (4, 32), bytes(4 * 34)),
        "rope_freqs.weight": llama3_table(10000.0, 2, 8.0),
        "output_norm.weight": random(16),
    },
)


@settings(max_examples=400, deadline=2000, suppress_health_check=list(HealthCheck), database=None)
@given(
    edits=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), max_size=6),
    cut=st.one_of(st.none(), st.integers(0, len(FUZZED))),
)
def test_no_bytes_crash_or_hang_it(edits, cut, tmp_path_factory):
    data = bytearray(FUZZED[:cut])
    for at, value in edits:
        if at < len(data):
            data[at] = value
    path = tmp_path_factory.getbasetemp() / "fuzzed.gguf"
    path.write_bytes(data)
    try:
        file = read_gguf(path)
        assert file.config["model_type"] in {family.model_type for family in FAMILIES.values()}
        for entry in file.entries().values():
            assert tuple(entry.load().shape) == entry.shape
    except HfpaddleError:
        pass
