"""``torch.export``: use Paddle's own export."""

from hfpaddle.torch._missing import missing

export = missing("export.export", "Use paddle.jit.save with an InputSpec.")
load = missing("export.load", "Use paddle.jit.load.")
save = missing("export.save", "Use paddle.jit.save.")


class ExportedProgram:
    """No program is exported."""
