"""The tree keeps its shape: imports point one way, files stay small, importing changes nothing.

These tests read the source of every product file, so a new file is under them without being listed.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[1]
SURFACES = ("transformers", "torch", "torchvision", "peft", "diffusers", "accelerate", "trl")
BLOCKS = frozenset({"core", "backends", "ops", "layers"})
FAMILIES = BLOCKS | {"converters", "generation", "modeling", "models"}

# Part -> parts that it may import besides itself. Everything may import core.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "core": frozenset(),
    "backends": frozenset(),
    "converters": frozenset(),
    "ops": frozenset({"backends"}),
    "kernels": frozenset({"layers", "ops", "backends"}),
    "layers": frozenset({"ops", "backends"}),
    "parallel": frozenset({"layers", "ops", "backends"}),
    "generation": BLOCKS,
    "modeling": BLOCKS | {"converters", "generation"},
    "models": FAMILIES,
    **{name: FAMILIES | {"kernels", "parallel", *SURFACES} for name in SURFACES},
    "hook": frozenset({"torch", "transformers"}),
    "checking": frozenset({"hook", "modeling", *SURFACES}),
    "__main__": frozenset({"cli"}),
    "cli": FAMILIES | {"checking", "hook", "kernels", "parallel", *SURFACES},
}
# A registry may list a folder whose files register themselves: the bare package, nothing in it.
DISCOVERS = {"modeling": "hfpaddle.models"}
REFERENCE_ONLY = ("torch", "torchvision", "peft", "diffusers", "accelerate", "trl")
# Parts of transformers that import torch, or fail without it.
NEEDS_TORCH = (
    "modeling_utils",
    "modeling_outputs",
    "cache_utils",
    "pytorch_utils",
    "masking_utils",
)

LARGE_FILE = 500_000  # bytes
LONG_FILE = 800  # lines
LONG_FUNCTION = 60  # lines
LONG_FAMILY = 300  # lines


@cache
def product_files() -> tuple[Path, ...]:
    """Every file that is installed, and the sources of kernels; no tests."""
    found = [p for top in ("hfpaddle", "converters", "kernels") for p in (ROOT / top).rglob("*.py")]
    return tuple(sorted(p for p in found if not p.name.endswith("_test.py")))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_name(path: Path) -> str:
    """Return the name under which ``path`` installs: converters/x.py is hfpaddle.converters.x."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] != "hfpaddle":
        parts.insert(0, "hfpaddle")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> list[tuple[int, str]]:
    """Return (line, dotted name) of each import, wherever in the file it stands.

    ``from a import b`` gives ``a.b``; relative imports are made absolute.
    """
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *([node.module] if node.module else [])]
            found += [(node.lineno, ".".join([*base, alias.name])) for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            if node.args and isinstance(node.args[0], ast.Constant):
                found.append((node.lineno, str(node.args[0].value)))
    return found


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def wrong_way(path: Path) -> list[str]:
    owner = (module_name(path).split(".") + [""])[1]
    if not owner:  # hfpaddle/__init__.py re-exports from anywhere
        return []
    allowed = MAY_IMPORT.get(owner, frozenset()) | {"core", owner, "__version__"}
    problems = [] if owner in MAY_IMPORT else [f"{path}: part {owner!r} is not in MAY_IMPORT"]
    for line, name in imports(path):
        parts = name.split(".")
        if name == DISCOVERS.get(owner):
            continue
        if parts[0] == "hfpaddle" and len(parts) > 1 and parts[1] not in allowed:
            problems.append(f"{where(path, line)}: {owner} may not import {name}")
    return problems


def test_imports_point_one_way():
    assert not [problem for path in product_files() for problem in wrong_way(path)]


def test_import_table_has_no_cycle_below_the_surfaces():
    for part, targets in MAY_IMPORT.items():
        for target in targets - {part, *SURFACES}:
            assert part not in MAY_IMPORT[target], f"{part} <-> {target}"


def test_discovered_packages_hold_nothing_to_import():
    for name in DISCOVERS.values():
        package = ROOT.joinpath(*name.split(".")) / "__init__.py"
        assert len(tree(package).body) <= 1, f"{name} must be a docstring alone"


def test_the_checker_sees_each_way_to_import(tmp_path, monkeypatch):
    """A wrong import is found at the top, in a function, relative, and by name."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    folder = tmp_path / "hfpaddle" / "ops"
    folder.mkdir(parents=True)
    bad = folder / "bad.py"
    lines = [
        "from hfpaddle import layers",
        "import hfpaddle.models.llama",
        "def f():\n    from ..generation import loop",
        'importlib.import_module("hfpaddle.cli.main")',
        "from hfpaddle.core.errors import nearest",
        "from . import norm",
    ]
    bad.write_text("\n".join(lines))
    named = [problem.split()[-1] for problem in wrong_way(bad)]
    expected = ["hfpaddle.cli.main", "hfpaddle.generation.loop", "hfpaddle.layers"]
    assert sorted(named) == [*expected, "hfpaddle.models.llama"]


def test_nothing_imports_the_reference_libraries():
    """Tests beside the source are included: they run where torch is not installed."""
    tests = [p for top in ("hfpaddle", "converters") for p in (ROOT / top).rglob("*_test.py")]
    problems = [
        f"{where(path, line)}: {name}"
        for path in (*product_files(), *tests)
        for line, name in imports(path)
        if name.split(".")[0] in REFERENCE_ONLY
    ]
    assert not problems


def test_nothing_imports_a_part_of_transformers_that_needs_torch():
    problems = []
    for path in product_files():
        for line, name in imports(path):
            parts = name.split(".")
            needs = any(p in NEEDS_TORCH for p in parts) or parts[-1] == "PreTrainedModel"
            # models.auto.modeling_auto holds name tables only and is fine.
            family = any(p.startswith("modeling_") and p != "modeling_auto" for p in parts[:-1])
            if parts[0] == "transformers" and (needs or family):
                problems.append(f"{where(path, line)}: {name}")
    assert not problems


def test_files_stay_short():
    paths = [*product_files(), *ROOT.glob("*/**/*_test.py"), *ROOT.glob("compat_tests/**/*.py")]
    long = {}
    for path in {p for p in paths if not {".venv", ".venv-compat"} & set(p.parts)}:
        family = path.parent == ROOT / "hfpaddle" / "models" and not path.name.endswith("_test.py")
        count = len(path.read_text(encoding="utf-8").splitlines())
        if count > (LONG_FAMILY if family else LONG_FILE):
            long[str(path.relative_to(ROOT))] = count
    assert not long


def test_functions_stay_short():
    long = {}
    for path in product_files():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = (node.end_lineno or node.lineno) - node.lineno + 1
                if count > LONG_FUNCTION:
                    long[f"{where(path, node.lineno)} {node.name}"] = count
    assert not long


def test_committed_files_are_not_large():
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / os.fsdecode(name) for name in listing.stdout.split(b"\0") if name]
    sizes = {str(p.relative_to(ROOT)): p.stat().st_size for p in paths if p.is_file()}
    assert sizes and not {name: size for name, size in sizes.items() if size > LARGE_FILE}


def test_every_folder_is_a_package():
    """A folder without __init__.py would be left out of the wheel."""
    folders = {path.parent for path in product_files() if not path.is_relative_to(ROOT / "kernels")}
    assert not [str(f.relative_to(ROOT)) for f in folders if not (f / "__init__.py").exists()]


WITHOUT_REFERENCE = f"""
import sys
for name in {REFERENCE_ONLY}:
    sys.modules[name] = None  # as if it were not installed
"""

SNAPSHOT = """
import builtins, importlib, sys
module = sys.argv[1]
import numpy, paddle, transformers
watched = {
    "paddle": paddle, "Tensor": paddle.Tensor, "Layer": paddle.nn.Layer, "nn": paddle.nn,
    "functional": paddle.nn.functional, "optimizer": paddle.optimizer, "device": paddle.device,
    "transformers": transformers, "builtins": builtins, "numpy": numpy,
}
config_classes = (transformers.PretrainedConfig, transformers.PreTrainedTokenizerBase)
watched |= {cls.__name__: cls for cls in config_classes}
def snapshot():
    state = {name: dict(vars(thing)) for name, thing in watched.items()}
    return state | {"sys": {"meta_path": list(sys.meta_path), "hooks": list(sys.path_hooks)}}
before = snapshot()
importlib.import_module(module)
after = snapshot()
for name, old in before.items():
    new = after[name]
    for key in old:
        same = key in new and (new[key] is old[key] or type(old[key]) is list)
        assert same, f"{module} replaced {name}.{key}"
        if name == "sys":
            assert new[key] == old[key], f"{module} changed sys {key}"
    # A package gains its submodules as they are imported, and a lazy one the names it resolves.
    for key in set(new) - set(old):
        submodule = f"{name}.{key}" in sys.modules or key == "__all__"
        origin = getattr(new[key], "__module__", None) or getattr(new[key], "__name__", "")
        lazy = name == "transformers" and origin.split(".")[0] == name
        assert submodule or lazy, f"{module} added {name}.{key}"
"""


@pytest.mark.parametrize("module", ["hfpaddle", "hfpaddle.transformers", "hfpaddle.accelerate"])
def test_import_patches_nothing(module):
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_REFERENCE + SNAPSHOT, module]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-3000:]


EVERY_MODULE = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_every_module_imports_without_the_reference_libraries():
    names = [module_name(p) for p in product_files() if not p.is_relative_to(ROOT / "kernels")]
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_REFERENCE + EVERY_MODULE, *names]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
