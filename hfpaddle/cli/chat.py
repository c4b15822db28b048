"""Talk to a model in the terminal, answers streamed."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from hfpaddle.cli.loading import Meter, add_model_arguments, add_sampling_arguments, load, sampling

EXAMPLES = """examples:
  hfpaddle chat Qwen/Qwen3-0.6B
  hfpaddle chat ./model --prompt "What is a paddle?" --max-new-tokens 40

In the conversation, /new forgets it and /quit (or end of input) leaves.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument("--prompt", action="append", help="say this and leave; may be repeated")
    parser.add_argument("--system", help="instruction that opens the conversation")
    add_sampling_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from hfpaddle.transformers import set_seed

    model, tokenizer = load(args)
    set_seed(args.seed)
    opening = [{"role": "system", "content": args.system}] if args.system else []
    if args.prompt:
        talk(model, tokenizer, opening, args.prompt, sampling(args))
    else:
        print("Type a message; /new starts over, /quit leaves.", file=sys.stderr)
        talk(model, tokenizer, opening, typed(), sampling(args))
    return 0


def typed() -> Any:
    """Yield what the user types, until /quit or the end of input."""
    while True:
        try:
            line = input("> ")
        except EOFError:
            return
        if line.strip() in ("/quit", "/exit"):
            return
        if line.strip():
            yield line


def talk(model: Any, tokenizer: Any, opening: list, prompts: Any, options: dict) -> None:
    """Answer each prompt in one conversation."""
    history = list(opening)
    for prompt in prompts:
        if prompt.strip() == "/new":
            history = list(opening)
            continue
        history.append({"role": "user", "content": prompt})
        answer, summary = reply(model, tokenizer, history, options)
        history.append({"role": "assistant", "content": answer})
        print(summary, file=sys.stderr)


def encode(tokenizer: Any, history: list) -> Any:
    """Return the conversation as model inputs; plain text where there is no chat template."""
    if tokenizer.chat_template:
        return tokenizer.apply_chat_template(
            history, add_generation_prompt=True, return_tensors="pd", return_dict=True
        )
    return tokenizer("\n".join(turn["content"] for turn in history), return_tensors="pd")


def reply(model: Any, tokenizer: Any, history: list, options: dict) -> tuple[str, str]:
    """Stream the answer to standard output; return it and the speed."""
    from transformers import TextStreamer

    inputs = encode(tokenizer, history).to(model.device)
    meter = Meter(TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True))
    tokens = model.generate(**inputs, streamer=meter, **options)
    new = tokens[0, inputs["input_ids"].shape[1] :]
    return tokenizer.decode(new, skip_special_tokens=True), meter.summary()
