"""The comparison of example runs finds what it is there to find."""

import json

import example_records as records
import example_tables as tables
import numpy as np
import pytest
from example_records import Record, compare


def run(**changes) -> Record:
    logged = {
        ("trainer_state.json", 1, "loss"): 2.0,
        ("trainer_state.json", 1, "learning_rate"): 1e-3,
        ("eval_results.json", 0, "eval_accuracy"): 0.5,
    }
    weights = {"w": np.ones((2, 2), np.float32)}
    return Record(logged | changes, files=["all_results.json"], weights=weights, seconds=3.0)


def problems(ours: Record, reference: Record | None = None) -> list[str]:
    return compare(ours, reference or run(), ("all_results.json",)).problems


def test_equal_runs_agree():
    verdict = compare(run(), run(), ("all_results.json",))
    assert (verdict.problems, verdict.losses, verdict.largest, verdict.weights) == ([], 1, 0.0, 0.0)


@pytest.mark.parametrize(
    ("key", "value", "agree"),
    [
        (("trainer_state.json", 1, "loss"), 2.0019, True),
        (("trainer_state.json", 1, "loss"), 2.0021, False),
        (("trainer_state.json", 1, "loss"), float("nan"), False),
        (("trainer_state.json", 1, "learning_rate"), 1.001e-3, False),
        (("eval_results.json", 0, "eval_accuracy"), 0.5001, False),
        (("trainer_state.json", 2, "loss"), 2.0, False),
    ],
)
def test_other_numbers_are_found(key, value, agree):
    ours = run()
    ours.logged[key] = value
    assert (problems(ours) == []) is agree


def test_missing_files_texts_and_tensors_are_found():
    ours = run()
    ours.files = []
    assert problems(ours) == ["no file all_results.json"]
    ours = run()
    ours.texts = ["a"]
    assert "generated ['a']" in problems(ours)[0]
    ours = run()
    ours.weights = {"w": np.ones((4,), np.float32)}
    assert "['w']" in problems(ours)[0]
    assert "logged nothing" in problems(Record(), Record())[1]


def test_a_run_is_read(tmp_path):
    from tensorboardX import SummaryWriter

    history = [{"step": 1, "loss": 3.5, "epoch": 0.5}, {"step": 2, "train_runtime": 1.0}]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    with SummaryWriter(str(tmp_path / "events")) as writer:
        writer.add_scalar("train_loss", 2.5, 4)
    printed = "=== GENERATED SEQUENCE 1 ===\nHello\nyou\n=== GENERATED SEQUENCE 2 ===\nHi\n"
    record = records.read(tmp_path, printed)
    assert record.texts == ["Hello\nyou", "Hi"]
    assert record.logged == {
        ("trainer_state.json", 1, "loss"): 3.5,
        ("trainer_state.json", 1, "epoch"): 0.5,
        ("events", 4, "train_loss"): 2.5,
    }


def test_tables_are_put_between_their_marks(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- one: begin -->\nold\n<!-- one: end -->\nb\n")
    monkeypatch.setattr(tables, "PAGE", page)
    tables.put("one", "new")
    assert page.read_text() == "a\n<!-- one: begin -->\nnew\n<!-- one: end -->\nb\n"
    with pytest.raises(ValueError, match="two: begin"):
        tables.put("two", "new")
