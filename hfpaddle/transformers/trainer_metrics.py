"""Metrics of the Trainer: printed, and written as JSON beside the checkpoints."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from hfpaddle.core.files import write_text


def _clock(seconds: float) -> str:
    hundredths = int(abs(seconds - int(seconds)) * 100)
    return f"{datetime.timedelta(seconds=int(seconds))}.{hundredths:02d}"


def metrics_format(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return ``metrics`` with values that people read: times, GF, four decimals."""
    shown: dict[str, Any] = {}
    for key, value in metrics.items():
        if "_mem_" in key:
            shown[key] = f"{value >> 20}MB"
        elif "_runtime" in key:
            shown[key] = _clock(value)
        elif key == "total_flos":
            shown[key] = f"{int(value) >> 30}GF"
        else:
            shown[key] = round(value, 4) if isinstance(value, float) else value
    return shown


def _write(path: Path, metrics: dict[str, Any]) -> None:
    write_text(path, json.dumps(metrics, indent=4, sort_keys=True))


class MetricsMixin:
    """What a Trainer does with the metrics of a split."""

    args: Any
    state: Any
    model: Any
    optimizer: Any

    def metrics_format(self, metrics: dict[str, Any]) -> dict[str, Any]:
        return metrics_format(metrics)

    def log_metrics(self, split: str, metrics: dict[str, Any]) -> None:
        """Print a table of ``metrics``."""
        shown = {str(key): str(value) for key, value in metrics_format(metrics).items()}
        left, right = max(map(len, shown)), max(map(len, shown.values()))
        print(f"***** {split} metrics *****")
        for key in sorted(shown):
            print(f"  {key: <{left}} = {shown[key]:>{right}}")

    def save_metrics(self, split: str, metrics: dict[str, Any], combined: bool = True) -> None:
        """Write ``<split>_results.json``, and with ``combined`` add to ``all_results.json``."""
        folder = Path(self.args.output_dir)
        _write(folder / f"{split}_results.json", metrics)
        if combined:
            path = folder / "all_results.json"
            known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            _write(path, {**known, **metrics})

    def save_state(self) -> None:
        """Write ``trainer_state.json`` into the output folder."""
        self.state.save_to_json(str(Path(self.args.output_dir, "trainer_state.json")))

    def get_num_trainable_parameters(self) -> int:
        return sum(p.size for p in self.model.parameters() if not p.stop_gradient)

    def get_learning_rates(self) -> list[float]:
        self._require_optimizer()
        return [group["lr"] for group in self.optimizer.param_groups]

    def get_optimizer_group(self, param: Any = None) -> Any:
        """Return the group that holds ``param``, or the parameters of all groups."""
        self._require_optimizer()
        for group in self.optimizer.param_groups if param is not None else ():
            if any(p is param for p in group["params"]):
                return group
        return [group["params"] for group in self.optimizer.param_groups]

    def _require_optimizer(self) -> None:
        if self.optimizer is None:
            raise ValueError(
                "Trainer optimizer is None, please make sure you have set it up before."
            )
