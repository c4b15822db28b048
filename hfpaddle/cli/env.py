"""Show versions and devices, for bug reports."""

from __future__ import annotations

import argparse
import os
import platform
from importlib import metadata

EXAMPLES = """examples:
  hfpaddle env
  HFPADDLE_DEVICE=cpu hfpaddle env
"""
PACKAGES = (
    "hfpaddle",
    "paddlepaddle",
    "paddlepaddle-gpu",
    "transformers",
    "huggingface_hub",
    "tokenizers",
    "safetensors",
    "numpy",
    "gguf",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(args: argparse.Namespace) -> int:
    print(f"python: {platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        try:
            print(f"{package}: {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            print(f"{package}: not installed")
    from hfpaddle import backends, kernels

    for row in backends.describe():
        print("device: " + ", ".join(f"{key} {value}" for key, value in row.items()))
    chosen = os.environ.get("HFPADDLE_DEVICE")
    print(f"HFPADDLE_DEVICE: {chosen or 'not set'}; models go to {backends.resolve_device()}")
    print("ops:")
    for line in kernels.report().splitlines():
        print(f"  {line}")
    return 0
