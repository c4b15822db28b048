"""Which implementation of each op runs: force one, or see the choice.

with hfpaddle.kernels.use(rms_norm="reference"):
    model.generate(**inputs)
print(hfpaddle.kernels.report())
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import paddle

from hfpaddle import ops  # noqa: F401  registers every op
from hfpaddle.core.errors import UnsupportedArgumentError, nearest
from hfpaddle.core.op import OPS, discover, forced


@contextlib.contextmanager
def use(**choices: str) -> Iterator[None]:
    """Within the block, run op ``name`` by the implementation of that name, or ``"reference"``.

    Raises: UnsupportedArgumentError for an unknown op or implementation.
    """
    discover(paddle.get_device().split(":")[0])
    for name, choice in choices.items():
        if name not in OPS:
            raise UnsupportedArgumentError(
                f"kernels.use: no op {name!r}{nearest(name, OPS)}. Known: {sorted(OPS)}."
            )
        known = ["reference", *(impl.name for impl in OPS[name].impls)]
        if choice not in known:
            raise UnsupportedArgumentError(
                f"kernels.use({name}={choice!r}): known implementations: {known}."
            )
    token = forced.set({**(forced.get() or {}), **choices})
    try:
        yield
    finally:
        forced.reset(token)


def report() -> str:
    """Return a line per op: its implementations, best first, with devices and dtypes."""
    discover(paddle.get_device().split(":")[0])
    choices = forced.get() or {}
    lines = []
    for name, op in sorted(OPS.items()):
        impls = [f"{i.name} ({'/'.join(i.devices)}; {', '.join(i.dtypes)})" for i in op.impls]
        chosen = f" [forced: {choices[name]}]" if name in choices else ""
        lines.append(f"{name}: {', then '.join([*impls, 'reference'])}{chosen}")
    return "\n".join(lines)
