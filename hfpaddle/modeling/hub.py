"""Where a named checkpoint's files are: a folder, the Hub cache, or the Hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hfpaddle.core.errors import CheckpointError, MissingFileError

# Arguments of from_pretrained that say where to look.
WHERE = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")


def where(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords among ``kwargs`` that say where to look."""
    return {key: kwargs[key] for key in WHERE if kwargs.get(key) is not None}


def check_source(name: Any) -> None:
    """Raise MissingFileError for what can only be a local path and is not there."""
    text = str(name)
    is_path = text.startswith(("/", "./", "../", "~", ".\\")) or text.count("/") > 1
    if is_path and not os.path.exists(text):
        raise MissingFileError(
            f"{text} does not exist. Give a folder with config.json and weights, or a Hub id "
            "such as 'Qwen/Qwen3-0.6B'."
        )


def resolve_revision(name: Any, **kwargs: Any) -> str | None:
    """Return ``revision`` bound to the commit that it means now, so that one load sees one commit.

    It stays as it was for folders and where the Hub cannot be asked.
    """
    from transformers.utils import hub

    revision = kwargs.get("revision")
    resolve = getattr(hub, "resolve_revision", None)  # newer than our oldest transformers
    if resolve is None or not name:
        return revision
    asked = ("token", "local_files_only", "cache_dir")
    return resolve(name, revision, **{key: kwargs[key] for key in asked if key in kwargs})


def find_file(name: Any, filename: str, **kwargs: Any) -> Path | None:
    """Return the local path of a checkpoint's file, fetched if need be; None if it has none.

    Args:
        name: folder or Hub id.
        kwargs: those of `WHERE`.
    Raises: CheckpointError with the Hub's own explanation if the repository cannot be reached.
    """
    from transformers.utils import cached_file

    try:
        found = cached_file(
            name,
            filename,
            _raise_exceptions_for_gated_repo=True,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=True,
            **where(kwargs),
        )
    except OSError as error:
        raise CheckpointError(str(error)) from error
    return Path(found) if found else None


def need_file(name: Any, filename: str, **kwargs: Any) -> Path:
    """As `find_file`, but raise MissingFileError where it is None."""
    path = find_file(name, filename, **kwargs)
    if path is None:
        found = f"; it has {sorted(os.listdir(name))[:8]}" if os.path.isdir(name) else ""
        raise MissingFileError(f"{name} has no file {filename!r}{found}.")
    return path
