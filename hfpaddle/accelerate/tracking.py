"""Mirror of ``accelerate.tracking``: where logged values go."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from hfpaddle.accelerate.mirror import fallback
from hfpaddle.accelerate.utils.dataclasses import LoggerType
from hfpaddle.accelerate.utils.imports import probe
from hfpaddle.accelerate.utils.operations import listify
from hfpaddle.core.errors import MissingDependencyError, MissingFeatureError


class GeneralTracker:
    """Base of trackers. A subclass has ``name``, ``requires_logging_directory`` and ``tracker``.

    Raises: NotImplementedError naming those that a subclass lacks.
    """

    main_process_only = True

    def __init__(self, _blank: bool = False) -> None:
        if _blank:
            return
        wanted = ("name", "requires_logging_directory", "tracker")
        missing = [f"`{name}`" for name in wanted if name not in dir(self)]
        if missing:
            raise NotImplementedError(
                "The implementation for this tracker class is missing the following required "
                f"attributes. Please define them in the class definition: {', '.join(missing)}"
            )

    def start(self) -> None:
        """Open the run."""

    def store_init_configuration(self, values: dict) -> None:
        """Write the hyperparameters of the run."""

    def log(self, values: dict, step: int | None = None, **kwargs: Any) -> None:
        """Write ``values`` of ``step``."""

    def finish(self) -> None:
        """Close the run."""


class TensorBoardTracker(GeneralTracker):
    """Writes event files for TensorBoard, through tensorboardX."""

    name = "tensorboard"
    requires_logging_directory = True

    def __init__(self, run_name: str, logging_dir: str | os.PathLike, **kwargs: Any) -> None:
        super().__init__()
        self.run_name = run_name
        self.logging_dir = os.path.join(logging_dir, run_name)
        self._kwargs = kwargs

    def start(self) -> None:
        try:
            import tensorboardX
        except ImportError as error:
            raise MissingDependencyError(
                "log_with='tensorboard' writes through tensorboardX: pip install tensorboardX"
            ) from error
        self.writer: Any = tensorboardX.SummaryWriter(self.logging_dir, **self._kwargs)

    @property
    def tracker(self) -> Any:
        return self.writer

    def store_init_configuration(self, values: dict) -> None:
        self.writer.add_hparams(values, metric_dict={})
        self.writer.flush()
        folder = os.path.join(self.logging_dir, str(time.time()))
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "hparams.yml"), "w", encoding="utf-8") as file:
            # JSON is YAML, and needs no further package.
            json.dump(values, file, indent=2)

    def log(self, values: dict, step: int | None = None, **kwargs: Any) -> None:
        for name, value in listify(values).items():
            if isinstance(value, (int, float)):
                self.writer.add_scalar(name, value, global_step=step, **kwargs)
            elif isinstance(value, str):
                self.writer.add_text(name, value, global_step=step, **kwargs)
            elif isinstance(value, dict):
                self.writer.add_scalars(name, value, global_step=step, **kwargs)
        self.writer.flush()

    def log_images(self, values: dict, step: int | None = None, **kwargs: Any) -> None:
        for name, value in values.items():
            self.writer.add_images(name, value, global_step=step, **kwargs)

    def finish(self) -> None:
        self.writer.close()


class WandBTracker(GeneralTracker):
    """Writes to Weights & Biases."""

    name = "wandb"
    requires_logging_directory = False

    def __init__(self, run_name: str, **kwargs: Any) -> None:
        super().__init__()
        self.run_name = run_name
        self._kwargs = kwargs

    def start(self) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        self.run = wandb.init(project=self.run_name, **self._kwargs)

    @property
    def tracker(self) -> Any:
        return self.run

    def store_init_configuration(self, values: dict) -> None:
        self.run.config.update(values, allow_val_change=True)

    def log(self, values: dict, step: int | None = None, **kwargs: Any) -> None:
        self.run.log(listify(values), step=step, **kwargs)

    def finish(self) -> None:
        self.run.finish()


LOGGER_TYPE_TO_CLASS: dict[str, Any] = {"tensorboard": TensorBoardTracker, "wandb": WandBTracker}
_PROBES = {"tensorboard": "is_tensorboard_available", "wandb": "is_wandb_available"}


def _installed(name: str) -> bool:
    found = probe(_PROBES[name])
    return found is not None and found()


def get_available_trackers() -> list[LoggerType]:
    """Return the trackers that are implemented and whose package is installed."""
    return [LoggerType(name) for name in LOGGER_TYPE_TO_CLASS if _installed(name)]


def filter_trackers(log_with: Any, logging_dir: str | os.PathLike | None = None) -> list[Any]:
    """Return the trackers to start, of those asked for and installed.

    Raises: ValueError for unknown names and for a missing folder; MissingFeatureError for trackers
    of upstream that are not implemented.
    """
    if log_with is None:
        return []
    wanted = list(log_with) if isinstance(log_with, (list, tuple)) else [log_with]
    custom = [tracker for tracker in wanted if isinstance(tracker, GeneralTracker)]
    if "all" in wanted or LoggerType.ALL in wanted:
        return custom + get_available_trackers()
    chosen: list[Any] = []
    for tracker in wanted:
        if not isinstance(tracker, GeneralTracker):
            if tracker not in LoggerType:
                choices = LoggerType.list()
                raise ValueError(
                    f"Unsupported logging capability: {tracker}. Choose between {choices}"
                )
            tracker = LoggerType(tracker)
            if str(tracker) not in LOGGER_TYPE_TO_CLASS:
                raise MissingFeatureError(
                    f"log_with={str(tracker)!r} is not implemented. Use one of "
                    f"{sorted(LOGGER_TYPE_TO_CLASS)}, or pass a GeneralTracker of your own."
                )
            if not _installed(str(tracker)):
                continue
            if LOGGER_TYPE_TO_CLASS[str(tracker)].requires_logging_directory and not logging_dir:
                raise ValueError(
                    f"Logging with `{tracker}` requires a `logging_dir` to be passed in."
                )
        if tracker not in chosen:
            chosen.append(tracker)
    return chosen


__getattr__ = fallback(__name__)
