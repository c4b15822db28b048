"""Mirror of ``accelerate.launchers``: a function as a training run, in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hfpaddle.accelerate.mirror import fallback
from hfpaddle.accelerate.utils.dataclasses import PrecisionType
from hfpaddle.accelerate.utils.other import patch_environment
from hfpaddle.core.errors import MissingFeatureError


def notebook_launcher(
    function: Callable,
    args: Any = (),
    num_processes: int | None = None,
    mixed_precision: str = "no",
    use_port: str = "29500",
    master_addr: str = "127.0.0.1",
    node_rank: int = 0,
    num_nodes: int = 1,
    rdzv_backend: str = "static",
    rdzv_endpoint: str = "",
    rdzv_conf: dict | None = None,
    rdzv_id: str = "none",
    max_restarts: int = 0,
    monitor_interval: float = 0.1,
    log_line_prefix_template: str | None = None,
) -> None:
    """Call ``function(*args)`` with the precision in the environment.

    Raises: MissingFeatureError for more than one process or machine; ValueError for an unknown
        precision.
    """
    if (num_processes or 1) > 1 or num_nodes > 1:
        raise MissingFeatureError(
            f"notebook_launcher(num_processes={num_processes}, num_nodes={num_nodes}): one process "
            "so far. Leave both out."
        )
    if mixed_precision.lower() not in PrecisionType:
        raise ValueError(
            f"Unknown mixed_precision mode: {mixed_precision}. Choose between "
            f"{PrecisionType.list()}."
        )
    print("Launching training on one process.")
    with patch_environment(accelerate_mixed_precision=mixed_precision.lower()):
        function(*args)


__getattr__ = fallback(__name__)
