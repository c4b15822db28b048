"""``torch.utils.tensorboard.SummaryWriter``: scalars, text and histograms as event files."""

from __future__ import annotations

import importlib
import os
import socket
import time
from typing import Any

import numpy as np

from hfpaddle.core.errors import MissingDependencyError, MissingFeatureError

__all__ = ["SummaryWriter"]


def _tensorboard(part: str) -> Any:
    """A module of the package tensorboard.

    Raises: MissingDependencyError without it.
    """
    try:
        return importlib.import_module(f"tensorboard.{part}")
    except ImportError as error:
        raise MissingDependencyError(
            "torch.utils.tensorboard needs the package tensorboard. Install: pip install "
            "tensorboard"
        ) from error


def __getattr__(name: str) -> Any:
    # As in torch, the import of the class fails without the package, and not its first use.
    if name == "SummaryWriter":
        _tensorboard("summary.writer.event_file_writer")
        return _SummaryWriter
    raise AttributeError(f"hfpaddle's torch.utils.tensorboard has no attribute {name!r}")


def _array(value: Any) -> np.ndarray:
    return np.asarray(value.detach() if hasattr(value, "detach") else value)


class _SummaryWriter:
    """Writes events to ``log_dir`` (default ``runs/<time>_<host>``)."""

    def __init__(
        self, log_dir: str | None = None, comment: str = "", purge_step: int | None = None,
        max_queue: int = 10, flush_secs: int = 120, filename_suffix: str = "",
    ) -> None:  # fmt: skip
        if not log_dir:
            stamp = time.strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", f"{stamp}_{socket.gethostname()}{comment}")
        self.log_dir = str(log_dir)
        self.purge_step = purge_step
        writer = _tensorboard("summary.writer.event_file_writer").EventFileWriter
        self._summary = _tensorboard("compat.proto.summary_pb2")
        self._event = _tensorboard("compat.proto.event_pb2").Event
        self._writer = writer(self.log_dir, max_queue, flush_secs, filename_suffix)

    def get_logdir(self) -> str:
        """Where the events go."""
        return self.log_dir

    def _add(self, summary: Any, step: int | None, walltime: float | None) -> None:
        event = self._event(summary=summary, wall_time=walltime or time.time())
        if step is not None:
            event.step = int(step)
        self._writer.add_event(event)

    def add_scalar(
        self, tag: str, scalar_value: Any, global_step: int | None = None,
        walltime: float | None = None, new_style: bool = False, double_precision: bool = False,
    ) -> None:  # fmt: skip
        """One number."""
        value = self._summary.Summary.Value(tag=tag, simple_value=float(_array(scalar_value)))
        self._add(self._summary.Summary(value=[value]), global_step, walltime)

    def add_scalars(
        self, main_tag: str, tag_scalar_dict: dict[str, Any], global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:  # fmt: skip
        """Several numbers under one tag, each a curve ``main_tag/name``."""
        for name, value in tag_scalar_dict.items():
            self.add_scalar(f"{main_tag}/{name}", value, global_step, walltime)

    def add_text(
        self, tag: str, text_string: str, global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:  # fmt: skip
        """A text."""
        plugin = self._summary.SummaryMetadata.PluginData(plugin_name="text")
        shape = _tensorboard("compat.proto.tensor_shape_pb2").TensorShapeProto
        tensor = _tensorboard("compat.proto.tensor_pb2").TensorProto(
            dtype="DT_STRING",
            string_val=[text_string.encode()],
            tensor_shape=shape(dim=[shape.Dim(size=1)]),
        )
        value = self._summary.Summary.Value(
            tag=f"{tag}/text_summary",
            metadata=self._summary.SummaryMetadata(plugin_data=plugin),
            tensor=tensor,
        )
        self._add(self._summary.Summary(value=[value]), global_step, walltime)

    def add_histogram(
        self, tag: str, values: Any, global_step: int | None = None, bins: Any = "tensorflow",
        walltime: float | None = None, max_bins: int | None = None,
    ) -> None:  # fmt: skip
        """The distribution of ``values``, in 64 equal bins if ``bins`` names torch's default."""
        flat = _array(values).astype("float64").ravel()
        counts, edges = np.histogram(flat, bins=64 if bins == "tensorflow" else bins)
        histogram = self._summary.HistogramProto(
            min=flat.min(), max=flat.max(), num=len(flat), sum=flat.sum(),
            sum_squares=float(flat.dot(flat)), bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
        )  # fmt: skip
        value = self._summary.Summary.Value(tag=tag, histo=histogram)
        self._add(self._summary.Summary(value=[value]), global_step, walltime)

    def add_hparams(self, *args: Any, **kwargs: Any) -> None:
        """Not carried over."""
        raise MissingFeatureError(
            "SummaryWriter.add_hparams has no implementation here. Use add_text and add_scalar."
        )

    def flush(self) -> None:
        """Write what waits."""
        self._writer.flush()

    def close(self) -> None:
        """Write what waits and close the file."""
        self._writer.close()

    def __enter__(self) -> _SummaryWriter:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()
