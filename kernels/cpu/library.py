"""Find, check and load the compiled kernels, once a process.

``HFPADDLE_CPU_LEVEL`` (generic, avx2, avx512, avx512vnni, avx512amx) picks a lower level than the
processor's;
``HFPADDLE_CPU_KERNELS=0`` turns the kernels off. ``HFPADDLE_CPU_HEAP`` says what becomes of freed
memory: "keep" (default) keeps it in the process, "small" gives it back to the system at once, which
costs a page fault for every 4 kB used again, and "0" leaves the C library's ways alone.
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import Any

import paddle

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.logging import warn_once

LEVELS = ("generic", "avx2", "avx512", "avx512vnni", "avx512amx")
FOLDER = Path(__file__).with_name("lib")
# What `hf_set_runtime` takes, of an OpenMP runtime.
ENTRIES = ("GOMP_parallel", "omp_get_max_threads", "omp_get_thread_num", "omp_get_num_threads")
HEAPS = {"keep": "hf_keep_heap", "1": "hf_keep_heap", "small": "hf_small_heap", "0": ""}
REMEDY = (
    "Every op runs its reference in plain Paddle, which is slower. Install a wheel of hfpaddle, or "
    "a C++ compiler and then `pip install -e .`."
)


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return the library of the processor's level, or None with one warning that says why."""
    if os.environ.get("HFPADDLE_CPU_KERNELS", "1") == "0":
        return None
    try:
        loaded = _load(FOLDER / f"hfpaddle_cpu_{level()}.so")
    except OSError as error:
        warn_once(f"kernels for the CPU are unavailable: {error} {REMEDY}")
        return None
    _share_threads(loaded)
    heap = os.environ.get("HFPADDLE_CPU_HEAP", "keep")
    if heap not in HEAPS:
        raise UnsupportedArgumentError(f"HFPADDLE_CPU_HEAP={heap}: known are {', '.join(HEAPS)}.")
    if HEAPS[heap]:
        getattr(loaded, HEAPS[heap])()
    return loaded


def function(name: str, *arguments: Any) -> Any:
    """Return the library's function of that name, which takes ``arguments``, ctypes' types.

    The library must have loaded: the ops' folders are imported only then.
    """
    found = getattr(library(), name)
    found.argtypes, found.restype = arguments, None
    return found


def _load(path: Path) -> ctypes.CDLL:
    if not path.is_file():
        raise FileNotFoundError(f"{path} was not built.")
    return ctypes.CDLL(str(path))


@functools.cache
def level() -> str:
    """Return the best level that the processor has, or the lower one that the user asks for.

    Raises: UnsupportedArgumentError for a level that the processor lacks.
    """
    best = _load(FOLDER / f"hfpaddle_cpu_{LEVELS[0]}.so").hf_level()
    wanted = os.environ.get("HFPADDLE_CPU_LEVEL", LEVELS[best])
    if wanted not in LEVELS[: best + 1]:
        raise UnsupportedArgumentError(
            f"HFPADDLE_CPU_LEVEL={wanted}: this processor has {', '.join(LEVELS[: best + 1])}."
        )
    return wanted


def _share_threads(loaded: ctypes.CDLL) -> None:
    """Give the kernels the OpenMP runtime that Paddle brought into the process."""
    folder = Path(paddle.__file__).parent / "libs"
    for name in ("libiomp5.so", "libgomp.so.1"):
        path = folder / name if (folder / name).exists() else name
        try:
            runtime = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
        except OSError:
            continue
        functions = [ctypes.cast(getattr(runtime, name), ctypes.c_void_p) for name in ENTRIES]
        loaded.hf_set_runtime(*functions)
        return
    warn_once("kernels for the CPU run on one thread: Paddle's OpenMP runtime was not found.")
