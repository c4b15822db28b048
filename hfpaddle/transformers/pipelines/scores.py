"""Scores of classes in numpy, in the dtype and the order of operations of the original."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from transformers.utils import ExplicitEnum


class ClassificationFunction(ExplicitEnum):
    """What turns logits into scores."""

    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"
    NONE = "none"


def default_function(config: Any) -> ClassificationFunction:
    """Return what fits the kind of classification that ``config`` tells."""
    if config.problem_type == "regression":
        return ClassificationFunction.NONE
    if config.problem_type == "multi_label_classification" or config.num_labels == 1:
        return ClassificationFunction.SIGMOID
    return ClassificationFunction.SOFTMAX


def scored(logits: np.ndarray, function: ClassificationFunction) -> np.ndarray:
    """Apply ``function`` over the last axis."""
    if function == ClassificationFunction.NONE:
        return logits
    return softmax(logits) if function == ClassificationFunction.SOFTMAX else sigmoid(logits)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-logits))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    shifted = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def top(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the ``count`` highest scores of the last axis, the earlier first."""
    return np.argsort(-scores, axis=-1, kind="stable")[..., :count]


def without_cache(model: Any) -> dict[str, bool]:
    """Return the argument that keeps a decoder from building a cache that nobody reads."""
    takes = "use_cache" in inspect.signature(model.forward).parameters
    return {"use_cache": False} if takes else {}
