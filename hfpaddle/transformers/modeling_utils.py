"""Mirror of ``transformers.modeling_utils``."""

from hfpaddle.modeling.base import PreTrainedModel

__all__ = ["PreTrainedModel"]
