"""``torch.multiprocessing``: Python's own."""

from __future__ import annotations

import multiprocessing
from multiprocessing import *  # noqa: F403
from typing import Any


def spawn(fn: Any, args: tuple = (), nprocs: int = 1, join: bool = True, daemon: bool = False,
          start_method: str = "spawn") -> Any:  # fmt: skip
    """``fn(i, *args)`` in ``nprocs`` processes. Raises: RuntimeError if one fails."""
    context = multiprocessing.get_context(start_method)
    made = [context.Process(target=fn, args=(i, *args), daemon=daemon) for i in range(nprocs)]
    for process in made:
        process.start()
    if not join:
        return made
    for process in made:
        process.join()
    failed = [i for i, process in enumerate(made) if process.exitcode]
    if failed:
        raise RuntimeError(f"torch.multiprocessing.spawn: processes {failed} failed.")
    return None


def get_sharing_strategy() -> str:
    """How torch would share memory; nothing is shared here."""
    return "file_system"


def set_sharing_strategy(new_strategy: str) -> None:
    """Nothing to set."""
