"""``hfpaddle plot``: what is read from a run, what is drawn, and what is refused."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib

import pytest

from hfpaddle.cli import plot
from hfpaddle.cli.main import main
from hfpaddle.core.errors import CheckpointError, MissingFileError

pytestmark = pytest.mark.unit


def state(folder, logs, step=None):
    folder.mkdir(parents=True, exist_ok=True)
    last = step if step is not None else max((entry["step"] for entry in logs), default=0)
    text = json.dumps({"global_step": last, "log_history": logs})
    (folder / "trainer_state.json").write_text(text)
    return folder


def logs(steps, tokens=False, start=0.0):
    """One log a step: 100 tokens in the first second, 200 in the second, ..."""
    found = []
    for i in range(1, steps + 1):
        entry = {"step": i, "loss": 3.0 / i, "learning_rate": 1e-3 / i, "epoch": i / steps}
        if tokens:
            total = 50 * i * (i + 1)
            entry["num_input_tokens_seen"] = start + total
            entry |= {"train_runtime": float(i), "train_tokens_per_second": round(total / i, 3)}
        found.append(entry)
    return found


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pixels(path):
    """Return width, height and the colours of a PNG of 8-bit RGBA, by the format's definition."""
    data, at, packed = path.read_bytes(), 8, b""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack(">IIBB", body[:10])
            assert (depth, color) == (8, 6)
        packed += body if kind == b"IDAT" else b""
        at += 12 + size
    raw, step, rows = zlib.decompress(packed), 4, []
    above = bytearray(width * step)
    for y in range(height):
        begin = y * (width * step + 1)
        row = bytearray(raw[begin + 1 : begin + 1 + width * step])
        _unfilter(row, above, raw[begin], step)
        rows.append(row)
        above = row
    colors = {bytes(row[x : x + 3]) for row in rows for x in range(0, width * step, step)}
    return width, height, colors


def _unfilter(row, above, kind, step):
    for x in range(len(row)):
        a = row[x - step] if x >= step else 0
        b, c = above[x], above[x - step] if x >= step else 0
        paeth = min((a, b, c), key=lambda v: abs(a + b - c - v))
        row[x] = (row[x] + (0, a, b, (a + b) // 2, paeth)[kind]) & 255


def color(text):
    return bytes.fromhex(text[1:])


def test_draws_all_three(here, capsys):
    entries = logs(5, tokens=True) + [{"step": 5, "eval_loss": 2.0, "eval_runtime": 1.0}]
    folder = state(here / "runs" / "first", entries)
    before = sorted(folder.iterdir())
    assert main(["plot", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "(step 5) -> first.png" in said and "not drawn" not in said
    width, height, colors = pixels(here / "first.png")
    assert (width, height) == (960, round(120 * 7.2))
    assert {color(plot._BLUE), color(plot._ORANGES[0])} <= colors
    assert sorted(folder.iterdir()) == before
    assert sorted(p.name for p in here.iterdir()) == ["first.png", "runs"]


def test_says_what_would_record_throughput(here, capsys):
    folder = state(here / "run", logs(3))
    assert main(["plot", str(folder), "--out", str(here / "run" / "own.png")]) == 0
    assert 'include_num_input_tokens_seen="non_padding"' in capsys.readouterr().out
    _, height, colors = pixels(folder / "own.png")
    assert height == round(120 * 5.7)
    assert color(plot._BLUE) in colors and color(plot._ORANGES[0]) not in colors


def test_lines_are_those_of_the_logs(tmp_path):
    entries = logs(3)
    entries.insert(2, {"step": 2, "eval_loss": 1.5, "eval_french_loss": 2.5, "eval_acc": 0.5})
    entries.append({"step": 3, "train_loss": 1.8, "train_runtime": 3.0})
    assert plot.read_panels(entries, tmp_path) == {
        "loss": {
            "train": [(1, 3.0), (2, 1.5), (3, 1.0)],
            "eval": [(2, 1.5)],
            "eval_french": [(2, 2.5)],
        },
        "learning rate": {"": [(1, 1e-3), (2, 5e-4), (3, 1e-3 / 3)]},
    }


def test_throughput_of_each_part(tmp_path):
    entries = logs(3, tokens=True)
    assert plot.throughput(entries, tmp_path) == [(1, 100.0), (2, 200.0), (3, 300.0)]


def test_throughput_leaves_out_evaluations(tmp_path):
    entries = logs(3, tokens=True)
    entries.insert(1, {"step": 1, "eval_loss": 1.0, "eval_runtime": 0.5})
    assert plot.throughput(entries, tmp_path) == [(1, 100.0), (2, 400.0), (3, 300.0)]


def test_throughput_of_a_resumed_run(tmp_path):
    """`train` counts its seconds anew, but not the tokens."""
    before = logs(3, tokens=True)
    after = [{**entry, "step": 3 + entry["step"]} for entry in logs(3, tokens=True, start=600)]
    want = [(1, 100.0), (2, 200.0), (3, 300.0), (4, 100.0), (5, 200.0), (6, 300.0)]
    assert plot.throughput(before + after, tmp_path) == want
    # The last second of the part before may be shorter than the first of the part after.
    assert plot.throughput(before[:1] + [{**after[0], "num_input_tokens_seen": 200}], tmp_path) == [
        (1, 100.0),
        (4, 100.0),
    ]


def test_the_furthest_state_counts(tmp_path):
    run = tmp_path / "run"
    for step in (2, 10, 9):
        state(run / f"checkpoint-{step}", logs(step))
    (run / "checkpoint-11").mkdir()  # being written
    state(run / "checkpoint-best", logs(1))
    assert plot.find_state(run)[0] == run / "checkpoint-10" / plot.STATE
    state(run, logs(9))
    assert plot.find_state(run)[0] == run / "checkpoint-10" / plot.STATE
    state(run, logs(10))
    assert plot.find_state(run)[0] == run / plot.STATE
    assert plot.find_state(run / "checkpoint-2")[1]["global_step"] == 2


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "cannot be read as JSON"),
        ("\xff", "cannot be read as JSON"),
        ("[]", "no 'global_step'"),
        ('{"global_step": 1}', "'log_history' is no list"),
        ('{"global_step": 1, "log_history": [{"loss": 1.0}]}', "log_history[0] has no 'step'"),
        ('{"global_step": 1, "log_history": []}', "holds no loss"),
        ('{"global_step": 1, "log_history": [{"step": 1, "loss": "a"}]}', "is no number: 'a'"),
    ],
)
def test_broken_states_are_refused(here, capsys, text, message):
    (here / "run").mkdir()
    (here / "run" / plot.STATE).write_bytes(text.encode("latin-1"))
    assert main(["plot", "run"]) == 1
    assert message in capsys.readouterr().err
    with pytest.raises(CheckpointError):
        main(["plot", "run", "--traceback"])
    assert [p.name for p in here.iterdir()] == ["run"]


def test_other_refusals(here, capsys, monkeypatch):
    with pytest.raises(MissingFileError, match="no trainer_state.json"):
        main(["plot", "nothing", "--traceback"])
    folder = state(here / "run", logs(3))
    for arguments, message in (
        (["--out", "run.pdf"], "does not end in .png"),
        (["--out", "no/run.png"], "there is no folder"),
    ):
        assert main(["plot", str(folder), *arguments]) == 1
        assert message in capsys.readouterr().err
    monkeypatch.chdir(folder)
    assert main(["plot", "."]) == 1
    assert "where nothing is written unasked" in capsys.readouterr().err
    monkeypatch.chdir(here)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["plot", str(folder)]) == 1
    assert "pip install 'hfpaddle[plot]'" in capsys.readouterr().err
    assert [p.name for p in here.iterdir()] == ["run"]


def test_a_picture_that_fails_leaves_the_old_one(here, monkeypatch):
    from matplotlib.figure import Figure

    folder = state(here / "run", logs(3))
    (here / "run.png").write_text("old")

    def fail(self, file, **kwargs):
        file.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    assert main(["plot", str(folder)]) == 1
    assert (here / "run.png").read_text() == "old"
    assert sorted(p.name for p in here.iterdir()) == ["run", "run.png"]


def test_losses_that_are_not_finite_leave_gaps(here):
    entries = logs(4)
    entries[1]["loss"] = float("nan")
    entries[2]["loss"] = float("inf")
    assert main(["plot", str(state(here / "run", entries))]) == 0
    assert pixels(here / "run.png")[0] == 960


def test_needs_no_paddle(here):
    state(here / "run", logs(3))
    code = (
        "import sys; from hfpaddle.cli import plot; from argparse import Namespace;"
        "plot.run(Namespace(run_dir='run', out=None));"
        "assert not {'paddle', 'transformers', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_run_of_our_trainer(here):
    import transformers

    import hfpaddle.transformers as hf

    rows = [{"input_ids": [1, 2, 3, i], "labels": [1, 2, 3, i]} for i in range(4, 12)]
    config = transformers.LlamaConfig(
        vocab_size=12,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
    )
    hf.Trainer(
        hf.LlamaForCausalLM(config),
        hf.TrainingArguments(
            "run",
            max_steps=4,
            logging_steps=1,
            eval_strategy="steps",
            eval_steps=2,
            save_steps=4,
            per_device_train_batch_size=2,
            include_num_input_tokens_seen="all",
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=rows,
        eval_dataset=rows,
    ).train()
    path, found = plot.find_state(here / "run")
    assert path.parent.name == "checkpoint-4"
    panels = plot.read_panels(found["log_history"], path)
    assert {unit: sorted(lines) for unit, lines in panels.items()} == {
        "loss": ["eval", "train"],
        "learning rate": [""],
        "tokens/s": [""],
    }
    assert [step for step, _ in panels["tokens/s"][""]] == [1, 2, 3, 4]
    assert all(speed > 0 for _, speed in panels["tokens/s"][""])
