"""from_pretrained: every format and argument gives the original's numbers, or a typed error."""

import json
import shutil

import gguf
import numpy as np
import paddle
import pytest
import torch
import transformers
from folders import copy_of, edit_config, make, run, scores, state
from harness import TINY, batch
from safetensors.torch import load_file, save_file

from hfpaddle.core.errors import (
    CheckpointError,
    DeviceError,
    HfpaddleError,
    MissingFileError,
    UnsafeCheckpointError,
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
from hfpaddle.models.bert import BertForMaskedLM
from hfpaddle.models.llama import LlamaForCausalLM, LlamaModel

load = AutoModelForCausalLM.from_pretrained


def same(ours, theirs, atol=1e-4):
    np.testing.assert_allclose(scores(ours), scores(theirs), atol=atol)


# Formats


def index_of(weights, shards, pattern):
    """Split ``weights`` over ``shards`` files; yields (file name, its part), and the index."""
    names = sorted(weights)
    files, weight_map = [], {}
    for i in range(shards):
        part = {name: weights[name] for name in names[i::shards]}
        file = pattern.format(f"{i + 1:05d}-of-{shards:05d}")
        files.append((file, part))
        weight_map |= dict.fromkeys(part, file)
    return files, {"metadata": {"total_size": 1}, "weight_map": weight_map}


def write(kind, folder, weights):
    """Write ``weights`` into ``folder`` as ``kind``."""
    if kind == "safetensors":
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    elif kind == "safetensors without metadata":
        save_file(weights, folder / "model.safetensors")
    elif kind == "safetensors shards":
        files, index = index_of(weights, 3, "model-{}.safetensors")
        for file, part in files:
            save_file(part, folder / file, {"format": "pt"})
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    elif kind in ("zip", "legacy"):
        zipped = kind == "zip"
        torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    elif kind == "bin shards":
        files, index = index_of(weights, 2, "pytorch_model-{}.bin")
        for file, part in files:
            torch.save(part, folder / file)
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    elif kind == "pdparams":
        arrays = {k: paddle.to_tensor(v.numpy()) for k, v in paddlenlp(weights).items()}
        paddle.save(arrays, str(folder / "model_state.pdparams"))
    else:
        assert kind == "PaddleNLP safetensors"
        save_file(paddlenlp(weights), folder / "model.safetensors", {"format": "pd"})


def paddlenlp(weights):
    """PaddleNLP's names, and its linear layers' ``[in, out]``."""
    turned = {k: v.T if v.ndim == 2 and "embed" not in k else v for k, v in weights.items()}
    return {k.replace("model.", "llama."): v.contiguous() for k, v in turned.items()}


FORMATS = [
    *("safetensors", "safetensors without metadata", "safetensors shards"),
    *("zip", "legacy", "bin shards", "pdparams", "PaddleNLP safetensors"),
]


@pytest.mark.parametrize("kind", FORMATS)
def test_formats(llama, tmp_path, kind):
    folder, theirs = llama
    shutil.copyfile(folder / "config.json", tmp_path / "config.json")
    write(kind, tmp_path, {k: v.detach() for k, v in theirs.state_dict().items()})
    before = state(tmp_path)
    model, info = load(tmp_path, output_loading_info=True)
    assert not any(info.values())
    same(model, theirs)
    assert state(tmp_path) == before
    safe = {None: True, True: "safetensors" in kind, False: "safetensors" not in kind}
    for wanted, there in safe.items():
        if there:
            same(load(tmp_path, use_safetensors=wanted), theirs)
        else:
            with pytest.raises(MissingFileError, match="Error no file named"):
                load(tmp_path, use_safetensors=wanted)


def test_pytorch_file_of_a_tied_model(tied, tmp_path):
    """Such a file holds both names of the tied tensor."""
    shutil.copyfile(tied[0] / "config.json", tmp_path / "config.json")
    torch.save(tied[1].state_dict(), tmp_path / "pytorch_model.bin")
    model, info = load(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert model.lm_head.weight is model.model.embed_tokens.weight
    same(model, tied[1])


def test_no_weights_worded_as_upstream(llama, tmp_path):
    shutil.copyfile(llama[0] / "config.json", tmp_path / "config.json")
    for kwargs in ({}, {"use_safetensors": True}, {"variant": "fp16"}):
        with pytest.raises(OSError) as theirs:
            transformers.LlamaForCausalLM.from_pretrained(tmp_path, **kwargs)
        with pytest.raises(MissingFileError) as ours:
            load(tmp_path, **kwargs)
        start = str(theirs.value).split(" found in directory")[0].rstrip(",")
        assert str(ours.value).startswith(start)
        assert str(tmp_path) in str(ours.value)


def test_variant_and_subfolder(llama, tmp_path):
    folder = copy_of(llama[0], tmp_path / "a" / "b")
    shutil.move(folder / "model.safetensors", folder / "model.fp16.safetensors")
    same(load(tmp_path, subfolder="a/b", variant="fp16"), llama[1])
    same(LlamaForCausalLM.from_pretrained(tmp_path / "a", subfolder="b", variant="fp16"), llama[1])
    with pytest.raises(MissingFileError, match="model.safetensors"):
        load(folder)


def test_path_types(llama):
    for name in (llama[0], str(llama[0]), f"{llama[0]}/"):
        same(load(name), llama[1])
    with pytest.raises(HfpaddleError, match="folder"):
        LlamaForCausalLM.from_pretrained(
            llama[0] / "model.safetensors", config=llama[0] / "config.json"
        )


# Dtypes and devices

NAMES = {
    "auto": ["auto", None],
    "float32": ["float32", "fp32", paddle.float32, torch.float32, np.float32, np.dtype("float32")],
    "bfloat16": ["bfloat16", paddle.bfloat16, torch.bfloat16],
    "float16": ["float16", "half", paddle.float16, torch.float16, np.float16],
}


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_dtype(tmp_path, stored):
    """Whatever the spelling, the weights are the original's, bit for bit."""
    make(tmp_path, torch_dtype=stored)
    for wanted, spellings in NAMES.items():
        theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=wanted)
        for i, spelling in enumerate(spellings):
            key = "torch_dtype" if i % 2 else "dtype"
            ours = load(tmp_path, **{key: spelling})
            assert f"torch.{ours.dtype.name.lower()}" == str(theirs.dtype)
            assert ours.config.dtype == str(theirs.dtype).removeprefix("torch.")
            for name, parameter in ours.named_parameters():
                want = theirs.get_parameter(name)
                assert f"torch.{parameter.dtype.name.lower()}" == str(want.dtype)
                np.testing.assert_array_equal(
                    parameter.astype("float32").numpy(), want.detach().float().numpy(), name
                )


def test_half_weights_compute_in_float32(tmp_path):
    make(tmp_path, torch_dtype=torch.bfloat16)
    reference = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    model = load(tmp_path)
    assert model.dtype == paddle.bfloat16
    assert model.get_memory_footprint() * 2 == reference.num_parameters() * 4
    assert model(paddle.to_tensor([[5]])).logits.dtype == paddle.float32
    same(model, reference)


def test_dtype_without_a_declaration(tmp_path):
    """``auto`` then means the dtype of the weights."""
    make(tmp_path, torch_dtype=torch.float16)
    edit_config(tmp_path, dtype=None)
    assert load(tmp_path).dtype == paddle.float16
    edit_config(tmp_path, torch_dtype="float32")
    assert load(tmp_path).dtype == paddle.float32


@pytest.mark.parametrize(
    "dtype", ["int8", "float23", {"": "float32", "x": "int8"}, 3, paddle.int64]
)
def test_dtype_refused(llama, dtype):
    with pytest.raises(UnsupportedArgumentError, match="dtype"):
        load(llama[0], dtype=dtype)


DEVICES = [None, "auto", "balanced", "cpu", {"": "cpu"}, {"model": "cpu", "lm_head": "cpu"}]


@pytest.mark.parametrize("device_map", [*DEVICES, torch.device("cpu"), paddle.CPUPlace()], ids=str)
def test_device_map(llama, device_map):
    model = load(llama[0], device_map=device_map, low_cpu_mem_usage=True)
    assert model.device.type == "cpu"
    same(model, llama[1])


def test_device_map_refused(llama):
    for device_map in ("cuda:0", 0, {"": 0}, {"": "cuda"}):
        with pytest.raises(DeviceError, match="GPU|accelerator"):
            load(llama[0], device_map=device_map)
    for device_map in ("disk", {"model": "cpu", "lm_head": "disk"}, "meta"):
        with pytest.raises(UnsupportedArgumentError, match="device_map"):
            load(llama[0], device_map=device_map)


# Arguments


@pytest.mark.parametrize(
    "argument",
    [
        *({"quantization_config": {"load_in_8bit": True}}, {"load_in_8bit": True}),
        *({"load_in_4bit": True}, {"tp_plan": "auto"}, {"max_memory": {0: "1GB"}}),
        *({"offload_folder": "x"}, {"use_kernels": True}, {"device_mesh": "mesh"}),
        *({"attn_implementation": "flash_attention_2"}, {"attn_implementation": "flex_attention"}),
    ],
    ids=str,
)
def test_refused_by_name(llama, argument):
    name = next(iter(argument))
    for cls in (AutoModelForCausalLM, LlamaForCausalLM):
        with pytest.raises(UnsupportedArgumentError, match=name):
            cls.from_pretrained(llama[0], **argument)


def test_inert_arguments(llama, caplog):
    model = load(
        llama[0], low_cpu_mem_usage=True, weights_only=True, proxies=None, load_in_8bit=False,
        quantization_config=None, offload_state_dict=True, from_tf=False, trust_remote_code=True,
        attn_implementation="eager", _fast_init=True, mirror="x", tp_plan=None, code_revision="v",
    )  # fmt: skip
    same(model, llama[1])
    assert "trust_remote_code" in caplog.text


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
def test_attention_implementation(llama, kind):
    model = load(llama[0], attn_implementation=kind)
    assert model.config._attn_implementation == kind
    same(model, llama[1])


def test_quantised_checkpoint(llama, tmp_path):
    folder = copy_of(llama[0], tmp_path / "q")
    edit_config(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(UnsupportedArgumentError, match="gptq"):
        load(folder)


def test_config_argument(llama, tmp_path):
    """An object is copied and its fields are final; a path is read."""
    config = transformers.AutoConfig.from_pretrained(llama[0])
    config.use_cache = False
    before = config.to_dict()
    model = load(llama[0], config=config)
    same(model, llama[1])
    assert model.config is not config and config.to_dict() == before
    assert model.config.use_cache is False
    other = copy_of(llama[0], tmp_path / "other")
    edit_config(other, rms_norm_eps=0.5)
    for cls in (AutoModelForCausalLM, LlamaForCausalLM):
        model = cls.from_pretrained(llama[0], config=str(other), use_cache=False)
        assert model.config.rms_norm_eps == 0.5 and not model.config.use_cache
        with pytest.raises(TypeError, match="use_cache"):
            cls.from_pretrained(llama[0], config=config, use_cache=False)


def test_config_overrides(llama):
    for cls in (AutoModelForCausalLM, LlamaForCausalLM):
        model = cls.from_pretrained(llama[0], output_hidden_states=True, use_cache=False)
        assert model.config.output_hidden_states and not model.config.use_cache
        output = model(paddle.to_tensor([[5, 6]]))
        assert len(output.hidden_states) == 3 and output.past_key_values is None
        with pytest.raises(TypeError, match="no_such_argument"):
            cls.from_pretrained(llama[0], no_such_argument=1)
    model = AutoModelForSequenceClassification.from_pretrained(
        llama[0], num_labels=5, problem_type="multi_label_classification"
    )
    assert model.score.weight.shape == [5, 32] and len(model.config.id2label) == 5


def test_model_arguments(bert):
    """Keywords of the class's own constructor."""
    model = AutoModel.from_pretrained(bert[0], add_pooling_layer=False)
    assert model.pooler is None
    theirs = transformers.AutoModel.from_pretrained(bert[0], add_pooling_layer=False)
    same(model, theirs)


def test_state_dict(llama):
    config = transformers.AutoConfig.from_pretrained(llama[0])
    weights = load(llama[0]).state_dict()
    for name in ("model.norm.weight", "lm_head.weight"):
        weights[name] = paddle.to_tensor(weights[name].numpy() * 2)
    model = LlamaForCausalLM.from_pretrained(None, config=config, state_dict=weights)
    np.testing.assert_array_equal(model.lm_head.weight.numpy(), weights["lm_head.weight"].numpy())
    np.testing.assert_allclose(scores(model), 4 * scores(llama[1]), rtol=1e-3, atol=1e-3)
    with pytest.raises(
        ValueError, match="`state_dict` cannot be passed together with a model name"
    ):
        LlamaForCausalLM.from_pretrained(llama[0], state_dict=weights)


def test_key_mapping(llama, tmp_path):
    folder = copy_of(llama[0], tmp_path / "renamed")
    path = folder / "model.safetensors"
    renamed = {f"net.{k}".replace("mlp", "ffn"): v for k, v in load_file(path).items()}
    save_file(renamed, path, {"format": "pt"})
    mapping = {r"^net\.": "", r"\.ffn\.": ".mlp."}
    model, info = load(folder, key_mapping=mapping, output_loading_info=True)
    assert not any(info.values())
    same(model, llama[1])
    with pytest.raises(WeightMismatchError, match="none of its"):
        load(folder)


def test_generation_config(llama, tmp_path):
    """From its file, from config.json of older checkpoints, or from the call."""
    folder = copy_of(llama[0], tmp_path / "g")
    settings = transformers.GenerationConfig(do_sample=True, top_k=7, eos_token_id=[2, 5])
    settings.save_pretrained(folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained
    assert load(folder).generation_config.to_dict() == theirs(folder).generation_config.to_dict()
    (folder / "generation_config.json").unlink()
    edit_config(folder, temperature=0.5, do_sample=True, max_length=33, num_beams=2)
    ours = load(folder).generation_config
    assert ours.to_dict() == theirs(folder).generation_config.to_dict()
    assert (ours.temperature, ours.max_length) == (0.5, 33)
    model = load(folder, generation_config=settings)
    assert model.generation_config.top_k == 7 and model.generation_config is not settings


# What fits and what does not


def info_of(loader, folder, **kwargs):
    """The sets that output_loading_info gives, shapes as plain tuples."""
    _, info = loader(folder, output_loading_info=True, **kwargs)
    mismatched = {(n, tuple(a), tuple(b)) for n, a, b in info.pop("mismatched_keys")}
    return {**{k: set(v) for k, v in info.items()}, "mismatched_keys": mismatched}


def both_infos(auto, folder, **kwargs):
    import hfpaddle.modeling.auto as ours

    got = info_of(getattr(ours, auto).from_pretrained, folder, **kwargs)
    want = info_of(getattr(transformers, auto).from_pretrained, folder, **kwargs)
    assert got == want
    return got


def damage(folder, change):
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, {"format": "pt"})
    return folder


CHANGES = {
    "nothing": lambda w: None,
    "missing": lambda w: (w.pop("model.norm.weight"), w.pop("model.layers.1.mlp.up_proj.weight")),
    "unexpected": lambda w: w.update({"extra": torch.ones(2), "model.layers.7.x": torch.ones(3)}),
    "rotary": lambda w: w.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}),
    "headless": lambda w: w.pop("lm_head.weight"),
    "bare": lambda w: [w.update({k.removeprefix("model."): w.pop(k)}) for k in list(w)],
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("auto", ["AutoModelForCausalLM", "AutoModel"])
def test_loading_info(llama, tmp_path, auto, change):
    folder = damage(copy_of(llama[0], tmp_path / "x"), CHANGES[change])
    both_infos(auto, folder)


@pytest.mark.parametrize("head", ["SequenceClassification", "TokenClassification"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "bert"])
def test_new_head(request, caplog, family, head):
    """A head that the checkpoint lacks is new, reported, and said."""
    folder, _ = request.getfixturevalue(family)
    info = both_infos(f"AutoModelFor{head}", folder)
    assert info["missing_keys"]
    assert "MISSING" in caplog.text and "newly initialized" in caplog.text


def test_question_answering_prefix(llama):
    """Llama's head for it names the backbone differently: nothing fits, upstream warns only."""
    import hfpaddle.modeling.auto as ours

    with pytest.raises(WeightMismatchError, match="none of its"):
        ours.AutoModelForQuestionAnswering.from_pretrained(llama[0])


def test_mismatched_sizes(llama, tmp_path, caplog):
    folder = damage(
        copy_of(llama[0], tmp_path / "x"),
        lambda w: w.update(
            {"lm_head.weight": torch.ones(7, 32), "model.norm.weight": torch.ones(3)}
        ),
    )
    for cls in (transformers.AutoModelForCausalLM, AutoModelForCausalLM):
        with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
            cls.from_pretrained(folder)
    with pytest.raises(
        WeightMismatchError, match=r"lm_head.weight: checkpoint \(7, 32\), model \(99"
    ):
        load(folder)
    both_infos("AutoModelForCausalLM", folder, ignore_mismatched_sizes=True)
    assert "Reinit due to size mismatch" in caplog.text
    model = load(folder, ignore_mismatched_sizes=True)
    assert model.lm_head.weight.shape == [99, 32] and model.model.norm.weight.shape == [32]
    assert 0.01 < float(model.lm_head.weight.std()) < 0.03
    np.testing.assert_array_equal(model.model.norm.weight.numpy(), 1.0)
    wider = AutoModelForSequenceClassification.from_pretrained(
        llama[0], num_labels=4, ignore_mismatched_sizes=True
    )
    assert wider.score.weight.shape == [4, 32]


TIES = {
    "source": lambda w: None,
    "target": lambda w: w.update({"lm_head.weight": w.pop("model.embed_tokens.weight")}),
    "equal": lambda w: w.update({"lm_head.weight": w["model.embed_tokens.weight"].clone()}),
    "different": lambda w: w.update({"lm_head.weight": w["model.embed_tokens.weight"] * 2}),
    "neither": lambda w: w.pop("model.embed_tokens.weight"),
}


@pytest.mark.parametrize("names", TIES)
def test_tied_names(tied, tmp_path, names):
    """Whichever name the checkpoint has; two different tensors are not tied, as upstream."""
    folder = damage(copy_of(tied[0], tmp_path / "x"), TIES[names])
    both_infos("AutoModelForCausalLM", folder)
    ours, theirs = load(folder), transformers.AutoModelForCausalLM.from_pretrained(folder)
    shared = ours.lm_head.weight is ours.model.embed_tokens.weight
    assert shared is (names != "different")
    assert shared is (theirs.lm_head.weight is theirs.model.embed_tokens.weight)
    if names == "neither":
        return
    same(ours, theirs)
    ours.save_pretrained(tmp_path / "saved")
    assert set(load_file(tmp_path / "saved" / "model.safetensors")) == set(theirs.state_dict()) - (
        {"lm_head.weight"} if shared else set()
    )
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    same(load(tmp_path / "saved"), again)
    np.testing.assert_array_equal(scores(again), scores(theirs))


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_backbone_and_head(request, tmp_path, family):
    """A head model reads a backbone's checkpoint, and the other way round."""
    folder, theirs = request.getfixturevalue(family)
    transformers.AutoModel.from_pretrained(folder).save_pretrained(tmp_path)
    auto = "AutoModelForCausalLM" if family == "llama" else "AutoModelForMaskedLM"
    both_infos(auto, tmp_path)
    both_infos("AutoModel", folder)
    same(AutoModel.from_pretrained(folder), theirs.base_model)


# Bad input


def overwrite(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def long_header(folder):
    path = folder / "model.safetensors"
    path.write_bytes((1 << 40).to_bytes(8, "little") + path.read_bytes()[8:])


class Malicious:
    def __reduce__(self):
        return print, ("this must never run",)


def malicious(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Malicious()}, folder / "pytorch_model.bin")


def absent_shard(folder):
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def wrong_index(folder):
    (folder / "model.safetensors").rename(folder / "part.safetensors")
    names = {name: "part.safetensors" for name in load_file(folder / "part.safetensors")}
    index = {"weight_map": {**names, "model.nothing": "part.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def config_text(text, error, said):
    return lambda folder: (folder / "config.json").write_text(text), error, said


def config_field(error, said, **fields):
    return lambda folder: edit_config(folder, **fields), error, said


def no_files(folder):
    for path in folder.iterdir():
        path.unlink()


BAD = {
    "cut": (cut, CheckpointError, "model.safetensors"),
    "long header": (long_header, CheckpointError, "header"),
    "empty file": (overwrite("model.safetensors", b""), CheckpointError, "empty"),
    "pickle": (malicious, UnsafeCheckpointError, "print"),
    "absent shard": (absent_shard, MissingFileError, "model-00001-of-00002.safetensors"),
    "wrong index": (wrong_index, CheckpointError, "model.nothing"),
    "no text": (overwrite("config.json", b"\xff\xfe\x00"), CheckpointError, "config.json"),
    "no JSON": config_text("{oops", CheckpointError, "JSON"),
    "empty config": config_text("", CheckpointError, "JSON"),
    "deep config": config_text("[" * 99999, CheckpointError, "JSON"),
    "list": config_text("[1, 2]", CheckpointError, "JSON object"),
    "number": config_text("3", CheckpointError, "JSON object"),
    "no type": config_text('{"hidden_size": 4}', UnsupportedModelError, "model_type"),
    "list type": config_text('{"model_type": [1]}', UnsupportedModelError, "model_type"),
    "unknown": config_field(UnsupportedModelError, "nearest: 'llama'", model_type="lama"),
    "not here": config_field(UnsupportedModelError, "wav2vec2", model_type="wav2vec2"),
    "bad field": config_field(UnsupportedConfigError, "hidden_size", hidden_size="many"),
    "bad heads": config_field(UnsupportedConfigError, "heads", num_attention_heads=5),
    "bad generation": (
        overwrite("generation_config.json", b"[]"), CheckpointError, "generation_config"
    ),
    "empty folder": (no_files, MissingFileError, "config.json"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(llama, tmp_path, capfd, case):
    spoil, error, said = BAD[case]
    folder = copy_of(llama[0], tmp_path / "bad")
    spoil(folder)
    before = state(folder)
    with pytest.raises(error, match=said) as raised:
        load(folder)
    assert isinstance(raised.value, HfpaddleError)
    assert "this must never run" not in capfd.readouterr().out
    assert state(folder) == before


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere", "a/b/c/d"])
def test_no_such_folder(name):
    for cls in (AutoModelForCausalLM, LlamaForCausalLM):
        with pytest.raises(MissingFileError, match="does not exist"):
            cls.from_pretrained(name)


def test_wrong_class(llama, bert):
    with pytest.raises(
        UnsupportedModelError, match="AutoModelForMaskedLM has no class for .*llama"
    ):
        AutoModelForMaskedLM.from_pretrained(llama[0])
    config = transformers.BertConfig(**TINY)
    with pytest.raises(UnsupportedModelError, match="takes a LlamaConfig.*BertConfig"):
        LlamaForCausalLM.from_pretrained(llama[0], config=config)
    with pytest.raises(WeightMismatchError, match="none of its 21 tensors fits BertForMaskedLM"):
        BertForMaskedLM.from_pretrained(llama[0])
    with pytest.raises(OSError, match="designed to be instantiated"):
        AutoModelForCausalLM()
    with pytest.raises(TypeError, match="config"):
        LlamaModel("not a config")


def test_positional_model_arguments_and_batch(llama):
    """The first batch after loading needs nothing else: eval mode, no gradient surprises."""
    model = load(llama[0])
    assert not model.training and all(not layer.training for layer in model.sublayers())
    ids, _ = batch()
    loss = model(input_ids=paddle.to_tensor(ids), labels=paddle.to_tensor(ids)).loss
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())


# GGUF


def write_gguf(path, quantised=True):
    """A tiny llama as llama.cpp would write it, with random weights, in Q8_0 where rows allow."""
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    sizes = {"block_count": 2, "embedding_length": 32, "feed_forward_length": 64}
    sizes |= {"context_length": 64, "attention.head_count": 4, "attention.head_count_kv": 2}
    for key, value in {**sizes, "vocab_size": 99, "rope.dimension_count": 8}.items():
        writer.add_uint32(f"llama.{key}", value)
    writer.add_float32("llama.rope.freq_base", 10000.0)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-6)
    writer.add_token_list([f"t{i}" for i in range(99)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    block = {"attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32), "attn_output": (32, 32)}
    block |= {"ffn_gate": (64, 32), "ffn_up": (64, 32), "ffn_down": (32, 64)}
    block |= {"attn_norm": (32,), "ffn_norm": (32,)}
    shapes = {"token_embd": (99, 32), "output": (99, 32), "output_norm": (32,)}
    shapes |= {f"blk.{i}.{name}": shape for i in range(2) for name, shape in block.items()}
    kind = gguf.GGMLQuantizationType.Q8_0
    for name, shape in shapes.items():
        values = rng.standard_normal(shape, dtype=np.float32) * shape[-1] ** -0.5
        values = 1 + values if len(shape) == 1 else values
        packed = quantised and len(shape) == 2
        data = gguf.quantize(values, kind) if packed else values
        writer.add_tensor(f"{name}.weight", data, raw_dtype=kind if packed else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("quantised", [True, False])
def test_gguf(tmp_path, quantised):
    """Logits and greedy tokens as upstream; a name inside the folder, or a path."""
    write_gguf(tmp_path / "tiny.gguf", quantised)
    before = state(tmp_path)
    want = transformers.AutoModelForCausalLM.from_pretrained
    theirs = want(tmp_path, gguf_file="tiny.gguf", dtype=torch.float32)
    ids = batch()[0][1:]
    tokens = theirs.generate(torch.tensor(ids), max_new_tokens=12, do_sample=False).tolist()
    for cls in (AutoModelForCausalLM, LlamaForCausalLM):
        ours = cls.from_pretrained(tmp_path, gguf_file="tiny.gguf", dtype="float32")
        same(ours, theirs)
        got = ours.generate(paddle.to_tensor(ids), max_new_tokens=12, do_sample=False)
        assert got.tolist() == tokens
    (tmp_path / "sub").mkdir()
    shutil.move(tmp_path / "tiny.gguf", tmp_path / "sub" / "tiny.gguf")
    same(load(tmp_path, gguf_file="tiny.gguf", subfolder="sub", dtype="float32"), theirs)
    shutil.move(tmp_path / "sub" / "tiny.gguf", tmp_path / "tiny.gguf")
    ours.save_pretrained(tmp_path / "saved")
    shutil.rmtree(tmp_path / "sub")
    same(want(tmp_path / "saved"), theirs, 1e-6 if quantised else 0.0)
    shutil.rmtree(tmp_path / "saved")
    assert state(tmp_path).keys() == before.keys()
    default, upstream = load(tmp_path, gguf_file="tiny.gguf"), want(tmp_path, gguf_file="tiny.gguf")
    assert default.dtype.name.lower() == str(upstream.dtype).removeprefix("torch.")
    with pytest.raises(MissingFileError, match=r"has no file 'other.gguf'; it has \['tiny.gguf'"):
        load(tmp_path, gguf_file="other.gguf")
    (tmp_path / "tiny.gguf").write_bytes((tmp_path / "tiny.gguf").read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="tiny.gguf"):
        load(tmp_path, gguf_file="tiny.gguf")


# Memory

BIG = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 4, "vocab_size": 8192}
MEASURE = """
import sys
import paddle
from hfpaddle.transformers import AutoModelForCausalLM

def memory(key):
    lines = dict(line.split(":") for line in open("/proc/self/status"))
    return int(lines[key].split()[0]) * 1024

load = AutoModelForCausalLM.from_pretrained
load(sys.argv[1])(paddle.to_tensor([[5, 6]]))  # what first use costs is no weight
open("/proc/self/clear_refs", "w").write("5")
baseline = memory("VmRSS")
model = load(sys.argv[2], **eval(sys.argv[3]))
if sys.argv[4] == "use":
    with paddle.no_grad():
        model(paddle.to_tensor([[5]]), use_cache=False)
print(memory("VmHWM") - baseline)
"""


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A checkpoint of about 300 MB, and its size."""
    folder = tmp_path_factory.mktemp("big")
    config = transformers.LlamaConfig(**{**TINY, **BIG, "num_attention_heads": 8})
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in transformers.LlamaForCausalLM(config).state_dict().items()}
    block = torch.randn(1 << 20) * 0.02
    weights = {
        name: block.repeat(-(-shape.numel() // block.numel()))[: shape.numel()].reshape(shape)
        for name, shape in shapes.items()
    }
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config.dtype = "float32"
    config.save_pretrained(folder)
    yield folder, (folder / "model.safetensors").stat().st_size
    shutil.rmtree(folder)


@pytest.mark.parametrize("arguments", [{}, {"dtype": "bfloat16"}], ids=str)
def test_peak_memory(llama, big, arguments):
    """Loading takes what the checkpoint takes, and using it no second copy."""
    folder, size = big
    assert size > 250e6
    for use in ("load", "use"):
        peak = int(run(MEASURE, llama[0], folder, arguments, use).stdout.split()[-1])
        assert peak <= 1.15 * size + 20e6, f"{use}: {peak / size:.2f} of the checkpoint"
