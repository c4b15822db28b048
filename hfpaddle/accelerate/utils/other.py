"""Mirror of ``accelerate.utils.other`` and its neighbours: what scripts import from utils."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import operator
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import paddle
from packaging.version import Version

from hfpaddle.accelerate.mirror import fallback
from hfpaddle.accelerate.utils.constants import STR_OPERATION_TO_FUNC
from hfpaddle.converters.safetensors import write_safetensors
from hfpaddle.core.files import atomic_path
from hfpaddle.core.logging import warn_once


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


def recursive_getattr(obj: Any, attr: str) -> Any:
    """Return ``obj.a.b`` for ``"a.b"``."""
    return operator.attrgetter(attr)(obj)


def convert_bytes(size: float) -> str:
    """Return ``size`` in the largest unit that leaves at least one."""
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if size < 1024:
            return f"{round(size, 2)} {unit}"
        size /= 1024
    return f"{round(size, 2)} PB"


def convert_dict_to_env_variables(current_env: Mapping[str, str]) -> list[str]:
    """Return lines ``KEY=value``, without those that a shell would take apart."""
    lines = [f"{key}={value}" for key, value in current_env.items() if key and value]
    return [f"{line}\n" for line in lines if not set(line) & set(";\n<> ")]


def compare_versions(
    library_or_version: str | Version, operation: str, requirement_version: str
) -> bool:
    """Compare a version, or that of an installed library, by an operator such as ``">="``.

    Raises: ValueError for other operators.
    """
    if operation not in STR_OPERATION_TO_FUNC:
        raise ValueError(
            f"`operation` must be one of {list(STR_OPERATION_TO_FUNC)}, received {operation}"
        )
    if isinstance(library_or_version, str):
        library_or_version = Version(importlib.metadata.version(library_or_version))
    return STR_OPERATION_TO_FUNC[operation](library_or_version, Version(requirement_version))


def is_torch_version(operation: str, version: str) -> bool:
    """Compare the version of torch that `hfpaddle.torch` states."""
    from hfpaddle import torch

    return compare_versions(
        Version(Version(str(torch.__version__)).base_version), operation, version
    )


def check_os_kernel() -> None:
    """Nothing: upstream warns of kernels that stop processes which wait for each other."""


def is_compiled_module(module: Any) -> bool:
    """Whether ``module`` is compiled: nothing is."""
    return False


def has_compiled_regions(module: Any) -> bool:
    """Whether a part of ``module`` is compiled: nothing is."""
    return False


def compile_regions(module: Any, **compile_kwargs: Any) -> Any:
    """Return ``module`` as it is."""
    warn_once("compile_regions has no effect: nothing is compiled.")
    return module


def model_has_dtensor(model: Any) -> bool:
    """Whether weights are spread over devices: never."""
    return False


def tqdm(*args: Any, main_process_only: bool = True, **kwargs: Any) -> Any:
    """A progress bar of the main process.

    Raises: ValueError for a first argument that is a bool.
    """
    from tqdm.auto import tqdm as bar

    if args and isinstance(args[0], bool):
        raise ValueError(
            "Passing `True` or `False` as the first argument to Accelerate's `tqdm` wrapper is "
            "unsupported. Please use the `main_process_only` keyword argument instead."
        )
    return bar(*args, **kwargs)


def wait_for_everyone() -> None:
    """One process waits for nobody."""


__getattr__ = fallback(__name__)
