"""XLM-RoBERTa encoder: RoBERTa's architecture over a multilingual vocabulary.

Source: arXiv:1911.02116; checkpoints `FacebookAI/xlm-roberta-*`.
"""

from __future__ import annotations

import transformers

from hfpaddle.modeling.registry import register_model
from hfpaddle.models.roberta import RobertaModel, RobertaPreTrainedModel


class XLMRobertaPreTrainedModel(RobertaPreTrainedModel):
    """What all XLM-RoBERTa classes share; derive from it to write a head of your own."""

    config_class = transformers.XLMRobertaConfig
    head_first = True


@register_model("xlm-roberta")
class XLMRobertaModel(RobertaModel, XLMRobertaPreTrainedModel):
    """RoBERTa's encoder."""
