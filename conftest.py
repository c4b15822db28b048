"""Torch's Tensor methods are on in the tests of what switches them on, and off in all others.

Importing `hfpaddle.torch` switches them on for the process, as scripts want. The tests of the rest
must see Paddle's own methods, whichever tests ran before them in the same process.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent
# Beginnings of the paths whose tests stand for scripts.
SCRIPTS = (
    "hfpaddle/torch/",
    "hfpaddle/torchvision/",
    "hfpaddle/accelerate/",
    "hfpaddle/transformers/trainer",
    "hfpaddle/transformers/training",
    "hfpaddle/transformers/optimization",
    "hfpaddle/transformers/data/",
    "compat_tests/torch/",
    "compat_tests/torchvision/",
    "compat_tests/accelerate/",
    "compat_tests/peft/test_modules",
    "compat_tests/trainer/",
)


def pytest_runtest_setup(item) -> None:
    logs = sys.modules.get("hfpaddle.core.logging")
    if logs is not None:
        logs.warn_once.cache_clear()  # what another test has said is news to this one
    surface = sys.modules.get("hfpaddle.torch")
    if surface is None:
        return
    if item.path.relative_to(ROOT).as_posix().startswith(SCRIPTS):
        surface.install_methods()
    else:
        surface.uninstall_methods()
