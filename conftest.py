"""Torch's Tensor methods are on in the tests of what switches them on, and off in all others.

Importing `hfpaddle.torch` switches them on for the process, as scripts want. The tests of the rest
must see Paddle's own methods, whichever tests ran before them in the same process.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent
# Set to 1, every test runs with the methods on: code of hfpaddle's own must not notice.
EVERYWHERE = os.environ.get("HFPADDLE_TEST_METHODS_ON") == "1"
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


def pytest_collect_directory(path: Path) -> None:
    """Keep pytest from importing the kernels twice.

    It imports the packages above a test by their folders, and the kernels are installed elsewhere.
    """
    if path == ROOT / "kernels" / "cpu":
        package = importlib.import_module("hfpaddle.kernels.cpu").__name__
        for name in [name for name in sys.modules if name.startswith(package)]:
            sys.modules.setdefault(name.removeprefix("hfpaddle.kernels."), sys.modules[name])


def pytest_runtest_setup(item) -> None:
    logs = sys.modules.get("hfpaddle.core.logging")
    if logs is not None:
        logs.warn_once.cache_clear()  # what another test has said is news to this one
    scripts = item.path.relative_to(ROOT).as_posix().startswith(SCRIPTS)
    surface = sys.modules.get("hfpaddle.torch")
    if EVERYWHERE:
        import hfpaddle.torch as surface

        if not scripts:  # the test's own code speaks Paddle's language
            surface._switch._callers[item.module.__name__] = surface._switch._LIBRARY
    if surface is None:
        return
    if EVERYWHERE or scripts:
        surface.install_methods()
    else:
        surface.uninstall_methods()
