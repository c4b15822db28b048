"""Evaluate every snippet of cases.txt in one process and write what each gives as JSON.

    python evaluate.py torch|hfpaddle cases.txt out.json

A snippet is Python statements divided by ``;`` whose last part is an expression. Snippets share one
namespace, in order, since some use a class that an earlier one defined.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib
import io
import json
import math
import re
import sys
import warnings

import numpy as np

IMPORT = re.compile(r"\b(from|import) torch\b")


def read_cases(path: str) -> list[tuple[str, str, str]]:
    """(group, name, snippet) of each line."""
    cases, group = [], ""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            line = line.rstrip("\n")
            if line.startswith("## "):
                group = line[3:]
            elif line.strip():
                name, snippet = line.split(" :: ", 1)
                cases.append((group, name, snippet))
    return cases


def number(value, digits: int = 4):
    if isinstance(value, complex):
        return [number(value.real, digits), number(value.imag, digits)]
    if isinstance(value, float):
        if math.isnan(value) or math.isinf(value):
            return str(value)
        return round(value, digits) + 0.0  # no negative zero
    return value


def rounded(values, digits: int):
    if isinstance(values, list):
        return [rounded(item, digits) for item in values]
    return number(values, digits)


def tensor_values(side: str, tensor):
    """A nested list of numbers, taken below the surface that is under test."""
    if side == "torch":
        tensor = tensor.detach().cpu()
        name = str(tensor.dtype).removeprefix("torch.")
        tensor = tensor.float() if name in ("float16", "bfloat16") else tensor
        return name, list(tensor.shape), tensor.tolist()
    import paddle

    name = paddle.dtype.__str__(tensor.dtype).partition(".")[2]
    array = paddle.cast(tensor.detach(), "float32") if name == "bfloat16" else tensor.detach()
    array = np.asarray(array)
    return name, list(array.shape), array.tolist()


def describe(side: str, torch, value):
    """A JSON value that tells the type and the content of a result."""
    if isinstance(value, torch.Tensor):
        name, shape, values = tensor_values(side, value)
        digits = 3 if name in ("float16", "bfloat16") else 4
        return ["T", name, shape, rounded(values, digits)]
    if isinstance(value, torch.Size):
        return ["Size", list(value)]
    if isinstance(value, (np.ndarray, np.generic)):
        return ["np", str(value.dtype), rounded(value.tolist(), 4)]
    if isinstance(value, dict):
        return ["dict", [[str(k), describe(side, torch, v)] for k, v in value.items()]]
    if isinstance(value, (tuple, list)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return [kind, [describe(side, torch, item) for item in value]]
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float, complex)):
        return [type(value).__name__, number(value)]
    if isinstance(value, torch.dtype):
        return ["dtype", str(value)]
    return ["object", type(value).__name__]


def evaluate(snippet: str, namespace: dict):
    tree = ast.parse(snippet)
    last = tree.body.pop()
    if tree.body:
        exec(compile(tree, "<case>", "exec"), namespace)
    if not isinstance(last, ast.Expr):
        exec(compile(ast.Module([last], []), "<case>", "exec"), namespace)
        return None
    return eval(compile(ast.Expression(last.value), "<case>", "eval"), namespace)


def error_record(error: BaseException) -> dict:
    known = [c.__name__ for c in type(error).__mro__ if getattr(builtins, c.__name__, None) is c]
    return {"error": type(error).__name__, "kinds": known, "message": str(error)[:400]}


def run(side: str, cases_path: str) -> list[dict]:
    torch = importlib.import_module("torch" if side == "torch" else "hfpaddle.torch")
    namespace = {"__name__": "__main__", "torch": torch, "np": np, "math": math, "io": io}
    functional = importlib.import_module(f"{torch.__name__}.nn.functional")
    records = []
    for group, name, snippet in read_cases(cases_path):
        if side != "torch":
            snippet = IMPORT.sub(r"\1 hfpaddle.torch", snippet)
        record = {"group": group, "name": name}
        try:
            namespace |= {"t": torch.tensor, "nn": torch.nn, "F": functional}
            torch.manual_seed(0)
            with contextlib.redirect_stdout(io.StringIO()):
                record["value"] = describe(side, torch, evaluate(snippet, namespace))
        except BaseException as error:
            record |= error_record(error)
        records.append(record)
    assert side == "torch" or "torch" not in sys.modules, "the product imported torch"
    return records


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    side, cases, out = sys.argv[1:]
    with open(out, "w", encoding="utf-8") as file:
        json.dump(run(side, cases), file)
