"""Where a run reports: event files, and the calls that wandb and mlflow get (of modules made up
here, for neither is needed to test what we send).
"""

from __future__ import annotations

import importlib.machinery
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

import hfpaddle.transformers as hf
from hfpaddle.core.errors import MissingDependencyError
from hfpaddle.transformers.integrations import TensorBoardCallback, WandbCallback, rewrite_logs
from hfpaddle.transformers.integrations.integration_utils import (
    CodeCarbonCallback,
    MLflowCallback,
)
from hfpaddle.transformers.trainer_test import Rows, make  # noqa: F401

pytestmark = pytest.mark.unit


def events_in(folder: Path) -> list[Event]:
    """Read the event files below ``folder``: each record is a length, its sum, bytes, their sum."""
    found = []
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            found.append(Event.FromString(data[at + 12 : at + 12 + length]))
            at += 16 + length
    return found


def scalars_in(folder: Path) -> list[tuple]:
    values = [(e.step, v) for e in events_in(folder) for v in e.summary.value]
    return [(step, v.tag, v.simple_value) for step, v in values if v.HasField("simple_value")]


def expected(trainer) -> list[tuple]:
    return [
        (entry["step"], tag, value)
        for entry in trainer.state.log_history
        for tag, value in rewrite_logs({k: v for k, v in entry.items() if k != "step"}).items()
    ]


@pytest.mark.parametrize("where", ["variable", "argument", "default"])
def test_tensorboard(make, monkeypatch, tmp_path, where):  # noqa: F811
    settings = {"report_to": "tensorboard", "eval_strategy": "epoch", "eval_dataset": Rows(4)}
    folder = tmp_path / "logs"
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    if where == "variable":
        monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(folder))
    elif where == "argument":
        settings["logging_dir"] = str(folder)
    else:
        folder = tmp_path / "out" / "runs"
    trainer = make(**settings)
    trainer.train()
    got, want = scalars_in(folder), expected(trainer)
    assert [g[:2] for g in got] == [w[:2] for w in want]
    assert [g[2] for g in got] == pytest.approx([w[2] for w in want], rel=1e-6)
    assert {"train/loss", "train/grad_norm", "eval/loss"} <= {tag for _, tag, _ in got}
    texts = [v for e in events_in(folder) for v in e.summary.value if v.HasField("tensor")]
    said = {v.tag.split("/")[0]: v.tensor.string_val[0].decode() for v in texts}
    assert '"learning_rate"' in said["args"] and '"llama"' in said["model_config"]


def test_tensorboard_callback_can_be_taken_away(make, tmp_path):  # noqa: F811
    trainer = make(report_to=["tensorboard"], logging_dir=str(tmp_path / "logs"))
    assert isinstance(trainer.pop_callback(TensorBoardCallback), TensorBoardCallback)
    trainer.train()
    assert not (tmp_path / "logs").exists()


def test_without_tensorboard_the_remedy_is_told(make, monkeypatch):  # noqa: F811
    real = importlib.util.find_spec
    hidden = ("tensorboard", "tensorboardX")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name in hidden else real(name, *a)
    )
    with pytest.raises(MissingDependencyError, match="pip install tensorboard"):
        make(report_to="tensorboard")
    with pytest.raises(MissingDependencyError, match="pip install codecarbon"):
        CodeCarbonCallback()


def test_all_none_and_unknown(make):  # noqa: F811
    def kinds(**kwargs):
        return [type(c).__name__ for c in make(**kwargs).callback_handler.callbacks]

    assert "TensorBoardCallback" not in kinds() + kinds(report_to="none") + kinds(report_to=[])
    assert "TensorBoardCallback" in kinds(report_to="all")
    with pytest.raises(ValueError, match="paper is not supported, only .*tensorboard"):
        make(report_to="paper")
    with pytest.raises(RuntimeError, match="pip install comet-ml"):
        make(report_to="comet_ml")


class Recording(types.ModuleType):
    """A module any name of which is a function that notes its calls."""

    def __init__(self, name, calls):
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        self.__dict__["calls"] = calls

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))


def installed(monkeypatch, name, calls, *submodules, **attributes):
    for full in (name, *(f"{name}.{s}" for s in submodules)):
        monkeypatch.setitem(sys.modules, full, Recording(full, calls))
    module = sys.modules[name]
    for key, value in attributes.items():
        setattr(module, key, value)
    return module


class Run:
    """A run of wandb."""

    def __init__(self, calls):
        self.id, self.name, self.url, self.summary, self.calls = "1", "named", "", {}, calls

    def _label(self, code):
        self.calls.append(("label", (code,), {}))

    def log_artifact(self, artifact, aliases):
        self.calls.append(("artifact", (artifact.name, sorted(artifact.files)), {}))


class Config(dict):
    def update(self, values, allow_val_change):
        super().update(values)


class Artifact:
    def __init__(self, name, type, metadata):
        self.name, self.type, self.metadata, self.files = name, type, metadata, set()

    def new_file(self, name, mode):
        self.files.add(name)
        return open("/dev/null", mode)

    def add_dir(self, path):
        self.files |= {p.name for p in Path(path).iterdir()}


@pytest.mark.parametrize("uploads", ["false", "end"])
def test_wandb(make, monkeypatch, uploads):  # noqa: F811
    calls: list = []
    run = Run(calls)
    module = installed(
        monkeypatch, "wandb", calls, "sdk", "sdk.lib", "sdk.lib.config_util",
        run=run, config=Config(), Artifact=Artifact, summary={"eval/loss": 1.0},
    )  # fmt: skip
    sys.modules["wandb.sdk.lib.config_util"].ConfigError = ValueError
    monkeypatch.setenv("WANDB_LOG_MODEL", uploads)
    trainer = make(report_to="wandb", run_name="mine", eval_strategy="epoch", eval_dataset=Rows(4))
    trainer.train()
    assert trainer.pop_callback(WandbCallback) is not None
    logged = [args[0] for name, args, _ in calls if name == "log"]
    losses = [e["loss"] for e in trainer.state.log_history if "loss" in e]
    assert [e["train/loss"] for e in logged if "train/loss" in e] == losses
    assert [e["train/global_step"] for e in logged] == [1, 2, 3, 3, 3]
    assert run.summary["train_loss"] > 0 and module.config["run_name"] == "mine"
    assert module.config["model_type"] == "llama"
    assert module.config["model/num_parameters"] == trainer.model.num_parameters()
    sent = [args[1] for name, args, _ in calls if name == "artifact"]
    assert len(sent) == (2 if uploads == "end" else 0)
    if sent:
        assert {"model.safetensors", "config.json", "model_architecture.txt"} <= set(sent[-1])


def test_mlflow(make, monkeypatch):  # noqa: F811
    calls: list = []
    module = installed(monkeypatch, "mlflow", calls, "utils", "utils.validation")
    validation = sys.modules["mlflow.utils.validation"]
    validation.MAX_PARAM_VAL_LENGTH, validation.MAX_PARAMS_TAGS_PER_BATCH = 500, 100
    module.utils, module.utils.validation = sys.modules["mlflow.utils"], validation
    module.__version__ = "3.0.0"
    run = types.SimpleNamespace(info=types.SimpleNamespace(run_id="1"))
    module.active_run = lambda: run if any(c[0] == "start_run" for c in calls) else None
    trainer = make(report_to="mlflow", run_name="mine")
    trainer.train()
    started = [kwargs for name, _, kwargs in calls if name == "start_run"]
    assert started == [{"run_name": "mine", "nested": False}]
    parameters = [args[0] for name, args, _ in calls if name == "log_params"]
    assert {k: v for part in parameters for k, v in part.items()}["max_grad_norm"] == 1.0
    logged = [kwargs for name, _, kwargs in calls if name == "log_metrics"]
    losses = [e["loss"] for e in trainer.state.log_history if "loss" in e]
    assert [e["metrics"]["loss"] for e in logged if "loss" in e["metrics"]] == losses
    assert calls[-1][0] == "end_run"
    callback = trainer.pop_callback(MLflowCallback)
    logs = {
        "array": np.float32(2.0),
        "word": "x",
        "tensor": hf.default_data_collator([{"a": 1}])["a"],
    }
    callback.on_log(trainer.args, trainer.state, trainer.control, logs)
    assert calls[-1][2]["metrics"] == {"array": 2.0, "tensor": 1}
