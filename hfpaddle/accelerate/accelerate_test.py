"""Accelerator on one device, with Paddle's own loaders and optimizers."""

from __future__ import annotations

import json
import logging
import os
import sys
import types

import numpy as np
import paddle
import pytest

from hfpaddle.accelerate import Accelerator, PartialState, find_executable_batch_size
from hfpaddle.accelerate.data_loader import skip_first_batches
from hfpaddle.accelerate.logging import get_logger
from hfpaddle.accelerate.state import AcceleratorState, GradientState
from hfpaddle.accelerate.utils import (
    DistributedDataParallelKwargs,
    GradientAccumulationPlugin,
    ProjectConfiguration,
    recursively_apply,
    send_to_device,
    set_seed,
    write_basic_config,
)
from hfpaddle.accelerate.utils.tree import load_tree, save_tree
from hfpaddle.core.errors import (
    CheckpointError,
    MissingFeatureError,
    UnsupportedArgumentError,
    WeightMismatchError,
)

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def fresh():
    def reset():
        AcceleratorState._reset_state(True)
        GradientState._reset_state()

    reset()
    yield
    reset()


class Rows(paddle.io.Dataset):
    """Rows with a draw of noise each, so that a wrong random state shows."""

    def __init__(self, count=11, noisy=True):
        rows = np.random.RandomState(0).rand(count, 4).astype("float32")
        self.rows, self.noisy = rows, noisy

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        noise = np.random.rand(4).astype("float32") if self.noisy else 0
        return self.rows[index] + noise


class Loader:
    """Reads in the caller's thread; Paddle's own loader draws from a thread ahead of it."""

    drop_last = False

    def __init__(self, dataset, batch_size):
        self.dataset = dataset
        self.batch_sampler = paddle.io.BatchSampler(dataset, shuffle=True, batch_size=batch_size)

    def __len__(self):
        return len(self.batch_sampler)

    def __iter__(self):
        for indices in self.batch_sampler:
            yield paddle.to_tensor(np.stack([self.dataset[i] for i in indices]))


class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.first, self.drop = paddle.nn.Linear(4, 8), paddle.nn.Dropout(0.3)
        self.last = paddle.nn.Linear(8, 1)

    def forward(self, x):
        return self.last(self.drop(paddle.tanh(self.first(x))))


class Counter:
    def __init__(self):
        self.count = 0

    def state_dict(self):
        return {"count": self.count, 3: (1.5, None, b"x")}

    def load_state_dict(self, state):
        assert state[3] == (1.5, None, b"x")
        self.count = state["count"]


def build(**kwargs):
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    accelerator = Accelerator(gradient_accumulation_steps=2, **kwargs)
    set_seed(5)
    model = Net()
    schedule = paddle.optimizer.lr.StepDecay(0.05, step_size=2)
    optimizer = paddle.optimizer.AdamW(schedule, parameters=model.parameters())
    loader = Loader(Rows(), batch_size=2)
    parts = accelerator.prepare(model, optimizer, loader, schedule)
    counter = Counter()
    accelerator.register_for_checkpointing(counter)
    return accelerator, counter, parts


def train(accelerator, counter, parts, epochs, start=(0, 0), save_at=None, folder=None):
    model, optimizer, loader, schedule = parts
    losses = []
    for epoch in range(start[0], epochs):
        batches = loader
        if epoch == start[0] and start[1]:
            batches = skip_first_batches(loader, start[1])
        for index, batch in enumerate(batches, start=start[1] if epoch == start[0] else 0):
            with accelerator.accumulate(model):
                loss = model(batch).square().mean()
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            counter.count += 1
            losses.append(loss.numpy().tobytes())
            if (epoch, index + 1) == save_at:
                accelerator.save_state(folder)
    weights = {k: v.numpy().tobytes() for k, v in model.state_dict().items()}
    return losses, weights, schedule.get_last_lr(), counter.count


@pytest.mark.parametrize("save_at", [(0, 1), (0, 2), (0, 3), (0, 5), (0, 6), (1, 2), (1, 4)])
def test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit(tmp_path, save_at):
    folder = str(tmp_path / "state")
    whole = train(*build(), epochs=3, save_at=save_at, folder=folder)
    accelerator, counter, parts = build()
    np.random.rand(7)  # as if other things had run before
    accelerator.load_state(folder)
    start = save_at if save_at[1] < 6 else (save_at[0] + 1, 0)
    resumed = train(accelerator, counter, parts, epochs=3, start=start)
    done = save_at[0] * 6 + save_at[1]
    assert resumed[0] == whole[0][done:]
    assert resumed[1:] == whole[1:]


def test_a_second_interruption_resumes_as_well(tmp_path):
    first, second = str(tmp_path / "a"), str(tmp_path / "b")
    whole = train(*build(), epochs=2, save_at=(0, 2), folder=first)
    again = build()
    again[0].load_state(first)
    train(*again, epochs=1, start=(0, 2), save_at=(0, 4), folder=second)
    last = build()
    last[0].load_state(second)
    assert train(*last, epochs=2, start=(0, 4))[1] == whole[1]


def test_a_failed_save_leaves_the_last_state_whole(tmp_path):
    folder = str(tmp_path / "state")
    accelerator, counter, _ = build()
    accelerator.save_state(folder)
    before = {p.name: p.read_bytes() for p in (tmp_path / "state").iterdir()}
    counter.state_dict = lambda: {"bad": object()}
    with pytest.raises(UnsupportedArgumentError, match=r"object at state\['bad'\]"):
        accelerator.save_state(folder)
    with pytest.raises(UnsupportedArgumentError):
        accelerator.save_state(str(tmp_path / "new"))
    assert {p.name: p.read_bytes() for p in (tmp_path / "state").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_a_state_that_does_not_fit_changes_nothing(tmp_path):
    accelerator, counter, parts = build()
    accelerator.save_state(str(tmp_path / "s"))
    AcceleratorState._reset_state(True)
    other = Accelerator()
    wrong = other.prepare(paddle.nn.Linear(2, 2))
    before = wrong.weight.numpy().copy()
    with pytest.raises(RuntimeError, match="custom checkpoints"):
        other.load_state(str(tmp_path / "s"))
    other.register_for_checkpointing(Counter())
    with pytest.raises(WeightMismatchError, match="missing"):
        other.load_state(str(tmp_path / "s"))
    assert (wrong.weight.numpy() == before).all()
    (tmp_path / "s" / "optimizer.bin").write_bytes(b"PK\x03\x04")
    with pytest.raises(CheckpointError, match="written by accelerate on torch"):
        accelerator.load_state(str(tmp_path / "s"))


def test_automatic_names_and_their_limit(tmp_path):
    config = ProjectConfiguration(str(tmp_path), automatic_checkpoint_naming=True, total_limit=2)
    accelerator, counter, _ = build(project_config=config)
    for count in range(3):
        counter.count = count
        accelerator.save_state()
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["checkpoint_1", "checkpoint_2"]
    counter.count = -1
    accelerator.load_state()
    assert counter.count == 2


def test_accumulation_ends_with_the_loader():
    accelerator, _, (model, optimizer, loader, schedule) = build()
    seen = []
    for batch in loader:
        with accelerator.accumulate(model):
            state = accelerator.gradient_state
            seen.append((accelerator.sync_gradients, state.end_of_dataloader, state.remainder))
        assert len(accelerator.gather_for_metrics(batch)) == len(batch)
    flags = [(False, False), (True, False)] * 2 + [(False, False), (True, True)]
    assert seen == [(*pair, 1) for pair in flags]
    assert not accelerator.gradient_state.in_dataloader


def test_skipping_leaves_the_first_batches_out():
    loader = paddle.io.DataLoader(Rows(noisy=False), batch_size=2)
    accelerator = Accelerator()
    prepared = accelerator.prepare(loader)
    every = [b.numpy() for b in prepared]
    for source in (loader, prepared):
        rest = [b.numpy() for b in accelerator.skip_first_batches(source, 4)]
        assert len(rest) == 2 and all((a == b).all() for a, b in zip(rest, every[4:], strict=True))


def test_plugins_and_precisions_that_do_not_work_say_so(caplog):
    for kwargs in ({"deepspeed_plugin": object()}, {"fsdp_plugin": object()}):
        with pytest.raises(MissingFeatureError, match=next(iter(kwargs))):
            Accelerator(**kwargs)
    with pytest.raises(UnsupportedArgumentError, match="fp8"):
        Accelerator(mixed_precision="fp8")
    with pytest.raises(ValueError, match="Unknown mixed_precision"):
        Accelerator(mixed_precision="half")
    with pytest.raises(ValueError, match="only one of"):
        Accelerator(
            gradient_accumulation_steps=2,
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=2),
        )


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_on_the_cpu_is_float32_and_says_so(precision, caplog):
    accelerator = Accelerator(cpu=True, mixed_precision=precision)
    assert "has no effect" in caplog.text and "float32" in caplog.text
    assert accelerator.mixed_precision == precision
    model = accelerator.prepare(paddle.nn.Linear(2, 2))
    with accelerator.autocast():
        assert model(paddle.ones([1, 2])).dtype == paddle.float32


def test_what_cannot_be_done_on_one_device_says_so(tmp_path):
    import hfpaddle.accelerate as accelerate
    from hfpaddle.accelerate import hooks, utils

    accelerator, model = Accelerator(), paddle.nn.Linear(4, 4)
    with pytest.raises(MissingFeatureError, match=r"80 bytes and max_memory"):
        key = "cpu" if accelerator.device.type == "cpu" else 0
        accelerate.infer_auto_device_map(model, max_memory={key: "0.07KB"})
    for name in ("prepare_pippy", "debug_launcher", "disk_offload", "ParallelismConfig"):
        with pytest.raises(MissingFeatureError, match=name):
            getattr(accelerate, name)(model)
    with pytest.raises(UnsupportedArgumentError, match="cpu_offload_with_hook"):
        hooks.AlignDevicesHook("cpu", offload=True)
    for options in ({"device": "meta"}, {"device": "cpu", "dtype": "float16"}):
        with pytest.raises(UnsupportedArgumentError, match="set_module_tensor_to_device"):
            utils.set_module_tensor_to_device(model, "weight", **options)
    with pytest.raises(ValueError, match="named bia"):
        utils.set_module_tensor_to_device(model, "bia", "cpu")
    with pytest.raises(MissingFeatureError, match="no trace"):
        with accelerator.profile(utils.ProfileKwargs(output_trace_dir=str(tmp_path))):
            pass
    with accelerator.profile() as profiler:
        profiler.step()
    with pytest.raises(MissingFeatureError, match="key_averages"):
        profiler.key_averages()
    with pytest.raises(MissingFeatureError, match="num_processes=2"):
        accelerate.notebook_launcher(print, num_processes=2)


def test_upstream_s_files_without_one_here_import():
    from hfpaddle.accelerate.local_sgd import LocalSGD
    from hfpaddle.accelerate.utils.deepspeed import DummyOptim
    from hfpaddle.accelerate.utils.imports import is_fp8_available
    from hfpaddle.accelerate.utils.versions import is_torch_version

    assert is_torch_version(">", "2.0") and not is_fp8_available()
    with LocalSGD(accelerator=None, model=None, local_sgd_steps=2) as local:
        local.step()
    assert local.num_steps == 1
    with pytest.raises(MissingFeatureError, match="DummyOptim"):
        DummyOptim([])
    with pytest.raises(ImportError):
        from hfpaddle.accelerate.utils.versions import is_torch_verzion  # noqa: F401 # pyright: ignore


def test_more_processes_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MissingFeatureError, match="WORLD_SIZE=2"):
        PartialState()


def test_state_and_printing(capsys):
    accelerator = Accelerator(kwargs_handlers=[DistributedDataParallelKwargs()])
    assert accelerator.is_main_process and accelerator.is_last_process
    assert accelerator.num_processes == 1 and accelerator.distributed_type == "NO"
    accelerator.print("once")
    assert accelerator.on_main_process(lambda: 3)() == 3
    with accelerator.split_between_processes([1, 2]) as part, accelerator.main_process_first():
        assert part == [1, 2]
    assert capsys.readouterr().out == "once\n"
    assert "Num processes: 1" in repr(accelerator.state)


def test_loggers_need_a_state(caplog):
    logger = get_logger("some.script", log_level="INFO")
    with pytest.raises(RuntimeError, match="initialize the accelerate state"):
        logger.info("too early")
    PartialState()
    with caplog.at_level(logging.INFO):
        logger.info("ready", main_process_only=False)
    assert "[RANK 0] ready" in caplog.text


def test_trackers(monkeypatch, tmp_path):
    calls = []

    class Writer:
        def __init__(self, folder):
            calls.append(("open", os.path.relpath(folder, tmp_path)))

        def __getattr__(self, name):
            return lambda *args, **kwargs: calls.append((name, args, kwargs))

    fake = types.ModuleType("tensorboardX")
    fake.SummaryWriter = Writer  # type: ignore[attr-defined]
    fake.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "tensorboardX", fake)
    accelerator = Accelerator(log_with="tensorboard", project_dir=str(tmp_path))
    accelerator.init_trackers("run", config={"lr": 0.1})
    accelerator.log({"loss": paddle.to_tensor(0.5), "note": "x"}, step=3)
    accelerator.end_training()
    assert calls[0] == ("open", "run")
    assert ("add_scalar", ("loss", 0.5), {"global_step": 3}) in calls
    assert ("add_text", ("note", "x"), {"global_step": 3}) in calls
    assert calls[-1][0] == "close"
    with pytest.raises(ValueError, match="tensorbord"):
        Accelerator(log_with="tensorbord")
    with pytest.raises(MissingFeatureError, match="mlflow"):
        Accelerator(log_with="mlflow")


def test_batches_get_smaller_until_they_fit():
    tried = []

    @find_executable_batch_size(starting_batch_size=10)
    def train_with(batch_size, extra):
        tried.append(batch_size)
        if batch_size > 8:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return batch_size + extra

    assert train_with(1) == 9 and tried == [10, 9, 8]
    with pytest.raises(TypeError, match="first argument"):
        train_with(4, 1)


def test_nested_values_keep_their_types():
    PartialState()
    from collections import namedtuple

    pair = namedtuple("pair", "a b")
    value = {"x": [pair(paddle.ones([2]), 1)], "y": (paddle.zeros([1]),)}
    out = recursively_apply(lambda t: t + 1, value)
    assert type(out["x"][0]) is pair and out["x"][0].a.tolist() == [2, 2]
    moved = send_to_device(value, PartialState().device)
    assert type(moved["x"][0]) is pair and moved["y"][0].tolist() == [0]


def test_trees_are_exact(tmp_path):
    value = {
        1: [np.arange(3, dtype="uint32"), float("inf"), -0.0],
        ("a", 2): {"t": paddle.ones([2], "bfloat16"), "s": {1}, "u": "\u00e9", "big": 2**70},
    }
    save_tree(value, tmp_path / "t")
    back = load_tree(tmp_path / "t")
    assert back[1][0].dtype == np.uint32 and back[1][0].tolist() == [0, 1, 2]
    assert back[1][1] == float("inf") and str(back[1][2]) == "-0.0"
    inner = back["a", 2]
    assert inner["t"].dtype == paddle.bfloat16 and inner["big"] == 2**70 and inner["s"] == {1}


def test_names_of_upstream_import_and_raise_when_used():
    from hfpaddle.accelerate import FullyShardedDataParallelPlugin
    from hfpaddle.accelerate.utils import DummyOptim, is_deepspeed_available

    for name in (FullyShardedDataParallelPlugin, DummyOptim):
        with pytest.raises(MissingFeatureError, match="one device"):
            name()
    assert is_deepspeed_available() is False
    with pytest.raises(ImportError):
        from hfpaddle.accelerate import Acelerator  # noqa: F401 # pyright: ignore


def test_save_model_and_load_it(tmp_path):
    from hfpaddle.accelerate import init_empty_weights, load_checkpoint_and_dispatch

    accelerator = Accelerator()
    model = accelerator.prepare(Net())
    accelerator.save_model(model, str(tmp_path / "m"), max_shard_size="0.1KB")
    index = json.loads((tmp_path / "m" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(model.state_dict())
    with init_empty_weights():
        other = Net()
    load_checkpoint_and_dispatch(other, tmp_path / "m", device_map="auto", strict=True)
    assert (other.first.weight.numpy() == model.first.weight.numpy()).all()


def test_basic_config(tmp_path):
    path = tmp_path / "c.json"
    assert write_basic_config("no", str(path)) == path
    assert json.loads(path.read_text())["num_processes"] == 1
    assert write_basic_config("no", str(path)) is False
