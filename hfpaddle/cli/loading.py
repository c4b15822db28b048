"""Arguments that every verb which loads a model takes, and the loading itself."""

from __future__ import annotations

import argparse
import os
import time
from typing import Any


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="folder, Hub id, or .gguf file")
    parser.add_argument(
        "--dtype", default="auto", help="auto (a GGUF file's own), float32 ... (auto)"
    )
    parser.add_argument("--device", default=None, help="cpu, cuda:0, xpu:0 ... (what is found)")
    parser.add_argument("--revision", default=None, help="branch, tag or commit on the Hub")


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--max-new-tokens", type=int, default=128, metavar="N", help="(128)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (0)")
    parser.add_argument("--top-k", type=int, default=50, help="(50)")
    parser.add_argument("--top-p", type=float, default=1.0, help="(1.0)")
    parser.add_argument("--seed", type=int, default=0, help="of sampling (0)")


def sampling(args: argparse.Namespace) -> dict[str, Any]:
    """Return generate's keywords for the parsed arguments."""
    if args.temperature <= 0:
        return {"max_new_tokens": args.max_new_tokens, "do_sample": False}
    return {
        "max_new_tokens": args.max_new_tokens,
        "do_sample": True,
        "temperature": args.temperature,
        "top_k": args.top_k,
        "top_p": args.top_p,
    }


def load(args: argparse.Namespace) -> tuple[Any, Any]:
    """Return model and tokenizer named on the command line.

    A GGUF file keeps its blocks on the CPU, unless a dtype is asked for.
    """
    from hfpaddle.transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    name, kwargs = args.model, {}
    if os.path.isfile(name) and name.endswith(".gguf"):
        folder, file = os.path.split(os.path.abspath(name))
        name, kwargs = folder, {"gguf_file": file}
    if args.revision:
        kwargs["revision"] = args.revision
    tokenizer = AutoTokenizer.from_pretrained(name, **kwargs)
    if "gguf_file" in kwargs and args.dtype == "auto" and on_cpu(args.device):
        kwargs["quantization_config"] = GgufConfig()
    model = AutoModelForCausalLM.from_pretrained(
        name, dtype=args.dtype, device_map=args.device, **kwargs
    )
    return model, tokenizer


def on_cpu(device: str | None) -> bool:
    """Tell whether a model that is loaded for ``device`` lies on the CPU."""
    from hfpaddle import backends

    return backends.shares_host_memory(backends.resolve_device_map(device))


class Meter:
    """Counts the tokens that a streamer passes on, and their time after the first."""

    def __init__(self, streamer: Any) -> None:
        self.streamer, self.tokens = streamer, 0
        self.began = self.first = self.last = time.perf_counter()

    def put(self, value: Any) -> None:
        self.streamer.put(value)
        self.last = time.perf_counter()
        self.tokens += 1
        if self.tokens == 2:  # the first put is the prompt
            self.first = self.last

    def end(self) -> None:
        self.streamer.end()

    def summary(self) -> str:
        """Return tokens, seconds to the first, and tokens a second after it."""
        new, wait = self.tokens - 1, self.first - self.began
        rate = (new - 1) / (self.last - self.first) if new > 1 else float("nan")
        return f"{new} tokens, first after {wait:.2f} s, then {rate:.1f} tokens/s"
