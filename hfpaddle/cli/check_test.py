"""`hfpaddle check`: exit codes, the table, JSON, and agreement with `hfpaddle run`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hfpaddle.cli.main import main

pytestmark = pytest.mark.unit

GOOD = "import torch\nx = torch.zeros(2, dtype=torch.float32)\n"
BAD = "import sys\nimport torch\nx = torch.float17\nif len(sys.argv) > 1:\n    torch.nowhere()\n"


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "script.py"
        path.write_text(text)
        return str(path)

    return write


def test_a_script_that_would_run(write, capsys):
    path = write(GOOD)
    assert main(["check", path, "--lr", "1e-3", "--json"]) == 0
    said = capsys.readouterr().out
    assert f"{path}:2" in said and "torch.zeros(dtype)" in said
    assert said.splitlines()[-1] == "script.py would run: 3 works."


def test_a_script_that_would_fail(write, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    path = write(BAD)
    assert main(["check", path, "--problems"]) == 1
    said = capsys.readouterr().out
    assert f"{path}:3" in said and "will fail" in said and "(nearest: 'float16')" in said
    assert "may fail" in said and "if line 4 holds" in said
    assert said.splitlines()[-1] == "script.py would fail: 1 works, 1 may fail, 1 will fail."
    assert len(said.splitlines()) == 3


def test_strict_counts_what_may_fail(write):
    path = write(BAD.replace("torch.float17", "torch.float16"))
    assert main(["check", path]) == 0
    assert main(["check", "--strict", path]) == 1
    assert main(["check", path, "--strict"]) == 1


def test_json(write, capsys):
    assert main(["check", write(BAD), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["would_run"] is False and told["counts"]["will fail"] == 1
    row = next(row for row in told["names"] if row["name"] == "torch.float17")
    assert row["verdict"] == "will fail" and row["line"] == 3 and "float16" in row["how"]


@pytest.mark.parametrize(
    ("text", "message"), [(None, "does not exist"), ("def (:", "script.py:1: syntax error")]
)
def test_no_script(write, tmp_path, capsys, text, message):
    path = write(text) if text else str(tmp_path / "absent.py")
    assert main(["check", path]) == 2
    said = capsys.readouterr()
    assert message in said.err and not said.out


# Each is a whole script. `hfpaddle run` and `hfpaddle check` must agree on whether it raises.
SNIPPETS = """
import torch; torch.zeros(2).sort()
import torch; torch.zeros(2).to_mkldnn()
import torch; torch.float17
import torch; torch.nn.GELU(approximate="tanh")
import torch; torch.nn.GELU(approximat="tanh")
import torch; torch.nn.Linear(2, 2, True, None, None, None)
import torch; torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=1e-3, fused=True)
import torch; torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], learning_rate=1e-3)
import torch; torch.onnx.export(None, None, "f")
import torch; torch.jit.freeze
import torch; torch.nn.functional.no_such
import torch as t; t.compile(t.nn.Linear(1, 1), mode="x").train().register_backward_hook(print)
import torch; torch.utils.data.DataLoader([1, 2], batch_size=2, pin_memory=False)
import torch; torch.utils.data.DataLoader([1, 2], batchsize=2)
import torch.distributed.fsdp
from torch.utils.data import DataLoader, TensorDataset, random_split
from transformers import NoSuchName
from transformers import CTRLLMHeadModel
from transformers import CTRLLMHeadModel as W; W.from_pretrained("x")
from transformers import CTRLLMHeadModel as W; isinstance(1, W)
from transformers.models.llama.modeling_llama import LlamaForCausalLM
from transformers.no_such_module import x
from transformers.utils import check_min_version, logging; logging.set_verbosity_error()
from transformers import TrainingArguments as A; A("out", deepspeed="ds.json", report_to="none")
from transformers import TrainingArguments as A; A("out", torch_compile=True, report_to="none")
from transformers import TrainingArguments as A; A("out", no_such=1, report_to="none")
from transformers import TrainingArguments as A; A("out", evaluation_strategy="no", use_cpu=True)
from transformers import Trainer; Trainer(modell=None)
from transformers import Trainer; Trainer.no_such_method
from transformers import pipeline; pipeline("mask-generation")
from transformers import get_scheduler; get_scheduler("linear", None, no_such=1)
from transformers import DataCollatorWithPadding as D; D(None, pad_to_multiple=8)
from accelerate import Accelerator; Accelerator(gradient_accumulation_steps=2).sync_gradients
from accelerate import Accelerator; Accelerator(mixed_precision="bf16")
from accelerate import Accelerator; Accelerator().no_such_method()
from accelerate import FullyShardedDataParallelPlugin; FullyShardedDataParallelPlugin()
from accelerate.utils import set_seed, no_such_name
from accelerate.utils import set_seed; set_seed(1, device_specific=False)
""".strip().splitlines()

RUNNER = """
import json, sys, warnings
warnings.simplefilter("ignore")
import hfpaddle
hfpaddle.install()
from accelerate.state import AcceleratorState
outcomes = []
for snippet in json.load(sys.stdin):
    try:
        exec(snippet, {"__name__": "__main__"})
        outcomes.append("")
    except Exception as error:
        outcomes.append(f"{type(error).__name__}: {error}")
    AcceleratorState._reset_state(reset_partial_state=True)  # each snippet is a process of its own
sys.__stdout__.write("\\n" + json.dumps(outcomes))
"""


def test_check_says_what_run_does(write, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUNNER],
        input=json.dumps(SNIPPETS),
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout.splitlines()[-1])
    disagree = {
        snippet: raised
        for snippet, raised in zip(SNIPPETS, outcomes, strict=True)
        if main(["check", write(snippet)]) != int(bool(raised))
    }
    assert not disagree
    assert min(sum(map(bool, outcomes)), sum(not o for o in outcomes)) >= 12
