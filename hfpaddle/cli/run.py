"""``hfpaddle run``: run a script, or a module, with the mirrors in place of the originals."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from types import ModuleType, TracebackType

from hfpaddle.core.errors import MissingFileError
from hfpaddle.hook import install

EXAMPLES = "Example: hfpaddle run train.py --epochs 3\n         hfpaddle run -m pytest tests"
LOADS_TRANSFORMERS = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--module", action="store_true", help="run a module, as python -m")
    parser.add_argument("script", help="the script or module, then its own arguments")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Run the script as Python would: ``sys.argv``, ``sys.path``, ``__main__``, errors, exit code.

    Raises: MissingFileError if there is no such script.
    """
    install()
    sys.argv = [args.script, *args.arguments]
    if args.module:
        sys.path[0] = os.getcwd()
        return _as_python(
            lambda: runpy.run_module(args.script, run_name="__main__", alter_sys=True)
        )
    if not os.path.exists(args.script):
        raise MissingFileError(
            f"no script {args.script!r} in {os.getcwd()}. For a module, use `hfpaddle run -m`."
        )
    if os.path.isdir(args.script):
        return _as_python(lambda: runpy.run_path(args.script, run_name="__main__"))
    sys.path[0] = os.path.dirname(os.path.realpath(args.script))
    return _as_python(lambda: _execute(args.script))


def _execute(path: str) -> None:
    main = ModuleType("__main__")
    main.__file__ = path
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main  # stays: what ends the process may unpickle the script's classes
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    exec(code, main.__dict__)


def _as_python(start) -> int:
    """Call ``start``; report what the script raises as Python does, without our own frames."""
    try:
        start()
    except SystemExit:
        raise
    except BaseException as error:
        error = error.with_traceback(_of_the_script(error.__traceback__))
        sys.excepthook(type(error), error, error.__traceback__)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _of_the_script(traceback: TracebackType | None) -> TracebackType | None:
    here = (__file__, runpy.__file__, "<frozen runpy>")
    rest = traceback
    while rest is not None and rest.tb_frame.f_code.co_filename in here:
        rest = rest.tb_next
    return rest or traceback
