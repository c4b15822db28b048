"""Image classification: which labels fit an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from transformers.image_utils import load_image

from hfpaddle.transformers.pipelines.base import Pipeline
from hfpaddle.transformers.pipelines.iteration import as_array
from hfpaddle.transformers.pipelines.scores import (
    ClassificationFunction,
    default_function,
    scored,
)
from hfpaddle.transformers.pipelines.tasks import register_task


@register_task(
    "image-classification",
    auto="AutoModelForImageClassification",
    default=("google/vit-base-patch16-224", "3f49326"),
)
class ImageClassificationPipeline(Pipeline):
    """Scores the labels of an image. ``function_to_apply`` is "sigmoid", "softmax" or "none".

    By default: none for a regression, the sigmoid for several labels at once or a single one, else
    the softmax.
    """

    _load_tokenizer = False
    _load_image_processor = True
    auto = "AutoModelForImageClassification"

    def _sanitize_parameters(
        self, top_k: int | None = None, function_to_apply: Any = None, timeout: float | None = None
    ) -> tuple[dict, dict, dict]:
        if isinstance(function_to_apply, str):
            function_to_apply = ClassificationFunction(function_to_apply.lower())
        preprocess = {"timeout": timeout}
        postprocess = {"top_k": top_k, "function_to_apply": function_to_apply}
        given = ({k: v for k, v in p.items() if v is not None} for p in (preprocess, postprocess))
        first, last = given
        return first, {}, last

    def __call__(self, inputs: Any = None, **kwargs: Any) -> Any:
        """Classify images.

        Args:
            inputs: a path, URL, Pillow image or pixel array, or many of them. ``images=`` works.
            top_k: how many labels to return for each, 5 by default, at most all.
            function_to_apply: see the class.
            timeout: seconds to wait for an image of the web.

        Returns: for each image a list of ``{"label", "score"}``, the best first.
        """
        inputs = kwargs.pop("images", inputs)
        if inputs is None:
            raise ValueError(
                "Cannot call the image-classification pipeline without an inputs argument!"
            )
        if isinstance(inputs, (np.ndarray, paddle.Tensor)) or hasattr(inputs, "getbands"):
            return super().__call__([inputs], **kwargs)[0]
        return super().__call__(inputs, **kwargs)

    def preprocess(self, inputs: Any, timeout: float | None = None) -> Any:
        if not isinstance(inputs, (np.ndarray, paddle.Tensor)):
            inputs = load_image(inputs, timeout=timeout)
        features = self.image_processor(images=inputs, return_tensors="pt")
        return features.to(self.dtype)

    def _forward(self, model_inputs: Any) -> Any:
        return {"logits": self.model(**model_inputs).logits}

    def postprocess(self, model_outputs: Any, function_to_apply: Any = None, top_k: int = 5) -> Any:
        logits = as_array(model_outputs["logits"])[0]
        scores = scored(logits, function_to_apply or default_function(self.model.config))
        labels = self.model.config.id2label
        found = [{"label": labels[i], "score": score.item()} for i, score in enumerate(scores)]
        found.sort(key=lambda entry: entry["score"], reverse=True)
        return found[:top_k]
