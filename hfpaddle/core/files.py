"""Writing that leaves the old file or the new one, never half of either."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; on success it is renamed over ``path``.

    On any error the temporary file is removed and ``path`` stays as it was.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write ``value`` as the original libraries write their JSON: indent 2, sorted keys."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


class Staging:
    """A temporary folder whose files replace those of a real one together.

    Attributes:
        path: where to write.
        stale: names in the real folder that go when the new files come.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stale: set[str] = set()


@contextlib.contextmanager
def staged(folder: str | os.PathLike) -> Iterator[Staging]:
    """Yield a `Staging` inside ``folder`` (made if absent); on success its files move there.

    On any error, in the block or while files move, ``folder`` stays as it was. All old files are
    set aside before the first new one comes, so that a process killed in between leaves a folder
    that cannot be loaded rather than one of old and new parts.
    """
    folder = Path(folder)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".saving.") as name:
            staging = Staging(Path(name, "new"))
            staging.path.mkdir()
            yield staging
            _replace_files(folder, staging, Path(name, "old"))
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _replace_files(folder: Path, staging: Staging, old: Path) -> None:
    old.mkdir()
    names = sorted(path.name for path in staging.path.iterdir())
    moves = [(folder / name, old / name) for name in sorted(staging.stale | set(names))]
    moves = [(source, target) for source, target in moves if os.path.lexists(source)]
    moves += [(staging.path / name, folder / name) for name in names]
    done = []
    try:
        for source, target in moves:
            os.replace(source, target)
            done.append((source, target))
    except BaseException:
        for source, target in reversed(done):
            os.replace(target, source)
        raise
