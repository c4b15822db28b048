"""``torch.backends.cudnn``: its flags are kept, and Paddle decides."""

import contextlib

import paddle

__emulated__ = True

enabled = True
benchmark = False
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """Whether Paddle was built with cuDNN."""
    return paddle.get_cudnn_version() is not None


def version() -> int | None:
    """Version of cuDNN, or None."""
    return paddle.get_cudnn_version()


@contextlib.contextmanager
def flags(**_):
    """Flags inside a ``with``; Paddle decides them."""
    yield
