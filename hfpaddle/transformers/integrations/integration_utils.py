"""Mirror of ``transformers.integrations.integration_utils``: callbacks that report a training run.

Upstream's callbacks are used; here are those that reach for torch in some place.
"""

from __future__ import annotations

import importlib.util
import math
import numbers
import os
import tempfile
from pathlib import Path
from typing import Any

from transformers.integrations import integration_utils as upstream
from transformers.trainer_callback import TrainerCallback
from transformers.utils import logging

from hfpaddle.core.errors import MissingDependencyError

logger = logging.get_logger("transformers.integrations.integration_utils")


def _writer_class() -> Any:
    """Return SummaryWriter of tensorboard (through the torch surface) or of tensorboardX.

    Raises: MissingDependencyError if neither is installed.
    """
    if importlib.util.find_spec("tensorboard") is not None:
        from hfpaddle.torch.utils.tensorboard import SummaryWriter
    elif importlib.util.find_spec("tensorboardX") is not None:
        from tensorboardX import SummaryWriter
    else:
        raise MissingDependencyError(
            "report_to='tensorboard' needs the package tensorboard or tensorboardX. Install: "
            "pip install tensorboard, or set report_to='none'."
        )
    return SummaryWriter


class TensorBoardCallback(upstream.TensorBoardCallback):
    """Writes losses, metrics and settings as event files.

    They go to the folder in TENSORBOARD_LOGGING_DIR, to ``logging_dir`` (a name of transformers
    4), or to ``runs/<time>_<host>`` in the output folder.
    """

    def __init__(self, tb_writer: Any = None) -> None:
        self._SummaryWriter = _writer_class()
        self.tb_writer = tb_writer
        folder = os.getenv("TENSORBOARD_LOGGING_DIR")
        self.logging_dir = None if folder is None else os.path.expanduser(folder)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.logging_dir is None and getattr(args, "logging_dir", None) is not None:
            self.logging_dir = os.path.expanduser(args.logging_dir)
        super().on_train_begin(args, state, control, **kwargs)


class WandbCallback(upstream.WandbCallback):
    """Upstream's; with ``WANDB_LOG_MODEL`` the final model is saved without a second Trainer."""

    def on_train_end(
        self,
        args: Any,
        state: Any,
        control: Any,
        model: Any = None,
        processing_class: Any = None,
        **kwargs: Any,
    ) -> None:
        if not (self._log_model.is_enabled and self._initialized and state.is_world_process_zero):
            return
        run = self._wandb.run
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            if processing_class is not None:
                processing_class.save_pretrained(folder)
            Path(folder, "training_args.json").write_text(args.to_json_string() + "\n")
            Path(folder, "model_architecture.txt").write_text(f"{model}\n")
            named = args.run_name is not None and args.run_name != args.output_dir
            artifact = self._wandb.Artifact(
                name=f"model-{run.name if named else run.id}",
                type="model",
                metadata={**self._summary(args, state), "final_model": True},
            )
            for path in sorted(Path(folder).iterdir()):
                with artifact.new_file(path.name, mode="wb") as file:
                    file.write(path.read_bytes())
            run.log_artifact(artifact, aliases=["final_model"])

    def _summary(self, args: Any, state: Any) -> dict[str, Any]:
        if args.load_best_model_at_end:
            return {
                f"eval/{args.metric_for_best_model}": state.best_metric,
                "train/total_floss": state.total_flos,
                "model/num_parameters": self._wandb.config.get("model/num_parameters"),
            }
        found = dict(self._wandb.summary).items()
        return {k: v for k, v in found if isinstance(v, numbers.Number) and k[0] != "_"}


class _Numbers(TrainerCallback):
    """Hands on the numbers of a log: for anything else upstream would ask torch."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        shown = {}
        for name, value in logs.items():
            if hasattr(value, "item") and math.prod(value.shape) == 1:
                value = value.item()
            if isinstance(value, (int, float)):
                shown[name] = value
            else:
                logger.warning(f"{name}={value!r} is no number: MLflow does not get it.")
        super().on_log(args, state, control, shown, **kwargs)  # type: ignore[misc]


class MLflowCallback(_Numbers, upstream.MLflowCallback):
    """Upstream's."""


class DagsHubCallback(_Numbers, upstream.DagsHubCallback):
    """Upstream's."""


class CodeCarbonCallback(upstream.CodeCarbonCallback):
    """Upstream's, without its question about torch's build."""

    def __init__(self) -> None:
        try:
            import codecarbon
        except ImportError as error:
            raise MissingDependencyError(
                "report_to='codecarbon' needs the package codecarbon. Install: pip install "
                "codecarbon"
            ) from error
        self._codecarbon = codecarbon
        self.tracker = None


INTEGRATION_TO_CALLBACK = {
    **upstream.INTEGRATION_TO_CALLBACK,
    "tensorboard": TensorBoardCallback,
    "wandb": WandbCallback,
    "mlflow": MLflowCallback,
    "dagshub": DagsHubCallback,
    "codecarbon": CodeCarbonCallback,
}


def get_reporting_integration_callbacks(report_to: Any) -> list[type[TrainerCallback]]:
    """Return the callbacks of ``report_to``: names, ``"all"`` that are installed, or ``"none"``.

    Raises: ValueError for a name that upstream lacks.
    """
    found = upstream.get_reporting_integration_callbacks(report_to)
    ours = {upstream.INTEGRATION_TO_CALLBACK[k]: v for k, v in INTEGRATION_TO_CALLBACK.items()}
    return [ours[cls] for cls in found]


def __getattr__(name: str) -> Any:
    return getattr(upstream, name)
