"""List the model families that load, and the heads that each has."""

from __future__ import annotations

import argparse

EXAMPLES = """examples:
  hfpaddle models
  hfpaddle models --heads
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--heads", action="store_true", help="list each family's classes too")


def run(args: argparse.Namespace) -> int:
    from hfpaddle.modeling.registry import AUTO_TABLES, auto_model_class, class_name, families

    for name in sorted(families()):
        model_type = next((t for t in (name, name.replace("_", "-")) if _known(t)), name)
        if not args.heads:
            print(model_type)
            continue
        wanted = [auto for auto in AUTO_TABLES if class_name(auto, model_type)]
        classes = {auto_model_class(auto, model_type).__name__ for auto in wanted}
        print(f"{model_type}: {', '.join(sorted(classes))}")
    return 0


def _known(model_type: str) -> bool:
    import transformers

    return model_type in transformers.CONFIG_MAPPING
