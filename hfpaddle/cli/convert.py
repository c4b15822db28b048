"""Rewrite a checkpoint of any readable format."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

from hfpaddle.core.errors import UnsupportedArgumentError

EXAMPLES = """examples:
  hfpaddle convert ./bin-model ./safetensors-model
  hfpaddle convert model.gguf ./model --dtype bfloat16
  hfpaddle convert ./model ./paddlenlp-model --to pdparams
"""
# What lies beside the weights and travels with them.
COMPANIONS = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "chat_template*",
    "preprocessor_config.json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="folder, Hub id, or .gguf file")
    parser.add_argument("target", help="folder to write; must not be the source")
    parser.add_argument("--to", choices=("safetensors", "pdparams"), default="safetensors")
    parser.add_argument("--dtype", default="auto", help="auto keeps the checkpoint's (auto)")
    parser.add_argument("--max-shard-size", default="50GB", help="of safetensors files (50GB)")


def run(args: argparse.Namespace) -> int:
    source, target = Path(args.source), Path(args.target)
    if source.exists() and target.resolve() in (source.resolve(), source.resolve().parent):
        raise UnsupportedArgumentError(
            f"the target {target} holds the source; nothing is ever written beside it. "
            "Give another folder."
        )
    model, tokenizer = load_any(args)
    target.mkdir(parents=True, exist_ok=True)
    if args.to == "safetensors":
        model.save_pretrained(target, max_shard_size=args.max_shard_size)
    else:
        save_pdparams(model, target)
    if tokenizer is not None:
        tokenizer.save_pretrained(target)
    elif source.is_dir():
        copy_companions(source, target)
    print(f"{type(model).__name__}, {model.num_parameters():,} parameters -> {target}")
    return 0


def load_any(args: argparse.Namespace) -> tuple[Any, Any]:
    """Return the model of the class that the config names, and a GGUF file's tokenizer."""
    from hfpaddle.modeling.configs import config_from_pretrained
    from hfpaddle.modeling.registry import auto_model_class, find_class
    from hfpaddle.transformers import AutoTokenizer

    name, kwargs = args.source, {}
    if os.path.isfile(name):
        folder, file = os.path.split(os.path.abspath(name))
        name, kwargs = folder, {"gguf_file": file}
    config = config_from_pretrained(name, **kwargs)
    architecture = (config.architectures or [None])[0]
    model_class = find_class(architecture) if architecture else None
    if model_class is None:
        auto = "AutoModelForCausalLM" if kwargs else "AutoModel"
        model_class = auto_model_class(auto, config.model_type)
    # GGUF's quantised weights have no dtype of their own here: float32 loses nothing.
    dtype = "float32" if kwargs and args.dtype == "auto" else args.dtype
    model = model_class.from_pretrained(name, config=config, dtype=dtype, **kwargs)
    tokenizer = AutoTokenizer.from_pretrained(name, **kwargs) if kwargs else None
    return model, tokenizer


def save_pdparams(model: Any, target: Path) -> None:
    """Write ``model_state.pdparams`` in PaddleNLP's layout, and the config."""
    from hfpaddle.converters.pdparams import hub_to_pdparams, write_pdparams
    from hfpaddle.modeling.loading import entries_of, linear_weights
    from hfpaddle.modeling.saving import hub_tensors, save_config

    entries = entries_of(hub_tensors(model))
    converted = hub_to_pdparams(entries, linear_weights(model), model_type=model.config.model_type)
    write_pdparams(target / "model_state.pdparams", converted)
    save_config(model, target)


def copy_companions(source: Path, target: Path) -> None:
    for pattern in COMPANIONS:
        for path in source.glob(pattern):
            shutil.copyfile(path, target / path.name)
