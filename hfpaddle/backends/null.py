"""The null device of the test suite: a Paddle plug-in that lives in host memory.

It exists so that device-neutral code can be tested on a machine without an accelerator: its
memory cannot be read by the host, and kernels it lacks run on the CPU behind Paddle's back.
"""

from __future__ import annotations

from hfpaddle.backends.registry import custom_backend, register_backend

register_backend(
    custom_backend(
        "nulldev",
        remedy="Build it with compat_tests/nulldev/build.py and set CUSTOM_DEVICE_ROOT.",
        rank=0,
        # Kernels fall back to those of Paddle's CPU build, which has no half types.
        half_compute=False,
        label=lambda index: "null device for tests",
    )
)
