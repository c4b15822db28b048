"""``hfpaddle launch``: ``accelerate launch`` for one process on this machine."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hfpaddle.core.errors import (
    MissingFeatureError,
    MissingFileError,
    UnsupportedArgumentError,
    nearest,
)

EXAMPLES = "Example: hfpaddle launch --mixed_precision no train.py --epochs 3"

# Values of a configuration that ask for what one process does anyway.
_ONE_PROCESS = ("NO", "MULTI_GPU", "MULTI_CPU", "MULTI_XPU", "MULTI_NPU")
_NO_EFFECT = (
    "compute_environment debug downcast_bf16 dynamo_config enable_cpu_affinity gpu_ids "
    "machine_rank main_process_ip main_process_port main_training_function rdzv_backend "
    "same_network tpu_env tpu_use_cluster tpu_use_sudo"
).split()
_KNOWN = (
    "distributed_type gradient_accumulation_steps mixed_precision num_cpu_threads_per_process "
    "num_machines num_processes use_cpu"
).split()
_REFUSED = ("multi_gpu", "tpu", "use_deepspeed", "use_fsdp", "use_megatron_lm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config_file", "--config-file", help="YAML or JSON of accelerate config")
    parser.add_argument("--cpu", "--use_cpu", action="store_true", help="train on the CPU")
    parser.add_argument(
        "--mixed_precision", "--mixed-precision", choices=("no", "fp16", "bf16", "fp8")
    )
    for name in ("num_processes", "num_machines", "num_cpu_threads_per_process"):
        parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", type=int)
    parser.add_argument("--gradient_accumulation_steps", type=int)
    for name in ("machine_rank", "main_process_ip", "main_process_port", "gpu_ids", "rdzv_backend"):
        parser.add_argument(f"--{name}", help="accepted; one process has no use for it")
    parser.add_argument("--dynamo_backend", help="accepted; nothing is compiled")
    parser.add_argument("--same_network", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-q", "--quiet", action="store_true", help="no traceback of the launcher")
    for name in _REFUSED:
        parser.add_argument(f"--{name}", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-m", "--module", action="store_true", help="run a module, as python -m")
    parser.add_argument("--no_python", action="store_true", help="run it as a program, unchanged")
    parser.add_argument("training_script", help="the script, then its own arguments")
    parser.add_argument("training_script_args", nargs=argparse.REMAINDER)


def read_config(path: str | None) -> dict[str, Any]:
    """Return the configuration of ``path``, or of the default place, or nothing.

    Raises: MissingFileError; UnsupportedArgumentError for unknown keys and what is no mapping.
    """
    import yaml

    from hfpaddle.accelerate.utils.other import default_config_file

    if path is None:
        places = [default_config_file(kind) for kind in ("yaml", "json")]
        path = next((place for place in places if os.path.isfile(place)), None)
        if path is None:
            return {}
    if not os.path.isfile(path):
        raise MissingFileError(f"--config_file {path}: no such file.")
    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UnsupportedArgumentError(f"{path} is no YAML: {error}") from error
    if not isinstance(config, dict):
        raise UnsupportedArgumentError(f"{path} holds a {type(config).__name__}, not settings.")
    for key, value in config.items():
        if key.endswith("_config") and not value:
            continue
        if key not in (*_KNOWN, *_NO_EFFECT):
            raise UnsupportedArgumentError(
                f"{path}: {key} is not implemented{nearest(key, _KNOWN)}. Take it out."
            )
    return config


def environment(args: argparse.Namespace, config: dict[str, Any]) -> dict[str, str]:
    """Return the variables that the script's Accelerator reads. Flags win over the file.

    Raises: MissingFeatureError for more than one process, machine, or a parallel engine.
    """

    def value(name: str, default: Any) -> Any:
        given = getattr(args, name, None)
        return config.get(name, default) if given is None else given

    for name in ("num_processes", "num_machines"):
        if (value(name, 1) or 1) > 1:
            raise MissingFeatureError(
                f"{name}={value(name, 1)}: hfpaddle launch runs one process so far. "
                f"Pass --{name} 1."
            )
    kind = str(config.get("distributed_type", "NO")).upper()
    refused = [f"--{name}" for name in _REFUSED if getattr(args, name)]
    if kind not in _ONE_PROCESS:
        refused.append(f"distributed_type: {kind}")
    if refused:
        raise MissingFeatureError(
            f"{', '.join(refused)}: hfpaddle launch runs one process on one device so far. "
            "Take it out."
        )
    found = {
        "ACCELERATE_MIXED_PRECISION": str(value("mixed_precision", "no")).lower(),
        "ACCELERATE_USE_CPU": str(bool(args.cpu or config.get("use_cpu", False))),
    }
    steps = value("gradient_accumulation_steps", None)
    if steps is not None:
        found["ACCELERATE_GRADIENT_ACCUMULATION_STEPS"] = str(steps)
    threads = value("num_cpu_threads_per_process", None)
    if threads:
        found["OMP_NUM_THREADS"] = str(threads)
    return found


def run(args: argparse.Namespace) -> int:
    """Run the script in a process of its own, as `hfpaddle run` does; return its exit code."""
    variables = environment(args, read_config(args.config_file))
    if args.module and args.no_python:
        raise UnsupportedArgumentError("--module and --no_python exclude each other.")
    # The script's torch, transformers and accelerate mean the mirrors, as under `hfpaddle run`.
    hooked = [sys.executable, "-m", "hfpaddle", "run", *(["-m"] if args.module else [])]
    command = [] if args.no_python else hooked
    command += [args.training_script, *args.training_script_args]
    return subprocess.run(command, env={**os.environ, **variables}).returncode
