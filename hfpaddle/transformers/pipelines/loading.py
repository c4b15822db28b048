"""What `pipeline()` reads: the config, which tells the task, then the model and the tokenizer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hfpaddle.core.errors import (
    CheckpointError,
    MissingFeatureError,
    UnsupportedArgumentError,
    UnsupportedModelError,
)
from hfpaddle.core.logging import logger
from hfpaddle.modeling import hub, registry
from hfpaddle.modeling.configs import config_from_pretrained
from hfpaddle.transformers.image_processing import AutoImageProcessor
from hfpaddle.transformers.pipelines.tasks import PIPELINE_REGISTRY, Task, auto_classes
from hfpaddle.transformers.tokenization import AutoTokenizer

_ANY_REPOSITORY = ("token", "cache_dir", "local_files_only", "force_download")


def default_model(task: Task, where: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the task's default model, known to be readable, and where to read it."""
    if task.default is None:
        raise UnsupportedArgumentError(
            f"pipeline: task {task.name!r} has no default model: give model=."
        )
    name, revision = task.default
    where = {"revision": revision, **where}
    try:
        config_from_pretrained(name, **where)
    except OSError as error:
        raise CheckpointError(
            f"pipeline: no model was given for {task.name!r}, and its default {name!r} cannot be "
            f"read: {error} Give model= a folder or a Hub id."
        ) from error
    logger.warning(
        f"No model was supplied, defaulted to {name} and revision {where['revision']}. Using a "
        "pipeline without specifying a model name and revision in production is not recommended."
    )
    return name, where


def one_commit(name: str, where: dict[str, Any]) -> dict[str, Any]:
    """Bind the revision, so that config, weights and tokenizer are of one commit."""
    revision = hub.resolve_revision(name, **hub.where(where))
    return where if revision is None else {**where, "revision": revision}


def read_config(name: str, config: Any, where: dict[str, Any], trust: bool | None) -> Any:
    """Return the config, having refused adapters and code that comes with a checkpoint."""
    folder = Path(name, where.get("subfolder") or "")
    if (folder / "adapter_config.json").exists():
        raise MissingFeatureError(
            f"pipeline: {folder} holds an adapter, and pipeline() does not apply adapters. Load "
            "the model with its adapter and pass model= and tokenizer=."
        )
    config = config_from_pretrained(name, **where) if config is None else config
    own = getattr(config, "custom_pipelines", None)
    if own and trust:
        raise UnsupportedArgumentError(
            f"pipeline: {name} brings its own pipeline code ({', '.join(own)}), which is never "
            "run (trust_remote_code=True). Pass one of the tasks that exist here."
        )
    return config


def get_task(model: str, token: str | None = None, **_: Any) -> str:
    """Ask the Hub for the task of a model.

    Raises: RuntimeError offline, or if the Hub does not tell one.
    """
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        raise RuntimeError(
            f"pipeline: the Hub tells the task of {model}, and it is offline. Pass task=."
        )
    try:
        tag = HfApi(token=token).model_info(model).pipeline_tag
    except Exception as error:  # whatever the Hub's client raises, the remedy is the same
        raise RuntimeError(
            f"pipeline: the Hub did not tell the task of {model}: {error} Pass task=."
        ) from error
    if not tag:
        raise RuntimeError(
            f"pipeline: the Hub knows no task (pipeline_tag) of {model}. Pass task=."
        )
    return tag


def inferred(name: str, config: Any, token: Any) -> Task:
    """Return the task of a model: a folder's config tells it, the Hub tells it of others."""
    if not os.path.isdir(name):
        return PIPELINE_REGISTRY.get(get_task(name, token))
    architectures = config.architectures or []
    for architecture in architectures:
        task = PIPELINE_REGISTRY.infer(architecture, config.model_type)
        if task is not None:
            return task
    raise RuntimeError(
        f"pipeline: {name} (architectures {architectures}) tells no task. Pass task=."
    )


def load_model(name: str, config: Any, task: Task, kwargs: dict[str, Any]) -> Any:
    """Load with the task's auto class, else with the class that the checkpoint names.

    Raises: UnsupportedModelError if the family has neither.
    """
    problem = None
    for auto in auto_classes(task):
        try:
            registry.auto_model_class(auto.__name__, config.model_type)
        except UnsupportedModelError as error:
            problem = error
            continue
        return auto.from_pretrained(name, **kwargs)
    for architecture in config.architectures or []:
        cls = registry.find_class(architecture)
        if cls is not None:
            return cls.from_pretrained(name, **kwargs)
    raise problem or UnsupportedModelError(f"pipeline: task {task.name!r} has no auto class.")


def load_tokenizer(
    tokenizer: Any, name: Any, where: dict[str, Any], use_fast: bool, needed: bool | None
) -> Any:
    """Return the tokenizer: as given, or read from its own name or the model's.

    None if there is none and it is not ``needed`` (None: as in pipelines of the user's), or if the
    task has no use for one (False).
    """
    if needed is False and tokenizer is None:
        return None
    try:
        return _tokenizer(name if tokenizer is None else tokenizer, name, where, use_fast)
    except (OSError, ValueError):
        if needed or tokenizer is not None:
            raise
        return None


def load_image_processor(
    image_processor: Any, name: Any, where: dict[str, Any], needed: bool | None
) -> Any:
    """Return the image processor: as given, or read from its own name or the model's."""
    if not needed:
        return image_processor
    given = name if image_processor is None else image_processor
    if not isinstance(given, (str, Path)):
        return given if callable(given) else None
    same = str(given) == str(name)
    where = {key: where[key] for key in where if same or key in _ANY_REPOSITORY}
    return AutoImageProcessor.from_pretrained(str(given), **where)


def _tokenizer(tokenizer: Any, name: Any, where: dict[str, Any], use_fast: bool) -> Any:
    kwargs = {"use_fast": use_fast}
    if isinstance(tokenizer, tuple):
        tokenizer, given = tokenizer
        kwargs |= given
    if isinstance(tokenizer, (str, Path)):
        # The revision, subfolder and file are the model's; another repository has its own.
        same = str(tokenizer) == str(name)
        where = {key: where[key] for key in where if same or key in _ANY_REPOSITORY}
        return AutoTokenizer.from_pretrained(str(tokenizer), **{**where, **kwargs})
    if tokenizer is None or not callable(tokenizer):
        raise ValueError(
            "Impossible to guess which tokenizer to use. Please provide a PreTrainedTokenizer "
            "class or a path/identifier to a pretrained tokenizer (tokenizer=)."
        )
    return tokenizer
