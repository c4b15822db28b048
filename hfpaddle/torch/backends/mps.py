"""``torch.backends.mps``: Paddle has no Metal device."""


def is_available() -> bool:
    """No."""
    return False


def is_built() -> bool:
    """No."""
    return False
