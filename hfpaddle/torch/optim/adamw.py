"""Where torch keeps AdamW."""

from hfpaddle.torch.optim.adam import AdamW

__all__ = ["AdamW"]
