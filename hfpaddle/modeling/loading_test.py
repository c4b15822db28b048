"""Saving and loading where torch is absent: formats, dtypes, sets, errors."""

import json
import logging

import numpy as np
import paddle
import pytest
import transformers

from hfpaddle.converters.safetensors import read_safetensors, write_safetensors
from hfpaddle.core import rng
from hfpaddle.core.errors import (
    CheckpointError,
    MissingFileError,
    UnsupportedArgumentError,
    UnsupportedConfigError,
    UnsupportedModelError,
    WeightMismatchError,
)
from hfpaddle.modeling.auto import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
)
from hfpaddle.models.llama import LlamaForCausalLM

pytestmark = pytest.mark.unit

TINY = {
    **{"vocab_size": 30, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0},
}
IDS = paddle.to_tensor(np.arange(2, 12).reshape(2, 5))
load = AutoModelForCausalLM.from_pretrained


def logits(model):
    with paddle.no_grad():
        return model(IDS)[0].numpy()


def make(**fields):
    rng.manual_seed(0)
    return LlamaForCausalLM(transformers.LlamaConfig(**{**TINY, **fields})).eval()


@pytest.fixture
def saved(tmp_path):
    """A model and the folder it was saved to."""
    model = make()
    model.save_pretrained(tmp_path)
    return model, tmp_path


def edit(folder, change):
    path = folder / "model.safetensors"
    tensors = {k: e.load() for k, e in read_safetensors(path).items()}
    change(tensors)
    write_safetensors(path, tensors)


def test_round_trip(saved):
    model, folder = saved
    again, info = load(folder, output_loading_info=True)
    assert not any(info.values()) and not again.training
    np.testing.assert_array_equal(logits(again), logits(model))
    assert again.config.to_dict() == transformers.AutoConfig.from_pretrained(folder).to_dict()


@pytest.mark.parametrize("limit", ["1KB", "4KB", "50GB"])
def test_shards(tmp_path, limit):
    model = make(tie_word_embeddings=True)
    model.save_pretrained(tmp_path, max_shard_size=limit)
    again, info = load(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert again.lm_head.weight is again.model.embed_tokens.weight
    np.testing.assert_array_equal(logits(again), logits(model))


def test_weights_share_the_file_until_written(saved):
    _, folder = saved
    before = (folder / "model.safetensors").read_bytes()
    one, other = load(folder), load(folder)
    with paddle.no_grad():
        one.lm_head.weight.scale_(2.0)
    np.testing.assert_array_equal(2 * other.lm_head.weight.numpy(), one.lm_head.weight.numpy())
    assert (folder / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtype(saved, dtype):
    model, folder = saved
    cast = load(folder, dtype=dtype)
    assert {p.dtype for p in cast.parameters()} == {getattr(paddle, dtype)}
    assert cast.config.dtype == dtype
    np.testing.assert_allclose(logits(cast.float()), logits(model), atol=2e-2)
    cast = load(folder, dtype=dtype)
    cast.save_pretrained(folder / "cast")
    again = load(folder / "cast")
    assert again.dtype == getattr(paddle, dtype)


def test_sets_and_messages(saved, caplog):
    model, folder = saved

    def change(tensors):
        tensors.pop("model.norm.weight")
        tensors["extra"] = paddle.ones([2])
        tensors["lm_head.weight"] = paddle.ones([4, 16])

    edit(folder, change)
    with pytest.raises(WeightMismatchError, match=r"lm_head.weight: checkpoint \(4, 16\), model"):
        load(folder)
    with caplog.at_level(logging.WARNING, "hfpaddle"):
        again, info = load(folder, ignore_mismatched_sizes=True, output_loading_info=True)
    assert info["missing_keys"] == {"model.norm.weight"} and info["unexpected_keys"] == {"extra"}
    assert info["mismatched_keys"] == {("lm_head.weight", (4, 16), (30, 16))}
    assert "LOAD REPORT" in caplog.text and str(folder) in caplog.text
    np.testing.assert_array_equal(again.model.norm.weight.numpy(), 1.0)


def test_different_values_under_tied_names(tmp_path, caplog):
    make(tie_word_embeddings=True).save_pretrained(tmp_path)
    head = np.random.default_rng(0).standard_normal((30, 16), dtype="float32")
    edit(tmp_path, lambda t: t.update({"lm_head.weight": paddle.to_tensor(head)}))
    model = load(tmp_path)
    assert model.lm_head.weight is not model.model.embed_tokens.weight
    assert "NOT tied" in caplog.text
    np.testing.assert_array_equal(model.lm_head.weight.numpy(), head)
    model.tie_weights()
    model.to("float32")
    model.save_pretrained(tmp_path / "again")
    again = load(tmp_path / "again")
    np.testing.assert_array_equal(again.lm_head.weight.numpy(), head)
    np.testing.assert_array_equal(logits(again), logits(model))


def test_backbone_and_head(saved):
    model, folder = saved
    backbone = AutoModel.from_pretrained(folder)
    np.testing.assert_array_equal(backbone.norm.weight.numpy(), model.model.norm.weight.numpy())
    backbone.save_pretrained(folder / "bare")
    _, info = load(folder / "bare", output_loading_info=True)
    assert info["missing_keys"] == {"lm_head.weight"} and not info["unexpected_keys"]
    head = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    assert head(IDS).logits.shape == [2, 3]


def test_pdparams(saved):
    """Paddle's own file, and what it looks like to `hfpaddle convert`."""
    model, folder = saved
    tensors = {
        name.replace("model.", "llama."): p.T if p.ndim == 2 and "embed" not in name else p
        for name, p in model.state_dict().items()
    }
    (folder / "model.safetensors").unlink()
    paddle.save(tensors, str(folder / "model_state.pdparams"))
    np.testing.assert_array_equal(logits(load(folder)), logits(model))


def test_state_dict():
    model = make()
    again = LlamaForCausalLM.from_pretrained(
        None, config=model.config, state_dict=model.state_dict()
    )
    np.testing.assert_array_equal(logits(again), logits(model))


def test_arguments(saved):
    _, folder = saved
    config = transformers.AutoConfig.from_pretrained(folder)
    before = config.to_dict()
    model = load(folder, config=config, attn_implementation="eager", low_cpu_mem_usage=True)
    assert config.to_dict() == before and model.config is not config
    assert load(folder, use_cache=False).config.use_cache is False
    for name in ("load_in_8bit", "quantization_config", "tp_plan", "max_memory"):
        with pytest.raises(UnsupportedArgumentError, match=name):
            load(folder, **{name: "x"})
    for wrong in ({"attn_implementation": "flash_attention_2"}, {"dtype": "int8"}):
        with pytest.raises(UnsupportedArgumentError, match=next(iter(wrong))):
            load(folder, **wrong)
    with pytest.raises(TypeError, match="no_such"):
        load(folder, no_such=1)


def test_config_key_that_nobody_reads(saved):
    _, folder = saved
    path = folder / "config.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "strange": 1}))  # upstream does not know it either
    load(folder)
    fields["rope_parameters"] = {"rope_type": "spiral", "rope_theta": 1.0}
    path.write_text(json.dumps(fields))
    with pytest.raises(UnsupportedConfigError, match="spiral"):
        load(folder)


CONFIGS = {
    "{": (CheckpointError, "JSON"),
    "[]": (CheckpointError, "JSON object"),
    '{"model_type": "lama"}': (UnsupportedModelError, "nearest: 'llama'"),
    '{"model_type": 3}': (UnsupportedModelError, "model_type = 3"),
    "{}": (UnsupportedModelError, "model_type"),
    '{"model_type": "llama", "hidden_size": "x"}': (UnsupportedConfigError, "hidden_size"),
}


@pytest.mark.parametrize("text", CONFIGS)
def test_bad_config(saved, text):
    (saved[1] / "config.json").write_text(text)
    error, said = CONFIGS[text]
    for auto in (AutoModelForCausalLM, AutoModel):
        with pytest.raises(error, match=said):
            auto.from_pretrained(saved[1])


def test_missing_and_damaged_files(saved, tmp_path_factory):
    _, folder = saved
    with pytest.raises(UnsupportedModelError, match="AutoModelForMaskedLM"):
        AutoModelForMaskedLM.from_pretrained(folder)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="model.safetensors"):
        load(folder)
    path.unlink()
    with pytest.raises(MissingFileError, match="Error no file named model.safetensors"):
        load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(MissingFileError, match="config.json; it has"):
        load(folder)
    with pytest.raises(MissingFileError, match="does not exist"):
        load(folder / "nowhere")


def test_failure_while_saving(saved, monkeypatch):
    model, folder = saved
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    other = make(tie_word_embeddings=True)

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("hfpaddle.converters.safetensors.tensor_bytes", fail)
    with pytest.raises(CheckpointError, match="No space left"):
        other.save_pretrained(folder, max_shard_size="1KB")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    monkeypatch.undo()
    np.testing.assert_array_equal(logits(load(folder)), logits(model))


def test_resized_vocabulary(saved):
    model, folder = saved
    before = logits(model)
    table = model.resize_token_embeddings(33, pad_to_multiple_of=8)
    assert table.weight.shape == model.lm_head.weight.shape == [40, 16]
    np.testing.assert_array_equal(logits(model)[..., :30], before)
    near = table.weight.numpy()[30:] - table.weight.numpy()[:30].mean(axis=0)
    assert np.abs(near).max() < 1e-4
    model.save_pretrained(folder)
    assert load(folder).config.vocab_size == 40
