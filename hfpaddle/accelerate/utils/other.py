"""Mirror of ``accelerate.utils.other`` and its neighbours: what scripts import from utils."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import paddle

from hfpaddle.converters.safetensors import write_safetensors
from hfpaddle.core.files import atomic_path


def extract_model_from_parallel(
    model: Any,
    keep_fp32_wrapper: bool = True,
    keep_torch_compile: bool = True,
    recursive: bool = False,
) -> Any:
    """Return ``model`` out of Paddle's data-parallel wrapper, and without the mixed-precision
    forward if ``keep_fp32_wrapper`` is False."""
    while isinstance(model, paddle.DataParallel):
        model = model._layers
    if not keep_fp32_wrapper and "_original_forward" in vars(model):
        model.forward = vars(model)["_original_forward"]
    return model


def get_pretty_name(obj: Any) -> str:
    """Return the name of a class or function, or of the class of ``obj``."""
    named = obj if hasattr(obj, "__qualname__") or hasattr(obj, "__name__") else type(obj)
    return getattr(named, "__qualname__", None) or getattr(named, "__name__", str(obj))


def clean_state_dict_for_safetensors(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``state_dict`` with each tensor once: of tied ones the first name stays."""
    kept: dict[str, Any] = {}
    seen: set[tuple] = set()
    for name, value in state_dict.items():
        key = (id(value),)
        if isinstance(value, paddle.Tensor) and value.size:
            key = (value.data_ptr(), tuple(value.shape), value.dtype)
        if key not in seen:
            seen.add(key)
            kept[name] = value
    return kept


def save(
    obj: Any,
    f: str | os.PathLike,
    save_on_each_node: bool = False,
    safe_serialization: bool = False,
) -> None:
    """Write ``obj`` as torch does, or a state dict as safetensors with ``safe_serialization``."""
    if safe_serialization:
        write_safetensors(f, clean_state_dict_for_safetensors(obj), {"format": "pt"})
        return
    from hfpaddle import torch

    with atomic_path(f) as temporary:
        torch.save(obj, temporary)


def load(f: str | os.PathLike, map_location: Any = None, **kwargs: Any) -> Any:
    """Read what torch wrote."""
    from hfpaddle import torch

    return torch.load(f, map_location=map_location, **kwargs)


@contextlib.contextmanager
def patch_environment(**kwargs: Any) -> Iterator[None]:
    """Set environment variables, upper case, for the block."""
    names = {key.upper(): str(value) for key, value in kwargs.items()}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def clear_environment() -> Iterator[None]:
    """Empty the environment for the block."""
    before = dict(os.environ)
    os.environ.clear()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def str_to_bool(value: str, to_bool: bool = False) -> int | bool:
    """Return 1 or 0 (or a bool) for ``"yes"``, ``"off"`` and the like.

    Raises: ValueError for other words.
    """
    word = value.lower()
    if word in ("y", "yes", "t", "true", "on", "1"):
        return True if to_bool else 1
    if word in ("n", "no", "f", "false", "off", "0"):
        return False if to_bool else 0
    raise ValueError(f"invalid truth value {value}")


def parse_flag_from_env(key: str, default: bool = False) -> bool:
    return bool(str_to_bool(os.environ.get(key, str(default))))


def parse_choice_from_env(key: str, default: Any = "no") -> Any:
    return os.environ.get(key, str(default))


def get_int_from_env(env_keys: list[str], default: int) -> int:
    """Return the first of ``env_keys`` that is set and not negative."""
    found = (int(os.environ.get(key, -1)) for key in env_keys)
    return next((value for value in found if value >= 0), default)


def merge_dicts(source: dict, destination: dict) -> dict:
    """Write ``source`` into ``destination``, dictionaries inside part by part."""
    for key, value in source.items():
        if isinstance(value, dict):
            merge_dicts(value, destination.setdefault(key, {}))
        else:
            destination[key] = value
    return destination


def default_config_file(kind: str = "json") -> str:
    """Where ``write_basic_config`` writes, and ``hfpaddle launch`` looks."""
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface"
    )
    return os.path.join(os.path.expanduser(home), "accelerate", f"default_config.{kind}")


def write_basic_config(mixed_precision: str = "no", save_location: str | None = None) -> Any:
    """Write a configuration of one process; return its path, or False if there is one already.

    Raises: ValueError for an unknown precision.
    """
    path = Path(save_location or default_config_file())
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        print(
            f"Configuration already exists at {path}, will not override. Pass a different "
            "`save_location`."
        )
        return False
    mixed_precision = mixed_precision.lower()
    if mixed_precision not in ("no", "fp16", "bf16", "fp8"):
        raise ValueError(
            "`mixed_precision` should be one of 'no', 'fp16', 'bf16', or 'fp8'. "
            f"Received {mixed_precision}"
        )
    config = {
        "compute_environment": "LOCAL_MACHINE",
        "debug": False,
        "distributed_type": "NO",
        "downcast_bf16": False,
        "enable_cpu_affinity": False,
        "machine_rank": 0,
        "main_training_function": "main",
        "mixed_precision": mixed_precision,
        "num_machines": 1,
        "num_processes": 1,
        "rdzv_backend": "static",
        "same_network": False,
        "tpu_use_cluster": False,
        "tpu_use_sudo": False,
        "use_cpu": paddle.device.get_device() == "cpu",
    }
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return path


def wait_for_everyone() -> None:
    """One process waits for nobody."""
