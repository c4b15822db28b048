"""Mirror of ``transformers.pipelines``: one task a file, found by listing this folder."""

from __future__ import annotations

from typing import Any

from hfpaddle.transformers.pipelines.base import ChunkPipeline, Pipeline
from hfpaddle.transformers.pipelines.factory import pipeline
from hfpaddle.transformers.pipelines.loading import get_task
from hfpaddle.transformers.pipelines.parts import PipelineException
from hfpaddle.transformers.pipelines.tasks import (
    PIPELINE_REGISTRY,
    check_task,
    discover,
    get_supported_tasks,
)

__all__ = [
    "PIPELINE_REGISTRY",
    "ChunkPipeline",
    "Pipeline",
    "PipelineException",
    "check_task",
    "get_supported_tasks",
    "get_task",
    "pipeline",
]


def __getattr__(name: str) -> Any:
    """Find a task's class in its file; transformers' other pipelines raise when used."""
    if name.startswith("__"):
        raise AttributeError(name)
    for module in discover():
        if name in vars(module):
            return getattr(module, name)
    from hfpaddle.transformers.mirror import resolve

    return resolve(name, __name__)
