"""The wheel holds every package and data file, none of the tests, and imports from anywhere."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("hfpaddle", "converters", "kernels")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
IMPORT = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import hfpaddle
import hfpaddle.backends, hfpaddle.converters, hfpaddle.core.errors, hfpaddle.transformers
from hfpaddle.kernels.cpu.library import library
assert library() is not None
for module in (hfpaddle, hfpaddle.converters):
    assert pathlib.Path(module.__file__).is_relative_to(sys.argv[1]), module.__file__
"""


def test_wheel_holds_the_product_and_no_tests(tmp_path):
    if int(importlib.metadata.version("setuptools").split(".")[0]) < 77:
        pytest.skip("needs the setuptools of the dev extra")
    source, target = tmp_path / "source", tmp_path / "wheel"
    source.mkdir()
    for name in SOURCES:
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "lib")
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in FILES:
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    built = subprocess.run(
        [*command, "--no-index", "--wheel-dir", str(target), str(source)], capture_output=True
    )
    assert built.returncode == 0, built.stderr.decode()[-3000:]
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")

    installed = {name for name in names if ".dist-info/" not in name}
    expected = {f"hfpaddle/{p.relative_to(ROOT / 'hfpaddle')}" for p in product("hfpaddle")}
    expected |= {f"hfpaddle/{p.relative_to(ROOT)}" for p in product("converters")}
    expected |= {f"hfpaddle/{p.relative_to(ROOT)}" for p in product("kernels")}
    assert [name for name in installed if name.endswith(".so")], "no kernels were built"
    assert installed >= expected, expected - installed
    assert not [name for name in installed if name.endswith("_test.py")]
    # `kernels` is the name of a distribution that transformers imports; ours must not shadow it.
    assert {name.split("/")[0] for name in installed} == {"hfpaddle"}
    command = [sys.executable, "-W", "ignore", "-c", IMPORT, str(tmp_path / "installed")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-3000:]


def product(folder: str) -> list[Path]:
    found = (ROOT / folder).rglob("*.py")
    return [p for p in found if not p.name.endswith("_test.py")]
