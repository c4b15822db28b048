"""``torch.onnx``: use paddle2onnx."""

from hfpaddle.torch._missing import missing

export = missing("onnx.export", "Use paddle.onnx.export, which needs paddle2onnx.")


def is_in_onnx_export() -> bool:
    """Never."""
    return False
