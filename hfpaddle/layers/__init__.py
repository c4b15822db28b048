"""Shared blocks. They take plain numbers, so each can be built and tested alone."""

from hfpaddle.layers.activations import activation
from hfpaddle.layers.attention import Attention, FusedAttention, GroupFusedAttention
from hfpaddle.layers.basic import Conv1D, Dropout, Embedding, LayerNorm, Linear, RMSNorm
from hfpaddle.layers.masks import AttentionMask
from hfpaddle.layers.mlp import MLP, FusedGatedMLP, GatedMLP
from hfpaddle.layers.parameter import assign, empty_parameters, initialized, parameter
from hfpaddle.layers.rope import RotaryEmbedding

__all__ = [
    "MLP",
    "Attention",
    "AttentionMask",
    "Conv1D",
    "Dropout",
    "Embedding",
    "FusedAttention",
    "FusedGatedMLP",
    "GatedMLP",
    "GroupFusedAttention",
    "LayerNorm",
    "Linear",
    "RMSNorm",
    "RotaryEmbedding",
    "activation",
    "assign",
    "empty_parameters",
    "initialized",
    "parameter",
]
