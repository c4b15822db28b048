"""Files appear whole or not at all, alone or together."""

import os

import pytest

from hfpaddle.core.files import atomic_path, staged, write_json

pytestmark = pytest.mark.unit


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_atomic_path(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and names(tmp_path) == ["x"]
    umask = os.umask(0o027)
    try:
        write_json(path, {"b": 1, "a": [2]})
    finally:
        os.umask(umask)
    assert path.read_text() == '{\n  "a": [\n    2\n  ],\n  "b": 1\n}\n'
    assert path.stat().st_mode & 0o777 == 0o640 and names(tmp_path) == ["x"]


def test_staged(tmp_path):
    folder = tmp_path / "a" / "b"
    with staged(folder) as staging:
        (staging.path / "x").write_text("1")
        (staging.path / "y").write_text("2")
        assert not (folder / "x").exists()
    assert names(folder) == ["x", "y"]
    with staged(folder) as staging:
        (staging.path / "x").write_text("3")
        staging.stale = {"y", "never there"}
    assert names(folder) == ["x"] and (folder / "x").read_text() == "3"


@pytest.mark.parametrize("fails", range(7))
def test_staged_failure(tmp_path, monkeypatch, fails):
    """At whichever move it fails, the folder is as it was; later it works."""
    for name in ("x", "y", "z"):
        (tmp_path / name).write_text("old " + name)
    before = {path.name: (path.read_text(), path.stat().st_ino) for path in tmp_path.iterdir()}
    real, moves = os.replace, []

    def replace(source, target):
        moves.append(source)
        if len(moves) == fails + 1:
            raise OSError("full")
        real(source, target)

    def save():
        with staged(tmp_path) as staging:
            for name in ("v", "x", "y"):
                (staging.path / name).write_text("new " + name)
            staging.stale = {"z"}

    monkeypatch.setattr(os, "replace", replace)
    if fails == 6:  # six moves are all: two old files and a stale one, three new files
        save()
    else:
        with pytest.raises(OSError, match="full"):
            save()
        found = {path.name: (path.read_text(), path.stat().st_ino) for path in tmp_path.iterdir()}
        assert found == before
        save()
    assert names(tmp_path) == ["v", "x", "y"] and (tmp_path / "y").read_text() == "new y"


def test_staged_failure_in_a_new_folder(tmp_path):
    with pytest.raises(KeyError), staged(tmp_path / "new") as staging:
        (staging.path / "x").write_text("1")
        raise KeyError
    assert names(tmp_path) == []
