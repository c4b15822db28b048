"""The host processor. Always present."""

from __future__ import annotations

import platform
from pathlib import Path

from hfpaddle.backends.registry import Backend, register_backend


def _label(index: int) -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory(index: int) -> dict[str, int]:
    """Resident memory of this process, since Paddle's CPU build keeps no count of its own."""
    status = Path("/proc/self/status")
    if not status.exists():
        return {}
    found = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    kib = {"allocated": "VmRSS", "peak": "VmHWM"}
    return {name: int(found[key].split()[0]) * 1024 for name, key in kib.items() if key in found}


register_backend(
    Backend(
        name="cpu",
        count=lambda: 1,
        absent=lambda: "",
        remedy="",
        indexed=False,
        host_memory=True,
        # Paddle's CPU build has no half kernels for matmul, norms, attention or AdamW.
        half_compute=False,
        label=_label,
        memory=_memory,
    )
)
