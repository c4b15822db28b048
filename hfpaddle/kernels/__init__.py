"""Which implementation of each op runs: force one, or see the choice.

with hfpaddle.kernels.use(rms_norm="reference"):
    model.generate(**inputs)
print(hfpaddle.kernels.report())

HFPADDLE_KERNELS="rms_norm=reference,linear=cpu" chooses for a process, HFPADDLE_KERNELS=reference
for every op.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import paddle

from hfpaddle import ops  # noqa: F401  registers every op
from hfpaddle.core import op as core
from hfpaddle.core.errors import UnsupportedArgumentError, nearest


@contextlib.contextmanager
def use(**choices: str) -> Iterator[None]:
    """Within the block, run op ``name`` by the implementation of that name, or ``"reference"``.

    Raises: UnsupportedArgumentError for an unknown op or implementation.
    """
    core.discover(paddle.get_device().split(":")[0])
    for name, choice in choices.items():
        if name not in core.OPS:
            raise UnsupportedArgumentError(
                f"kernels.use: no op {name!r}{nearest(name, core.OPS)}. Known: {sorted(core.OPS)}."
            )
        known = ["reference", *(impl.name for impl in core.OPS[name].impls)]
        if choice not in known:
            raise UnsupportedArgumentError(
                f"kernels.use({name}={choice!r}): known implementations: {known}."
            )
    token = core.forced.set({**core.choices(), **choices})
    try:
        yield
    finally:
        core.forced.reset(token)


def report() -> str:
    """Return a line per op: its implementations, best first, with devices and dtypes."""
    core.discover(paddle.get_device().split(":")[0])
    choices = core.choices()
    lines = []
    for name, op in sorted(core.OPS.items()):
        impls = [f"{i.name} ({'/'.join(i.devices)}; {', '.join(i.dtypes)})" for i in op.impls]
        chosen = f" [forced: {choices[name]}]" if name in choices else ""
        lines.append(f"{name}: {', then '.join([*impls, 'reference'])}{chosen}")
    return "\n".join(lines)
