"""``torch.backends.mps``: Paddle has no Metal device."""

__emulated__ = True


def is_available() -> bool:
    """No."""
    return False


def is_built() -> bool:
    """No."""
    return False
