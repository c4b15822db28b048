"""Paddle itself on the null device: what our own code may rely on there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


CHECKS = ["create", "matmul", "softmax", "views", "attention", "backward", "adamw"]
CHECKS += ["embedding", "index_select"]


@pytest.mark.parametrize("check", CHECKS)
def test_paddle_basics(on_nulldev, check):
    on_nulldev("basics.py", check)


def test_backends_see_the_device(on_nulldev):
    assert on_nulldev("devices.py").split() == ["ok"]


def test_host_access_to_device_memory_is_fatal(plugin_folder):
    """Without this the other tests would pass on a device that is host memory in disguise."""
    environment = {**os.environ, "CUSTOM_DEVICE_ROOT": str(plugin_folder), "NULLDEV_STRICT": "1"}
    command = [sys.executable, "-W", "ignore", str(HERE / "basics.py"), "host_access_is_fatal"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGSEGV, done.stderr[-2000:]
    said = done.stdout.splitlines()  # Paddle's crash report follows
    assert said[0] == "alive" and "read" not in said
