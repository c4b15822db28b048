"""Where torch keeps GradScaler."""

from hfpaddle.torch.amp import GradScaler

__all__ = ["GradScaler"]
