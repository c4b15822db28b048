"""Masked language modelling: which tokens fit where a text has masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.logging import logger
from hfpaddle.transformers.pipelines.base import Pipeline
from hfpaddle.transformers.pipelines.iteration import as_array
from hfpaddle.transformers.pipelines.parts import PipelineException
from hfpaddle.transformers.pipelines.scores import softmax, top
from hfpaddle.transformers.pipelines.tasks import register_task


@register_task(
    "fill-mask",
    auto="AutoModelForMaskedLM",
    default=("distilbert/distilroberta-base", "fb53ab8"),
)
class FillMaskPipeline(Pipeline):
    """Scores tokens for each mask alone, not jointly where there are several."""

    _load_tokenizer = True

    def _sanitize_parameters(
        self, top_k: Any = None, targets: Any = None, tokenizer_kwargs: dict | None = None
    ) -> tuple[dict, dict, dict]:
        if self.tokenizer.mask_token_id is None:
            self._refuse("The tokenizer does not define a `mask_token`.")
        preprocess = {} if tokenizer_kwargs is None else {"tokenizer_kwargs": tokenizer_kwargs}
        postprocess: dict[str, Any] = {}
        if targets is not None:
            postprocess["target_ids"] = self.get_target_ids(targets)
        if top_k is not None:
            postprocess["top_k"] = top_k
        return preprocess, {}, postprocess

    def _refuse(self, reason: str) -> None:
        raise PipelineException("fill-mask", self.model.base_model_prefix, reason)

    def get_target_ids(self, targets: str | list[str]) -> np.ndarray:
        """Return the ids of the only tokens to score; of unknown words the first piece's id."""
        vocabulary, ids = self.tokenizer.get_vocab(), set()
        for target in [targets] if isinstance(targets, str) else targets:
            token = vocabulary.get(target)
            if token is None:
                pieces = self.tokenizer(target, add_special_tokens=False)["input_ids"]
                missing = f"The specified target token `{target}` does not exist in the vocabulary."
                if not pieces:
                    logger.warning(f"{missing} Nothing can replace it, ignoring it")
                    continue
                token = pieces[0]
                name = self.tokenizer.convert_ids_to_tokens(token)
                logger.warning(f"{missing} Replacing with `{name}`.")
            ids.add(token)
        if not ids:
            raise ValueError("At least one target must be provided when passed.")
        return np.array(list(ids))

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Fill the masks of texts.

        Args:
            inputs: a text with one or more mask tokens, or many.
            top_k: how many tokens to return a mask (5).
            targets: words to which the choice is limited.
            tokenizer_kwargs: passed to the tokenizer.

        Returns: a list of ``{"score", "token", "token_str", "sequence"}`` for a text, a list of
        these lists for several masks or texts (a list of one text counts as the text).
        """
        outputs = super().__call__(inputs, **kwargs)
        return outputs[0] if isinstance(inputs, list) and len(inputs) == 1 else outputs

    def preprocess(self, inputs: Any, tokenizer_kwargs: dict | None = None) -> Any:
        encoded = self.tokenizer(inputs, return_tensors="pt", **(tokenizer_kwargs or {}))
        if not (encoded["input_ids"].numpy() == self.tokenizer.mask_token_id).any():
            self._refuse(f"No mask_token ({self.tokenizer.mask_token}) found on the input")
        return encoded

    def _forward(self, model_inputs: Any) -> Any:
        return {"logits": self.model(**model_inputs).logits, "input_ids": model_inputs["input_ids"]}

    def postprocess(
        self, model_outputs: Any, top_k: int = 5, target_ids: np.ndarray | None = None
    ) -> Any:
        ids = model_outputs["input_ids"].numpy()[0]
        masks = np.nonzero(ids == self.tokenizer.mask_token_id)[0]
        scores = softmax(as_array(model_outputs["logits"])[0, masks])
        if target_ids is not None:
            scores, top_k = scores[:, target_ids], min(top_k, len(target_ids))
        if top_k > scores.shape[-1]:
            raise UnsupportedArgumentError(
                f"fill-mask: top_k={top_k} is more than the {scores.shape[-1]} tokens there are."
            )
        result = []
        for mask, row in zip(masks, scores, strict=True):
            best = top(row, top_k)
            tokens = best if target_ids is None else target_ids[best]
            pairs = zip(row[best].tolist(), tokens.tolist(), strict=True)
            result.append([self._filled(ids, mask, *pair, len(masks) == 1) for pair in pairs])
        return result[0] if len(masks) == 1 else result

    def _filled(self, ids: np.ndarray, mask: int, score: float, token: int, only: bool) -> dict:
        """Return one proposal; where there are more masks, special tokens stay to show them."""
        filled = ids.copy()
        filled[mask] = token
        filled = filled[filled != self.tokenizer.pad_token_id]
        return {
            "score": score,
            "token": token,
            "token_str": self.tokenizer.decode([token]),
            "sequence": self.tokenizer.decode(filled.tolist(), skip_special_tokens=only),
        }
