"""The named tuples that reductions return."""

from __future__ import annotations

from collections import namedtuple
from typing import Any


def _result(name: str, fields: str = "values indices") -> Any:
    """A named tuple that is written as torch writes it, one field a line."""

    def __repr__(self: Any) -> str:
        from hfpaddle.torch._repr import text_of

        lines = (f"{field}={text_of(x)}" for field, x in zip(self._fields, self, strict=True))
        return f"torch.return_types.{name}(\n" + ",\n".join(lines) + ")"

    base = namedtuple(name, fields)
    return type(name, (base,), {"__slots__": (), "__module__": __name__, "__repr__": __repr__})


max, min, median, nanmedian = (_result(n) for n in ("max", "min", "median", "nanmedian"))
mode, sort, topk, kthvalue = (_result(n) for n in ("mode", "sort", "topk", "kthvalue"))
cummax, cummin = _result("cummax"), _result("cummin")
aminmax = _result("aminmax", "min max")
