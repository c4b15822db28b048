"""Build the null device once and run checks on it in processes of their own."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def plugin_folder(pytestconfig) -> Path:
    """The folder with the plug-in, kept in pytest's cache between runs."""
    # By path: `build` is also the name of a distribution.
    spec = importlib.util.spec_from_file_location("nulldev_build", HERE / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build(pytestconfig.cache.mkdir("nulldev"))


@pytest.fixture
def on_nulldev(plugin_folder) -> Callable[..., str]:
    """Return ``run(script, *arguments)``: a child whose default device is the strict null device.

    A child that fails fails the test with its last words; one that touches device memory from the
    host dies of SIGSEGV, which the message says.
    """

    def run(script: str, *arguments: str) -> str:
        environment = {
            **os.environ,
            "CUSTOM_DEVICE_ROOT": str(plugin_folder),
            "NULLDEV_STRICT": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONFAULTHANDLER": "1",
            "PYTHONPATH": str(HERE),
        }
        environment.pop("HFPADDLE_DEVICE", None)
        command = [sys.executable, "-W", "ignore", str(HERE / script), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        if done.returncode:
            how = f"exit code {done.returncode}"
            if done.returncode == -signal.SIGSEGV:
                how = "SIGSEGV: the host touched device memory"
            pytest.fail(f"{script} {arguments}: {how}\n{done.stderr[-6000:]}", pytrace=False)
        return done.stdout

    return run
