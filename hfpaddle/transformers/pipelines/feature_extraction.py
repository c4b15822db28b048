"""Feature extraction: the hidden states of the backbone."""

from __future__ import annotations

from typing import Any

from hfpaddle.transformers.pipelines.base import Pipeline
from hfpaddle.transformers.pipelines.tasks import register_task


@register_task(
    "feature-extraction",
    auto="AutoModel",
    default=("distilbert/distilbert-base-cased", "6ea8117"),
)
class FeatureExtractionPipeline(Pipeline):
    """Returns the first output of the model, usually ``last_hidden_state`` ``[1, S, H]``."""

    _load_tokenizer = True

    def _sanitize_parameters(
        self,
        truncation: Any = None,
        tokenize_kwargs: dict | None = None,
        return_tensors: bool | None = None,
        **_: Any,
    ) -> tuple[dict, dict, dict]:
        preprocess = dict(tokenize_kwargs or {})
        if truncation is not None:
            if "truncation" in preprocess:
                raise ValueError(
                    "truncation parameter defined twice (given as keyword argument as well as in "
                    "tokenize_kwargs)"
                )
            preprocess["truncation"] = truncation
        postprocess = {} if return_tensors is None else {"return_tensors": return_tensors}
        return preprocess, {}, postprocess

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return features as nested lists of floats, or as tensors with ``return_tensors=True``.

        Args:
            args: a text or many.
            truncation, tokenize_kwargs: passed to the tokenizer.
        """
        return super().__call__(*args, **kwargs)

    def preprocess(self, inputs: Any, **tokenize_kwargs: Any) -> Any:
        return self.tokenizer(inputs, return_tensors="pt", **tokenize_kwargs)

    def _forward(self, model_inputs: Any) -> Any:
        return {"features": self.model(**model_inputs)[0]}

    def postprocess(self, model_outputs: Any, return_tensors: bool = False) -> Any:
        features = model_outputs["features"]
        # Lists of bfloat16 would hold the raw bits: Paddle's numpy has no such type.
        return features if return_tensors else features.astype("float32").tolist()
