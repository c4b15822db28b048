"""Which inputs of a PyLayer want a gradient, where `paddle.grad` asks for those of a few tensors.

Paddle then raises if a PyLayer returns a gradient for an input that leads to none of them, and does
not tell which these are. So a PyLayer keeps its inputs' places in the graph, and its backward pass,
if `paddle.grad` called it, looks which of them lead to what is asked for.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

import paddle

Tensor = paddle.Tensor

_GRAD = inspect.unwrap(paddle.grad).__code__


def sources(*tensors: Tensor | None) -> list[Any]:
    """Return each input's node in the graph, a leaf's name, or None where no gradient is wanted."""
    return [None if t is None or t.stop_gradient else t.grad_fn or t.name for t in tensors]


def wanted(places: list[Any]) -> list[bool]:
    """Return which inputs want a gradient, from what `sources` gave; call it from ``backward``."""
    frame = sys._getframe(1)
    for _ in range(3):  # our own, and Paddle's that calls it
        frame = frame.f_back
        if frame is None or frame.f_code is _GRAD:
            break
    if frame is None or frame.f_code is not _GRAD:
        return [place is not None for place in places]
    asked = frame.f_locals["inputs"]
    names = {t.name for t in asked}
    with paddle.enable_grad():
        # A leaf's node shows only as what follows the node of a result.
        nodes = {(t.grad_fn or (t * 1).grad_fn.next_functions[0]).node_ptr() for t in asked}
    return [_leads(place, names, nodes) for place in places]


def _leads(place: Any, names: set[str], nodes: set[int]) -> bool:
    if place is None or isinstance(place, str):
        return place in names
    seen, waiting = set(), [place]
    while waiting:
        node = waiting.pop()
        pointer = node.node_ptr()
        if pointer in nodes:
            return True
        if pointer not in seen:
            seen.add(pointer)
            waiting += [n for n in node.next_functions if n is not None]
    return False
