"""Build the null device against the installed Paddle wheel: ``python build.py [FOLDER]``.

Needs g++ and takes about ten seconds; a folder that already holds the plug-in of these sources and
this Paddle is used as it is. Prints the folder to put into CUSTOM_DEVICE_ROOT.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = (HERE / "nulldev.cc", HERE / "kernels.cc")


def paddle_folder() -> Path:
    """Return the folder of the installed wheel, without importing it."""
    spec = importlib.util.find_spec("paddle")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("paddle is not installed: pip install paddlepaddle")
    return Path(spec.submodule_search_locations[0])


def fingerprint() -> str:
    """Return a name that changes with the sources, the Paddle version and this recipe."""
    digest = hashlib.sha256(importlib.metadata.version("paddlepaddle").encode())
    for path in (*SOURCES, Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def build(cache: str | os.PathLike) -> Path:
    """Return a folder under ``cache`` that holds the plug-in; compile it if it is not there.

    Raises: RuntimeError with the compiler's words when it fails or there is no g++.
    """
    target = Path(cache) / fingerprint()
    if (target / "libnulldev.so").exists():
        return target
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise RuntimeError("the null device needs a C++ compiler: install g++ or set CXX.")
    target.mkdir(parents=True, exist_ok=True)
    paddle = paddle_folder()
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        library = Path(scratch) / "libnulldev.so"
        command = [compiler, "-std=c++17", "-O2", "-fPIC", "-shared", f"-I{paddle}/include"]
        command += [*map(str, SOURCES), "-o", str(library)]
        # Linked, not only loaded: libphi comes into the process with local symbols.
        command += [f"-L{paddle}/libs", "-lphi", "-lphi_core", "-lcommon"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"building the null device failed:\n{done.stderr[-4000:]}")
        os.replace(library, target / "libnulldev.so")  # two builders at once do not harm
    return target


if __name__ == "__main__":
    default = HERE.parents[1] / ".pytest_cache" / "d" / "nulldev"
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    chosen.mkdir(parents=True, exist_ok=True)
    print(build(chosen))
