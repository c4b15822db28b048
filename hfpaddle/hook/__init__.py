"""Make the original libraries' names mean the mirrors, in this process and its children.

``hfpaddle.install()`` at the top of a script, or ``hfpaddle run script.py``, does three things:

- ``torch``, ``torchvision``, ``accelerate`` and the others that nothing here needs for itself are
  aliases: a finder on ``sys.meta_path`` answers for them and their versions (`finder`).
- ``transformers`` has two faces, as hfpaddle is built on the torch-free parts of the real one:
  ``import transformers`` gives scripts the mirror, and hfpaddle and transformers itself the real
  one. The module that holds the import statement decides (`two_faces`).
- The real transformers is told that there is no torch, so that it never imports one (`hiding`).

Python processes started by this one install the hook before they run anything (`site`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hfpaddle.core.errors import HfpaddleError
from hfpaddle.core.mirrors import ALIASED, is_hooked, set_hooked
from hfpaddle.hook import finder, hiding, two_faces

__all__ = ["HookError", "install", "uninstall"]

VARIABLE = "HFPADDLE_HOOK"
_SITE = str(Path(__file__).with_name("site"))

_saved: dict[str, str | None] = {}
_methods_were_on = False


class HookError(HfpaddleError, ImportError):
    """The original library is in the process already, so names cannot be given another meaning."""


def install() -> None:
    """Make torch, transformers, accelerate ... mean the mirrors from here on. Idempotent.

    Call it before the script imports any of them.

    Raises: HookError if the real torch, or another original that needs it, is imported already.
    """
    if is_hooked():
        return
    _refuse_originals()
    global _methods_were_on
    _methods_were_on = _switch_is_on()
    paths = [_SITE, *filter(None, [os.environ.get("PYTHONPATH")])]
    for name, value in ((VARIABLE, "1"), ("PYTHONPATH", os.pathsep.join(paths))):
        _saved[name] = os.environ.get(name)
        os.environ[name] = value
    finder.install()
    two_faces.install()
    hiding.install()
    set_hooked(True)
    if "hfpaddle.torch" in sys.modules:
        sys.modules["hfpaddle.torch"].install_methods()


def uninstall() -> None:
    """Undo :func:`install`. Objects and modules that a script already holds stay as they are."""
    if not is_hooked():
        return
    hiding.uninstall()
    two_faces.uninstall()
    finder.uninstall()
    for name, value in _saved.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    _saved.clear()
    set_hooked(False)
    if _switch_is_on() and not _methods_were_on:
        sys.modules["hfpaddle.torch"].uninstall_methods()


def _switch_is_on() -> bool:
    switch = sys.modules.get("hfpaddle.torch._switch")
    return switch is not None and switch.is_on()


def _refuse_originals() -> None:
    for name in ALIASED:
        module = sys.modules.get(name)
        if module is None or module.__name__.startswith("hfpaddle."):
            continue
        version = getattr(module, "__version__", "of unknown version")
        raise HookError(
            f"hfpaddle.install: the real {name} ({version}) is imported already, and one process "
            f"cannot hold both. Call hfpaddle.install() before anything imports {name}, or start "
            "the script with `hfpaddle run`."
        )
