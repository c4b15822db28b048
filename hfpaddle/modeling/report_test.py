"""What the load report says."""

import pytest

from hfpaddle.modeling.report import LoadReport, merged

pytestmark = pytest.mark.unit


def test_nothing_to_say():
    assert LoadReport(loaded=3).table() is None


def test_rows_are_merged():
    names = [f"layers.{i}.w" for i in (0, 1, 2)] + ["layers.0.b", "head"]
    assert merged(names) == ["head", "layers.0.b", "layers.{0, 1, 2}.w"]
    assert merged(f"h.{i}" for i in range(12)) == ["h.{0...11}"]
    assert merged(["a.0.b.1", "a.2.b.3"]) == ["a.{0, 2}.b.{1, 3}"]


def test_table():
    report = LoadReport(
        missing_keys={"head.weight"},
        unexpected_keys={"old.0.x", "old.1.x"},
        mismatched_keys={("w", (2, 3), (4, 5))},
    )
    text = report.table()
    assert text is not None
    lines = text.splitlines()
    assert lines[0].split() == ["Key", "|", "Status", "|", "Details"]
    assert set(lines[1]) == {"-", "+"}
    assert any("old.{0, 1}.x" in x and "UNEXPECTED" in x for x in lines)
    assert any("head.weight" in x and "MISSING" in x for x in lines)
    assert any("Reinit due to size mismatch - ckpt: (2, 3) vs model: (4, 5)" in x for x in lines)
    assert "newly initialized" in text and "can be ignored" in text
    assert "can be ignored" not in (LoadReport(missing_keys={"a"}).table() or "")


def test_to_dict():
    report = LoadReport(loaded=2, dropped={"x"}, missing_keys={"a"})
    assert report.to_dict() == {
        "missing_keys": {"a"}, "unexpected_keys": set(), "mismatched_keys": set(), "error_msgs": [],
    }  # fmt: skip
