"""Where torch keeps the parts of its loader."""

from hfpaddle.torch.utils.data._utils import collate

__all__ = ["collate"]
