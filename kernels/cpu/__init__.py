"""Fast implementations for the CPU: C++ of this folder, built for four levels of instruction sets.

One folder an op: its C++ and the Python that attaches it. `library` finds and loads what was built;
without it (no compiler, another processor) every op runs its reference, and a warning says so once.
"""

from __future__ import annotations

import importlib
import pkgutil

from hfpaddle.kernels.cpu.library import library

if library() is not None:
    for _info in pkgutil.iter_modules(__path__):
        if _info.ispkg:
            importlib.import_module(f"{__name__}.{_info.name}")
