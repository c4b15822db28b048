"""``hfpaddle plot``: a training run's loss, learning rate and throughput as one picture.

All of it comes from ``trainer_state.json``, as transformers or hfpaddle wrote it.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hfpaddle.core.errors import (
    CheckpointError,
    MissingDependencyError,
    MissingFileError,
    UnsupportedArgumentError,
)
from hfpaddle.core.files import atomic_path

EXAMPLES = """examples:
  hfpaddle plot ./out
  hfpaddle plot ./out/checkpoint-500 --out loss.png

The state is that of RUN_DIR, or of its newest checkpoint where that is further. Throughput is in it
if the run had TrainingArguments(include_num_input_tokens_seen="non_padding") (or "all").
"""
LOADS_TRANSFORMERS = False
STATE = "trainer_state.json"
ADVICE = (
    "throughput is not drawn: the run did not record it. Train with "
    'include_num_input_tokens_seen="non_padding" (or "all") to have it in the logs.'
)
_BLUE, _ORANGES = "#1f5fa8", ("#d1622b", "#8a4fa3", "#3b8f5a", "#a8871f")
_INK, _GRID = "#333333", "#e3e3e3"

Points = list[tuple[int, float]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_dir", metavar="RUN_DIR", help="output_dir of the run, or a checkpoint")
    parser.add_argument("--out", metavar="FILE.png", help="picture (./<name of RUN_DIR>.png)")


def run(args: argparse.Namespace) -> int:
    folder = Path(args.run_dir)
    path, state = find_state(folder)
    target = target_of(folder, args.out)
    panels = read_panels(state["log_history"], path)
    draw(panels, folder.resolve().name, target)
    print(f"{path} (step {state['global_step']}) -> {target}")
    if "tokens/s" not in panels:
        print(ADVICE)
    return 0


def target_of(folder: Path, out: str | None) -> Path:
    """Return where the picture goes, which is beside no checkpoint unless ``out`` says so.

    Raises: UnsupportedArgumentError for a place or a kind of file that cannot be.
    """
    target = Path(out) if out else Path(f"{folder.resolve().name}.png")
    if target.suffix.lower() != ".png":
        raise UnsupportedArgumentError(f"--out {target} does not end in .png, the only format.")
    here = target.resolve()
    if not here.parent.is_dir():
        raise UnsupportedArgumentError(f"--out {target}: there is no folder {here.parent}.")
    if out is None and here.is_relative_to(folder.resolve()):
        raise UnsupportedArgumentError(
            f"the current folder is in the run's own, {folder.resolve()}, where nothing is "
            "written unasked. Name the file: --out FILE.png"
        )
    return target


# Reading


def find_state(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return the furthest state of ``folder`` itself and its newest checkpoint.

    Raises: MissingFileError if there is none, CheckpointError if one is broken.
    """
    numbered = [(re.fullmatch(r"checkpoint-(\d+)", p.name), p) for p in folder.glob("checkpoint-*")]
    steps = sorted((int(m[1]), p / STATE) for m, p in numbered if m and (p / STATE).is_file())
    paths = [folder / STATE] if (folder / STATE).is_file() else []
    paths += [path for _, path in steps[-1:]]
    if not paths:
        raise MissingFileError(
            f"{folder} has no {STATE}, neither itself nor in a checkpoint-<step>. Give the "
            "output_dir of a run that saved a checkpoint, or called trainer.save_state()."
        )
    states = [(path, read_state(path)) for path in paths]
    return max(states, key=lambda found: found[1]["global_step"])


def read_state(path: Path) -> dict[str, Any]:
    """Read one state and check what is used of it. Raises: CheckpointError."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(state, dict) or not _is_step(state.get("global_step")):
        raise CheckpointError(f"{path} is no state of a Trainer: it has no 'global_step'.")
    logs = state.get("log_history")
    if not isinstance(logs, list):
        raise CheckpointError(f"{path} is no state of a Trainer: 'log_history' is no list.")
    for i, entry in enumerate(logs):
        if not isinstance(entry, dict) or not _is_step(entry.get("step")):
            raise CheckpointError(f"{path}: log_history[{i}] has no 'step'.")
    return state


def _is_step(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _points(logs: list[dict], key: str, path: Path) -> Points:
    found: Points = []
    for entry in logs:
        value = entry.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise CheckpointError(
                f"{path}: {key!r} of step {entry['step']} is no number: {value!r}"
            )
        found.append((entry["step"], float(value)))
    return found


def read_panels(logs: list[dict], path: Path) -> dict[str, dict[str, Points]]:
    """Return what is to be drawn: panels by their unit, each of named lines.

    Raises: CheckpointError if no loss was logged, or a value is no number.
    """
    losses = {"train": _points(logs, "loss", path)}
    for key in dict.fromkeys(key for entry in logs for key in entry):
        if match := re.fullmatch(r"(eval(?:_.+)?)_loss", key):
            losses[match[1]] = _points(logs, key, path)
    panels = {
        "loss": losses,
        "learning rate": {"": _points(logs, "learning_rate", path)},
        "tokens/s": {"": throughput(logs, path)},
    }
    shown = {
        unit: {name: points for name, points in lines.items() if points}
        for unit, lines in panels.items()
    }
    if not shown["loss"]:
        raise CheckpointError(
            f"{path} holds no loss: the run stopped before its first log. A smaller "
            "logging_steps logs sooner."
        )
    return {unit: lines for unit, lines in shown.items() if lines}


def throughput(logs: list[dict], path: Path) -> Points:
    """Return tokens a second between each log and the one before, without time of evaluations.

    A log that counts tokens has their sum (``num_input_tokens_seen``), seconds since `train` was
    called (``train_runtime``), and the mean rate since then: so the rate of the part between two
    logs is known, and where a resumed run began.
    """
    for key in ("num_input_tokens_seen", "train_runtime", "train_tokens_per_second"):
        _points(logs, key, path)  # checks that they are numbers
    points: Points = []
    begun, seen, runtime, evaluated = -1.0, 0.0, 0.0, 0.0
    for entry in logs:
        if "train_tokens_per_second" not in entry:
            evaluated += _evaluation_time(entry)
            continue
        rate, now = entry["train_tokens_per_second"], entry["train_runtime"]
        total = entry["num_input_tokens_seen"]
        start = total - rate * now  # tokens seen when `train` was called
        rounding = 1 + 5e-4 * now + 5e-5 * rate
        if begun < 0 or abs(start - begun) > 2 * rounding or now < runtime:
            begun, seen, runtime = start, start, 0.0
        seconds = now - runtime - evaluated
        if seconds > 0:
            points.append((entry["step"], max(total - seen, 0.0) / seconds))
        seen, runtime, evaluated = total, now, 0.0
    return points


def _evaluation_time(entry: dict) -> float:
    times = (v for k, v in entry.items() if re.fullmatch(r"eval(_.+)?_runtime", k))
    return sum(v for v in times if isinstance(v, (int, float)))


# Drawing


def draw(panels: dict[str, dict[str, Points]], title: str, target: Path) -> None:
    """Write the picture to ``target``, whole or not at all.

    Raises: MissingDependencyError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "hfpaddle plot needs matplotlib. Install it: pip install 'hfpaddle[plot]'"
        ) from error
    heights = [2 if unit == "loss" else 1 for unit in panels]
    figure = Figure(figsize=(8, 1.2 + 1.5 * sum(heights)), dpi=120, layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (unit, lines) in zip(axes, panels.items(), strict=True):
        _draw_panel(axis, unit, lines)
    axes[0].set_title(title, loc="left", color=_INK)
    axes[-1].set_xlabel("step", color=_INK)
    figure.align_ylabels(axes)
    with atomic_path(target) as temporary:
        figure.savefig(temporary, format="png")


def _draw_panel(axis: Any, unit: str, lines: dict[str, Points]) -> None:
    colors = iter(_ORANGES * len(lines))
    for name, points in lines.items():
        steps, values = zip(*_in_order(points), strict=True)
        color = next(colors) if name.startswith("eval") else _BLUE
        # Few points would hardly show as a line alone, and one not at all.
        marker = "o" if len(points) < 40 else ""
        axis.plot(steps, values, color=color, linewidth=1.6, marker=marker, ms=3.5, label=name)
    if len(lines) > 1:
        axis.legend(frameon=False, labelcolor=_INK)
    axis.set_ylabel(unit, color=_INK)
    axis.grid(color=_GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(colors=_INK, length=0)
    axis.spines[:].set_visible(False)
    if unit == "tokens/s":
        axis.set_ylim(bottom=0)
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _in_order(points: Iterable[tuple[int, float]]) -> Points:
    """Sort by step; of a step logged twice, as at the end of a run, the last counts."""
    return sorted(dict(points).items())
