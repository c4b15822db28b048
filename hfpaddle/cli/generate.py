"""Continue a prompt."""

from __future__ import annotations

import argparse
import sys

from hfpaddle.cli.loading import Meter, add_model_arguments, add_sampling_arguments, load, sampling

EXAMPLES = """examples:
  hfpaddle generate ./llama --prompt "Once upon a time"
  hfpaddle generate model.gguf --prompt - --temperature 0.8 --seed 7 < prompt.txt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument("--prompt", required=True, help="text to continue; - reads standard input")
    add_sampling_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="print the text alone")


def run(args: argparse.Namespace) -> int:
    from transformers import TextStreamer

    from hfpaddle.transformers import set_seed

    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
    model, tokenizer = load(args)
    set_seed(args.seed)
    inputs = tokenizer(prompt, return_tensors="pd").to(model.device)
    meter = Meter(TextStreamer(tokenizer, skip_special_tokens=True))
    model.generate(**inputs, streamer=meter, **sampling(args))
    if not args.quiet:
        print(meter.summary(), file=sys.stderr)
    return 0
