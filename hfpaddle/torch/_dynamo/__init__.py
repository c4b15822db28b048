"""``torch._dynamo``: nothing is compiled."""

from types import SimpleNamespace

from hfpaddle.torch.compiler import allow_in_graph, disable, is_compiling, reset

__emulated__ = True

config = SimpleNamespace(
    suppress_errors=False, cache_size_limit=8, recompile_limit=8, verbose=False,
    capture_scalar_outputs=False, optimize_ddp=True,
)  # fmt: skip


def mark_dynamic(*_, **__) -> None:
    """Nothing to mark."""


mark_static = mark_static_address = maybe_mark_dynamic = mark_dynamic


def graph_break(*_) -> None:
    """There is no graph."""


__all__ = ["allow_in_graph", "disable", "is_compiling", "reset"]
