"""Where torch keeps autocast."""

from hfpaddle.torch.amp import autocast, custom_bwd, custom_fwd

__all__ = ["autocast", "custom_bwd", "custom_fwd"]
