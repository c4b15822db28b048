"""``hfpaddle VERB``: the verb table, and errors without tracebacks.

Exit codes: 0 done, 1 an error that the message explains, 2 a command line that makes no sense,
130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import warnings
from collections.abc import Sequence

import hfpaddle
from hfpaddle.core.quiet import import_transformers

# verb -> one line of help. Each is a module of this package with `add_arguments` and `run`;
# `LOADS_TRANSFORMERS = False` in it leaves importing transformers, and its log level, to others.
VERBS = {
    "chat": "talk to a model in the terminal",
    "generate": "continue a prompt",
    "convert": "rewrite a checkpoint as safetensors or pdparams",
    "models": "list the model families that load",
    "check": "say whether a script would run, and what of it is emulated",
    "run": "run a script with Paddle in place of torch",
    "launch": "start a training script, as accelerate launch does",
    "plot": "draw loss, learning rate and throughput of a training run",
    "env": "show versions and devices",
    "demo": "chat with the real Gemma 3 270M package",
}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hfpaddle",
        description="Hugging Face checkpoints on PaddlePaddle.",
        epilog="Example: hfpaddle generate ./model --prompt 'The capital of France is'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=hfpaddle.__version__)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, summary in VERBS.items():
        module = importlib.import_module(f"hfpaddle.cli.{verb}")
        sub = verbs.add_parser(
            verb,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.add_argument("--traceback", action="store_true", help="show where an error came from")
        quiet = getattr(module, "LOADS_TRANSFORMERS", True)
        sub.set_defaults(run=module.run, loads_transformers=quiet)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code."""
    args = build_parser().parse_args(argv)
    # Paddle's build tools advise installing ccache whenever they are imported.
    warnings.filterwarnings("ignore", "No ccache found")
    originals = logging.getLogger("transformers")
    level = originals.level
    if args.loads_transformers:
        import_transformers()
        level = originals.level  # as transformers sets it on import
        originals.setLevel(logging.ERROR)
    try:
        return args.run(args) or 0
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        if args.traceback:
            raise
        print(f"hfpaddle {args.verb}: {error}", file=sys.stderr)
        return 1
    finally:
        originals.setLevel(level)


if __name__ == "__main__":
    sys.exit(main())
