"""``torch.nn``: modules, functions, initialisers. A name that is missing says so."""

# ruff: noqa: F403
from __future__ import annotations

from typing import NoReturn

from hfpaddle.core.errors import nearest as _nearest
from hfpaddle.torch.nn import attention, functional, init, module_methods, modules, parallel, utils
from hfpaddle.torch.nn.modules import *
from hfpaddle.torch.nn.parallel import DataParallel
from hfpaddle.torch.nn.parameter import Buffer, Parameter, UninitializedParameter

__all__ = [
    "Buffer", "DataParallel", "Parameter", "UninitializedParameter", "attention", "functional",
    "init", "modules", "parallel", "utils",
    *(name for name in dir(modules) if name[0].isupper()),
]  # fmt: skip

module_methods.declare()


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(f"hfpaddle's torch.nn has no attribute {name!r}{_nearest(name, __all__)}")
