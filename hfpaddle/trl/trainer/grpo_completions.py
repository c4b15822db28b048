"""The last generated completions with their rewards, printed and written as parquet files."""

from __future__ import annotations

import os
import random
from collections import defaultdict, deque
from typing import Any

import numpy as np
from transformers.utils import is_rich_available

from hfpaddle.core.logging import warn_once


class CompletionLog:
    """Keeps the last generated batch; writes it if ``log_completions`` asks for that.

    Args:
        args: GRPOConfig.
        names: of the reward functions.
    """

    def __init__(self, args: Any, names: list[str]) -> None:
        self.args, self.names = args, names
        self.columns: dict[str, deque] = defaultdict(
            lambda: deque(maxlen=args.generation_batch_size)
        )
        self.extra: list[str] = []
        if args.log_completions:
            trackers = {"wandb", "trackio"} & set(args.report_to or ())
            if trackers:
                warn_once(
                    f"GRPOConfig(log_completions=True): {sorted(trackers)[0]} gets no tables; they "
                    "are written into the folder 'completions' of output_dir."
                )

    def add(
        self,
        prompts: list,
        completions: list,
        rewards_BF: np.ndarray,
        advantages_B: np.ndarray,
        extra: dict[str, list],
    ) -> None:
        self.columns["prompt"].extend(prompts)
        self.columns["completion"].extend(completions)
        for name, column in zip(self.names, rewards_BF.T, strict=True):
            self.columns[name].extend(column.tolist())
        for name in sorted(extra):
            self.extra += [name] if name not in self.extra else []
            self.columns[name].extend(extra[name])
        self.columns["advantage"].extend(advantages_B.tolist())

    def _table(self) -> dict[str, list]:
        order = ("prompt", "completion", *self.names, *self.extra, "advantage")
        return {name: list(self.columns[name]) for name in order}

    def write(self, step: int) -> None:
        """Print the completions, and write ``completions/completions_STEP.parquet``."""
        if not self.args.log_completions or not self.columns:
            return
        import pandas

        table = self._table()
        if is_rich_available():
            _show(table, step, self.args.num_completions_to_print)
        folder = os.path.join(self.args.output_dir, "completions")
        os.makedirs(folder, exist_ok=True)
        rows = {"step": [step] * len(table["prompt"]), **table}
        path = os.path.join(folder, f"completions_{step:05d}.parquet")
        pandas.DataFrame(rows).to_parquet(path)


def _text(value: Any) -> str:
    """Return a cell: messages with their roles, numbers with two decimals."""
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, list) and all(isinstance(turn, dict) for turn in value):
        return "\n\n".join(f"{turn['role'].upper()}\n{turn.get('content', '')}" for turn in value)
    return str(value)


def _show(table: dict[str, list], step: int, count: int | None) -> None:
    """Print ``count`` rows drawn at random, or all."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    rows = list(zip(*table.values(), strict=True))
    if count is not None and count < len(rows):
        rows = random.sample(rows, max(count, 0))
    if not rows:
        return
    shown = Table(*(name.capitalize() for name in table), expand=True, show_lines=True)
    for row in rows:
        shown.add_row(*(Text(_text(value)) for value in row))
    Console().print(Panel(shown, expand=False, title=f"Step {step}"))
