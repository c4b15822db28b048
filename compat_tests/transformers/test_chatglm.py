"""ChatGLM has no implementation in transformers: the reference is a forward pass in numpy.

It is written from the architecture (arXiv:2406.12793, section 2; rotary positions on half of each
head as pairs of neighbours; SwiGLU) and works on the checkpoint's own tensors, one row at a time.
"""

import json

import numpy as np
import paddle
import pytest
from harness import note
from safetensors.numpy import load_file, save_file

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.modeling import auto

# The fields of chatglm3-6b's config.json, at a tiny size.
CONFIG = {
    "architectures": ["ChatGLMModel"],
    "auto_map": {"AutoConfig": "configuration_chatglm.ChatGLMConfig"},
    "model_type": "chatglm",
    "add_bias_linear": False,
    "add_qkv_bias": True,
    "apply_query_key_layer_scaling": True,
    "apply_residual_connection_post_layernorm": False,
    "attention_dropout": 0.0,
    "attention_softmax_in_fp32": True,
    "bias_dropout_fusion": True,
    "ffn_hidden_size": 48,
    "fp32_residual_connection": False,
    "hidden_dropout": 0.0,
    "hidden_size": 32,
    "kv_channels": 12,
    "layernorm_epsilon": 1e-05,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "num_attention_heads": 4,
    "num_layers": 2,
    "original_rope": True,
    "padded_vocab_size": 99,
    "post_layer_norm": True,
    "rmsnorm": True,
    "seq_length": 64,
    "use_cache": True,
    "torch_dtype": "float32",
    "transformers_version": "4.30.2",
    "tie_word_embeddings": False,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
VARIANTS = {
    "chatglm3": {},
    "chatglm3_32k": {"rope_ratio": 50, "_name_or_path": "THUDM/chatglm3-6b-32k"},
    "chatglm2_32k": {"rope_ratio": 4, "_name_or_path": "THUDM/chatglm2-6b-32k"},
    "all_heads": {"multi_query_attention": False, "add_bias_linear": True, "kv_channels": None},
    "layer_norms": {"rmsnorm": False, "apply_residual_connection_post_layernorm": True},
    "no_last_norm": {"post_layer_norm": False, "add_qkv_bias": False},
}


def shapes(c):
    """Names and shapes of a checkpoint's tensors."""
    H, F, V = c["hidden_size"], c["ffn_hidden_size"], c["padded_vocab_size"]
    D, N = c["kv_channels"] or H // c["num_attention_heads"], c["num_attention_heads"]
    K = c["multi_query_group_num"] if c["multi_query_attention"] else N
    rows = (N + 2 * K) * D
    norms = ["weight"] if c["rmsnorm"] else ["weight", "bias"]
    found = {"embedding.word_embeddings.weight": [V, H], "output_layer.weight": [V, H]}
    found["rotary_pos_emb.inv_freq"] = [D // 4]
    for i in range(c["num_layers"]):
        at = f"encoder.layers.{i}."
        linears = {
            "self_attention.query_key_value": (rows, H, c["add_qkv_bias"]),
            "self_attention.dense": (H, N * D, False),
            "mlp.dense_h_to_4h": (2 * F, H, False),
            "mlp.dense_4h_to_h": (H, F, False),
        }
        for name, (out, into, bias) in linears.items():
            found[f"{at}{name}.weight"] = [out, into]
            if bias or c["add_bias_linear"]:
                found[f"{at}{name}.bias"] = [out]
        for name in ("input_layernorm", "post_attention_layernorm"):
            found |= {f"{at}{name}.{part}": [H] for part in norms}
    if c["post_layer_norm"]:
        found |= {f"encoder.final_layernorm.{part}": [H] for part in norms}
    return {f"transformer.{name}": shape for name, shape in found.items()}


def write(folder, **overrides):
    """Write a random checkpoint; return its config and tensors."""
    config = {**CONFIG, **overrides}
    random = np.random.default_rng(0)
    tensors = {}
    for name, shape in shapes(config).items():
        noise = random.standard_normal(shape)
        centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        scale = 0.1 if len(shape) == 1 else shape[-1] ** -0.5
        tensors[name] = (centre + scale * noise).astype("float32")
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return config, tensors


def norm(c, t, name, x):
    eps = c["layernorm_epsilon"]
    if c["rmsnorm"]:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * t[f"{name}.weight"]
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + eps)
    return x * t[f"{name}.weight"] + t[f"{name}.bias"]


def linear(t, name, x):
    return x @ t[f"{name}.weight"].T + t.get(f"{name}.bias", 0.0)


def rotate(c, x):
    """Turn neighbouring pairs of the first half of each head; ``x`` is ``[S, heads, D]``."""
    S, _, D = x.shape
    divides = "chatglm2" in c.get("_name_or_path", "")
    ratio = c.get("rope_ratio", 1)
    base, step = (10000.0, 1 / ratio) if divides else (10000.0 * ratio, 1.0)
    out = x.copy()
    for pair in range(D // 4):
        angle = np.arange(S) * step * base ** (-2 * pair / (D // 2))
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        a, b = x[..., 2 * pair], x[..., 2 * pair + 1]
        out[..., 2 * pair], out[..., 2 * pair + 1] = a * cos - b * sin, b * cos + a * sin
    return out


def attend(c, t, name, x):
    S, N = x.shape[0], c["num_attention_heads"]
    D = c["kv_channels"] or c["hidden_size"] // N
    mixed = linear(t, f"{name}.query_key_value", x)
    if c["multi_query_attention"]:
        K = c["multi_query_group_num"]
        q, k, v = np.split(mixed, [N * D, (N + K) * D], axis=-1)
        q, k, v = q.reshape(S, N, D), k.reshape(S, K, D), v.reshape(S, K, D)
    else:
        K = N
        q, k, v = np.split(mixed.reshape(S, N, 3 * D), 3, axis=-1)
    q, k = rotate(c, q), rotate(c, k)
    out = np.zeros([S, N, D])
    for n in range(N):
        scores = q[:, n] @ k[:, n * K // N].T / np.sqrt(D)
        scores = np.where(np.tri(S, dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        out[:, n] = weights / weights.sum(-1, keepdims=True) @ v[:, n * K // N]
    return linear(t, f"{name}.dense", out.reshape(S, N * D))


def reference(c, tensors, ids):
    """Last hidden state ``[S, H]`` and logits ``[S, V]`` of one row, in float64."""
    t = {k.removeprefix("transformer."): v.astype("float64") for k, v in tensors.items()}
    after = c["apply_residual_connection_post_layernorm"]
    x = t["embedding.word_embeddings.weight"][ids]
    for i in range(c["num_layers"]):
        at = f"encoder.layers.{i}."
        h = norm(c, t, f"{at}input_layernorm", x)
        x = (h if after else x) + attend(c, t, f"{at}self_attention", h)
        h = norm(c, t, f"{at}post_attention_layernorm", x)
        gate, up = np.split(linear(t, f"{at}mlp.dense_h_to_4h", h), 2, axis=-1)
        x = (h if after else x) + linear(
            t, f"{at}mlp.dense_4h_to_h", gate / (1 + np.exp(-gate)) * up
        )
    if c["post_layer_norm"]:
        x = norm(c, t, "encoder.final_layernorm", x)
    return x, x @ t["output_layer.weight"].T


def greedy(c, tensors, ids, count):
    for _ in range(count):
        ids = [*ids, int(reference(c, tensors, ids)[1][-1].argmax())]
    return ids


IDS = np.random.default_rng(1).integers(3, 99, 11).tolist()


@pytest.mark.parametrize("variant", VARIANTS)
def test_chatglm(variant, tmp_path):
    config, tensors = write(tmp_path / "theirs", **VARIANTS[variant])
    model, info = auto.AutoModel.from_pretrained(
        tmp_path / "theirs", trust_remote_code=True, output_loading_info=True
    )
    assert type(model).__name__ == "ChatGLMForConditionalGeneration"
    assert not any(info.values()), info
    note("chatglm", load="equal", kind="decoder", reference="numpy forward written from the paper")
    want = reference(config, tensors, IDS)[1]
    ids = paddle.to_tensor([IDS])
    got = model(input_ids=ids, labels=ids)
    np.testing.assert_allclose(got.logits.numpy()[0], want, rtol=1e-4, atol=1e-4)
    note("chatglm", logits=float(np.abs(got.logits.numpy()[0] - want).max()))
    log_p = want - np.log(np.exp(want).sum(-1, keepdims=True))
    loss = -log_p[np.arange(len(IDS) - 1), IDS[1:]].mean()
    np.testing.assert_allclose(float(got.loss), loss, rtol=1e-5)
    check_generation(model, config, tensors)
    check_saved(model, tensors, tmp_path)


def check_generation(model, config, tensors):
    """Greedy with and without cache, alone and left-padded, beside a longer row."""
    whole, short = greedy(config, tensors, IDS, 8), greedy(config, tensors, IDS[4:], 8)
    kwargs = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None}
    for cached in (True, False):
        got = model.generate(paddle.to_tensor([IDS]), use_cache=cached, **kwargs)
        assert got.tolist() == [whole]
    rows = paddle.to_tensor([[0] * 4 + IDS[4:], IDS])
    mask = (rows != 0).astype("int64")
    got = model.generate(rows, attention_mask=mask, **kwargs)
    assert got.tolist() == [[0] * 4 + short, whole]
    note("chatglm", greedy="equal", padded="equal")


def check_saved(model, tensors, tmp_path):
    """Saved names and bytes are the checkpoint's, less what can be recomputed; it loads again."""
    model.save_pretrained(tmp_path / "ours")
    saved = load_file(tmp_path / "ours" / "model.safetensors")
    assert saved.keys() == tensors.keys() - {"transformer.rotary_pos_emb.inv_freq"}
    assert all(np.array_equal(tensors[name], array) for name, array in saved.items())
    again = auto.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    ids = paddle.to_tensor([IDS])
    assert np.array_equal(again(ids).logits.numpy(), model(ids).logits.numpy())
    written = json.loads((tmp_path / "ours" / "config.json").read_text())
    for key in CONFIG.keys() - {"architectures", "torch_dtype", "transformers_version"}:
        assert written[key] == getattr(model.config, key), key
    note("chatglm", save="equal")


def test_chatglm_classifier(tmp_path):
    config, tensors = write(tmp_path, id2label={"0": "a", "1": "b", "2": "c"})
    head = np.random.default_rng(2).standard_normal([3, 32]).astype("float32")
    bias = np.array([0.5, -0.5, 1.0], dtype="float32")
    save_file(
        {**tensors, "classifier_head.weight": head, "classifier_head.bias": bias},
        tmp_path / "model.safetensors",
    )
    model = auto.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    rows = paddle.to_tensor([[0] * 4 + IDS[4:], IDS])
    got = model(rows, attention_mask=(rows != 0).astype("int64"), labels=paddle.to_tensor([2, 0]))
    want = np.stack([reference(config, tensors, i)[0][-1] @ head.T + bias for i in (IDS[4:], IDS)])
    np.testing.assert_allclose(got.logits.numpy(), want, rtol=1e-4, atol=1e-4)
    log_p = want - np.log(np.exp(want).sum(-1, keepdims=True))
    np.testing.assert_allclose(float(got.loss), -(log_p[0, 2] + log_p[1, 0]) / 2, rtol=1e-4)
    note("chatglm", AutoModelForSequenceClassification="equal")


@pytest.mark.parametrize(
    "overrides",
    [
        {"position_encoding_2d": True},
        {"vision_config": {}},
        {"pre_seq_len": 4},
        {"quantization_bit": 4},
        {"interleaved_qkv": True},
        {"fp32_residual_connection": True},
    ],
)
def test_chatglm_refuses(overrides, tmp_path):
    write(tmp_path, **overrides)
    with pytest.raises(UnsupportedConfigError, match=next(iter(overrides))):
        auto.AutoModel.from_pretrained(tmp_path)
