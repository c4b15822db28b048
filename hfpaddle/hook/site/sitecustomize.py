"""Install the hook in a Python process whose parent has it, before anything else runs there."""

import importlib.util
import os
import sys
from importlib.machinery import PathFinder


def _run_the_next_one() -> None:
    """A ``sitecustomize`` that this one stands in front of is still the user's."""
    here = os.path.dirname(os.path.abspath(__file__))
    paths = [path for path in sys.path if os.path.abspath(path) != here]
    spec = PathFinder.find_spec(__name__, paths)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":
    # Another interpreter than the parent's may not have hfpaddle.
    if os.environ.get("HFPADDLE_HOOK") and importlib.util.find_spec("hfpaddle"):
        from hfpaddle.hook import install

        install()
    _run_the_next_one()
