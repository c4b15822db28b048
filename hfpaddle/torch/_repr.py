"""Printing tensors as torch does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import paddle

from hfpaddle.torch._device import device_of
from hfpaddle.torch._dtypes import HALVES, NAMES, get_default_dtype
from hfpaddle.torch._switch import by_caller

Tensor = paddle.Tensor
_options = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}


def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None,
                     sci_mode=None) -> None:  # fmt: skip
    """How tensors print, as in torch."""
    presets = {"default": (4, 1000, 3, 80), "short": (2, 1000, 2, 80), "full": (4, math.inf, 3, 80)}
    names = ("precision", "threshold", "edgeitems", "linewidth")
    if profile is not None:
        _options.update(zip(names, presets[profile], strict=True))
    given = dict(zip(names, (precision, threshold, edgeitems, linewidth), strict=True))
    _options.update({name: value for name, value in given.items() if value is not None})
    _options["sci_mode"] = sci_mode


class _Formatter:
    """One width and one notation for all numbers that are shown."""

    def __init__(self, values: np.ndarray):
        self.floating = values.dtype.kind == "f"
        self.whole, self.scientific, self.width = True, False, 1
        shown = values.ravel()
        if self.floating:
            shown = shown[np.isfinite(shown) & (shown != 0)]
            if not shown.size:
                return
            sizes = np.abs(shown.astype(np.float64))
            low, high = sizes.min(), sizes.max()
            self.whole = bool((sizes == np.ceil(sizes)).all())
            self.scientific = high / low > 1000.0 or high > 1.0e8
            self.scientific |= not self.whole and low < 1.0e-4
            if _options["sci_mode"] is not None:
                self.scientific = _options["sci_mode"]
        self.width = max(len(self.text(v)) for v in shown.tolist())

    def text(self, value: Any) -> str:
        """``value`` without padding."""
        if not self.floating:
            return str(value)
        if self.scientific:
            return f"{value:.{_options['precision']}e}"
        if self.whole:
            found = f"{value:.0f}"
            return found if math.isinf(value) or math.isnan(value) else found + "."
        return f"{value:.{_options['precision']}f}"

    def padded(self, value: Any) -> str:
        """``value`` at the common width."""
        return self.text(value).rjust(self.width)


def _shown(array: np.ndarray) -> np.ndarray:
    """The items that a summary shows, for the width."""
    edge = _options["edgeitems"]
    for axis, size in enumerate(array.shape):
        if size > 2 * edge:
            keep = [*range(edge), *range(size - edge, size)]
            array = array.take(keep, axis)
    return array


def _lines(array: np.ndarray, indent: int, summary: bool, form: _Formatter) -> str:
    edge = _options["edgeitems"]
    if array.ndim == 0:
        return form.padded(array.item())
    skip = summary and array.shape[0] > 2 * edge
    if array.ndim == 1:
        items = array.tolist()
        if skip:
            texts = [form.padded(v) for v in items[:edge]]
            texts += [" ..."] + [form.padded(v) for v in items[-edge:]]
        else:
            texts = [form.padded(v) for v in items]
        per_line = max(1, int((_options["linewidth"] - indent) / (form.width + 2)))
        rows = [texts[i : i + per_line] for i in range(0, len(texts), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(", ".join(row) for row in rows) + "]"
    if skip:
        parts = [_lines(row, indent + 1, summary, form) for row in array[:edge]]
        parts += ["..."] + [_lines(row, indent + 1, summary, form) for row in array[-edge:]]
    else:
        parts = [_lines(row, indent + 1, summary, form) for row in array]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def text_of(x: Tensor, prefix: str = "tensor(") -> str:
    """``tensor([1., 2.])`` with device, dtype, size and grad where torch shows them."""
    suffixes = []
    where = device_of(x)
    if where.type != "cpu":
        suffixes.append(f"device='{where}'")
    if where.type == "meta":
        body, told = "...", True
        suffixes.append(f"size={tuple(x.shape)}")
    elif not x._numel():
        body, told = "[]", x.dtype is get_default_dtype()
        if x.ndim != 1:
            suffixes.append(f"size={tuple(x.shape)}")
    else:
        plain = paddle.cast(x.detach(), "float32") if x.dtype in HALVES else x.detach()
        array = np.asarray(plain.cpu())
        summary = array.size > _options["threshold"]
        if array.dtype.kind == "c":
            body = np.array2string(array, precision=_options["precision"], separator=", ")
        else:
            form = _Formatter(_shown(array) if summary else array)
            body = _lines(array, len(prefix), summary, form)
        told = x.dtype in (get_default_dtype(), paddle.int64, paddle.bool)
    if not told:
        suffixes.append(f"dtype=torch.{NAMES[x.dtype]}")
    if not x.stop_gradient:
        suffixes.append("requires_grad=True" if x.is_leaf else f"grad_fn=<{_grad_name(x)}>")
    text = prefix + body
    for suffix in suffixes:
        line = len(text.rpartition("\n")[2])
        gap = ",\n" + " " * len(prefix) if line + len(suffix) + 2 > _options["linewidth"] else ", "
        text += gap + suffix
    return text + ")"


def _grad_name(x: Tensor) -> str:
    return x.grad_fn.name() if hasattr(x.grad_fn, "name") else "Backward"


def _tensor_repr(self: Tensor) -> str:
    return text_of(self)


def _parameter_repr(self: Tensor) -> str:
    return "Parameter containing:\n" + text_of(self)


def _format(self: Tensor, spec: str) -> str:
    if not self.ndim:
        return format(self.item(), spec)
    if spec:
        raise TypeError("unsupported format string passed to Tensor.__format__")
    return text_of(self)


_Parameter = paddle.base.framework.EagerParamBase
_NOTE = "printed as torch does"
for _name in ("__repr__", "__str__"):
    by_caller(Tensor, _name, _tensor_repr, _NOTE)
    by_caller(_Parameter, _name, _parameter_repr, _NOTE)
by_caller(Tensor, "__format__", _format, "a number where there are no dimensions")
