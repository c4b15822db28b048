"""``torch.jit``: functions and modules run as they are."""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.core.logging import warn_once
from hfpaddle.torch._missing import decorator, missing

__emulated__ = True

ignore = unused = export = interface = script_method = decorator
Final = Any
load = missing("jit.load", "Load the module's state dict with torch.load.")
save = missing("jit.save", "Save the module's state dict with torch.save.")
freeze = missing("jit.freeze", "Call the module as it is.")


class ScriptModule(paddle.nn.Layer):
    """No module is one."""


class ScriptFunction:
    """No function is one."""


def is_scripting() -> bool:
    """Never."""
    return False


def is_tracing() -> bool:
    """Never."""
    return False


def script(obj: Any, *_: Any, **__: Any) -> Any:
    """``obj`` itself."""
    warn_once("torch.jit.script: hfpaddle runs the function as it is; nothing is compiled.")
    return obj


def trace(func: Any, example_inputs: Any = None, **_: Any) -> Any:
    """``func`` itself."""
    warn_once("torch.jit.trace: hfpaddle runs the function as it is; nothing is traced.")
    return func
