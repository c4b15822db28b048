"""`pipeline()`: from a task and a model's name to a pipeline that is ready to be called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.logging import warn_once
from hfpaddle.modeling import hub
from hfpaddle.modeling.configs import config_from_pretrained
from hfpaddle.transformers.pipelines.loading import (
    default_model,
    inferred,
    load_image_processor,
    load_model,
    load_tokenizer,
    one_commit,
    read_config,
)
from hfpaddle.transformers.pipelines.parts import place_of, refuse_processors
from hfpaddle.transformers.pipelines.tasks import PIPELINE_REGISTRY, Task

_SOURCE = (*hub.WHERE, "gguf_file")


def pipeline(
    task: str | None = None,
    model: Any = None,
    config: Any = None,
    tokenizer: Any = None,
    feature_extractor: Any = None,
    image_processor: Any = None,
    video_processor: Any = None,
    processor: Any = None,
    revision: str | None = None,
    use_fast: bool = True,
    token: str | bool | None = None,
    device: Any = None,
    device_map: Any = None,
    dtype: Any = "auto",
    trust_remote_code: bool | None = None,
    model_kwargs: dict[str, Any] | None = None,
    pipeline_class: Any = None,
    **kwargs: Any,
) -> Any:
    """Build the pipeline of a task.

    Args:
        task: a name of `get_supported_tasks`; may be left out where the model tells it.
        model: folder, Hub id or model; without one the task's default model of the Hub.
        config: config, or where to read it, in place of the model's.
        tokenizer, image_processor: the object or where to read it; by default the model's.
        model_kwargs: passed on to the model's ``from_pretrained``.
        kwargs: the task's own arguments; also ``batch_size`` and ``progress``.

    The others are those of ``from_pretrained``; see docs/loading.md.

    Raises: UnknownTaskError, UnsupportedArgumentError, and what loading raises.
    """
    check_framework(kwargs.pop("framework", None))
    if model is None:
        _need_model(task, tokenizer)
    where = {"revision": revision, "token": token}
    where |= {key: kwargs.pop(key) for key in ("local_files_only",) if key in kwargs}
    where, extra = _sorted(where, model_kwargs or {})
    extra |= _dtype(dtype, kwargs.pop("torch_dtype", None), extra)
    extra |= _device_map(device_map, device, extra)
    kwargs.pop("code_revision", None)
    found = None if task is None else PIPELINE_REGISTRY.get(task)
    if model is None:
        model, where = default_model(found, where)
    name = str(model) if isinstance(model, (str, Path)) else None
    if name is not None:
        where = one_commit(name, where)
        found, model = _load(name, found, config, where, extra, trust_remote_code)
        device = place_of(model) if "device_map" in extra else device
    elif found is None:
        kind = type(model).__name__
        raise RuntimeError(f"pipeline: a {kind} object does not tell the task. Pass task=.")
    chosen = pipeline_class or found.pipeline_class
    parts = {"image_processor": image_processor, "feature_extractor": feature_extractor}
    parts |= {"video_processor": video_processor, "processor": processor}
    refuse_processors(chosen, **parts)
    parts = _inputs_parts(chosen, tokenizer, image_processor, name or config, where, use_fast)
    return chosen(model=model, task=task or found.name, device=device, **parts, **kwargs)


def _inputs_parts(
    chosen: Any, tokenizer: Any, image_processor: Any, source: Any, where: dict, use_fast: bool
) -> dict[str, Any]:
    """Return what prepares the inputs of a pipeline class, read from ``source`` if not given."""
    needs = (chosen._load_tokenizer, chosen._load_image_processor)
    return {
        "tokenizer": load_tokenizer(tokenizer, source, where, use_fast, needs[0]),
        "image_processor": load_image_processor(image_processor, source, where, needs[1]),
    }


def _sorted(where: dict[str, Any], model_kwargs: dict[str, Any]) -> tuple[dict, dict]:
    """Split into what says where to look, and what is the model's alone."""
    extra = {key: value for key, value in model_kwargs.items() if key != "code_revision"}
    where = {**where, **{key: extra.pop(key) for key in _SOURCE if key in extra}}
    return {key: value for key, value in where.items() if value is not None}, extra


def _load(
    name: str,
    task: Task | None,
    config: Any,
    where: dict[str, Any],
    model_kwargs: dict[str, Any],
    trust_remote_code: bool | None,
) -> tuple[Task, Any]:
    """Return the task, which the model tells if nobody else did, and the model."""
    config = config_from_pretrained(config, **where) if isinstance(config, str) else config
    read = read_config(name, config, where, trust_remote_code)
    task = task or inferred(name, read, where.get("token"))
    given = {} if config is None else {"config": config}
    given |= {"trust_remote_code": True} if trust_remote_code else {}
    return task, load_model(name, read, task, {**where, **model_kwargs, **given})


def check_framework(framework: Any) -> None:
    """Accept older scripts' ``framework="pt"``; raise for others than PyTorch's and Paddle's."""
    if framework not in (None, "pt", "pd"):
        raise UnsupportedArgumentError(
            f"pipeline: framework={framework!r} is not supported; models are Paddle's. Leave it "
            "out, or pass 'pt' or 'pd'."
        )


def _need_model(task: str | None, tokenizer: Any) -> None:
    if task is None:
        raise RuntimeError(
            "Impossible to instantiate a pipeline without either a task or a model being "
            "specified. Please provide a task class or a model"
        )
    if tokenizer is not None:
        raise RuntimeError(
            "Impossible to instantiate a pipeline with tokenizer specified but not the model as "
            "the provided tokenizer may not be compatible with the default model. Pass model=."
        )


def _dtype(dtype: Any, torch_dtype: Any, model_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the one dtype that is meant; ``model_kwargs`` may hold it instead."""
    if torch_dtype is not None:
        warn_once("`torch_dtype` is deprecated! Use `dtype` instead!")
        dtype = torch_dtype if dtype == "auto" else dtype
    if "torch_dtype" in model_kwargs or "dtype" in model_kwargs:
        if dtype != "auto":
            raise ValueError(
                'You cannot use both `pipeline(... dtype=..., model_kwargs={"dtype":...})` as '
                "those arguments might conflict, use only one."
            )
        return {}
    return {} if dtype is None else {"dtype": dtype}


def _device_map(device_map: Any, device: Any, model_kwargs: dict[str, Any]) -> dict[str, Any]:
    if device_map is None and "device_map" not in model_kwargs:
        return {}
    if device_map is not None and "device_map" in model_kwargs:
        raise ValueError(
            'You cannot use both `pipeline(... device_map=..., model_kwargs={"device_map":...})` '
            "as those arguments might conflict, use only one."
        )
    if device is not None:
        raise ValueError(
            f"pipeline: device={device!r} and device_map both say where the model goes. Pass one."
        )
    return {} if device_map is None else {"device_map": device_map}
