"""Processors that consult something besides the scores: a second prompt, or a secret key."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.logging import logger
from hfpaddle.core.rng import Generator
from hfpaddle.generation.logits_base import LogitsProcessor
from hfpaddle.generation.tensors import log_softmax


class ClassifierFreeGuidanceLogitsProcessor(LogitsProcessor):
    """Moves scores away from the unconditional ones, which are the batch's second half."""

    def __init__(self, guidance_scale: float):
        if not guidance_scale > 1:
            raise ValueError(
                f"Require guidance scale >1 to use the classifier free guidance processor, got "
                f"guidance scale {guidance_scale}."
            )
        self.guidance_scale = guidance_scale

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        rows = input_ids.shape[0]
        if scores.shape[0] != 2 * rows:
            raise ValueError(
                f"Logits should have twice the batch size of the input ids, conditional rows "
                f"first. Got {scores.shape[0]} rows of logits and {rows} of input ids."
            )
        with_prompt, without = scores[:rows], scores[rows:]
        return without + (with_prompt - without) * self.guidance_scale


class UnbatchedClassifierFreeGuidanceLogitsProcessor(LogitsProcessor):
    """Guides by a second forward pass, from a negative prompt or from the last token alone.

    Args:
        guidance_scale: above 1 moves away from the negative prompt.
        model: the model that generates.
        unconditional_ids: ``[B, S]`` int64 negative prompt, with its mask.
        use_cache: whether the second pass keeps keys and values.
    """

    def __init__(
        self,
        guidance_scale: float,
        model: Any,
        unconditional_ids: paddle.Tensor | None = None,
        unconditional_attention_mask: paddle.Tensor | None = None,
        use_cache: bool = True,
    ):
        self.guidance_scale, self.model = guidance_scale, model
        self.unconditional_context = {
            "input_ids": unconditional_ids,
            "attention_mask": unconditional_attention_mask,
            "use_cache": use_cache,
            "past_key_values": None,
            "first_pass": True,
        }

    def get_unconditional_logits(self, input_ids: paddle.Tensor) -> paddle.Tensor:
        """Return the second pass's logits ``[B, S, V]`` after the newest token."""
        context, newest = self.unconditional_context, input_ids[:, -1:]
        if context["first_pass"]:
            if context["input_ids"] is None:
                context["input_ids"] = newest
            if context["attention_mask"] is None:
                context["attention_mask"] = paddle.ones_like(context["input_ids"])
            context["first_pass"] = False
        else:
            one = paddle.ones_like(newest).astype(context["attention_mask"].dtype)
            context["attention_mask"] = paddle.concat([context["attention_mask"], one], axis=1)
            if not context["use_cache"]:
                newest = paddle.concat([context["input_ids"], newest], axis=1)
            context["input_ids"] = newest
        out = self.model(
            context["input_ids"],
            attention_mask=context["attention_mask"],
            use_cache=context["use_cache"],
            past_key_values=context["past_key_values"],
        )
        context["past_key_values"] = out.get("past_key_values", None)
        return out.logits

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        scores = log_softmax(scores)
        if self.guidance_scale == 1:
            return scores
        without = self.get_unconditional_logits(input_ids)[:, -1].astype(scores.dtype)
        without = log_softmax(without)
        return self.guidance_scale * (scores - without) + without


class WatermarkLogitsProcessor(LogitsProcessor):
    """Adds ``bias`` to a pseudo-random "green" part of the vocabulary (arXiv:2306.04634).

    Args:
        vocab_size: V. device: accepted for the original's signature; the lists are made on the
            host, from the original's CPU streams, so that its detector finds them.
        greenlist_ratio: green share of the vocabulary, between 0 and 1.
        seeding_scheme: ``"lefthash"``: the last token chooses the list; ``"selfhash"``: the
            candidate token takes part too (slow: up to 40 lists a row and step).
        context_width: tokens that choose the list.
    """

    def __init__(
        self,
        vocab_size: int,
        device: Any,
        greenlist_ratio: float = 0.25,
        bias: float = 2.0,
        hashing_key: int = 15485863,
        seeding_scheme: str = "lefthash",
        context_width: int = 1,
    ):
        if seeding_scheme not in ("selfhash", "lefthash"):
            raise ValueError(
                f"seeding_scheme has to be one of [`selfhash`, `lefthash`], but found "
                f"{seeding_scheme}"
            )
        if not 0.0 < greenlist_ratio < 1.0:
            raise ValueError(
                f"greenlist_ratio has be in range between 0.0 and 1.0, exclusively. but found "
                f"{greenlist_ratio}"
            )
        self.vocab_size, self.bias = vocab_size, bias
        self.greenlist_size = int(vocab_size * greenlist_ratio)
        self.seeding_scheme, self.hash_key = seeding_scheme, hashing_key
        self.context_width, self.table_size = context_width, 1000003
        self.rng = Generator().manual_seed(hashing_key)
        self.fixed_table = self.rng.randperm(self.table_size)

    def set_seed(self, input_seq: np.ndarray) -> None:
        """Seed the list's stream from the last ``context_width`` tokens, int64 ``[S]``."""
        last = np.asarray(input_seq)[-self.context_width :]
        if self.seeding_scheme == "selfhash":
            a = self.fixed_table[last % self.table_size] + 1
            b = self.fixed_table[last[-1] % self.table_size] + 1
            with np.errstate(over="ignore"):  # int64 wraps round, as in the original
                seed = int((np.int64(self.hash_key) * a * b).min())
        else:
            seed = self.hash_key * int(last[-1])
        self.rng.manual_seed(seed % (2**64 - 1))

    def _get_greenlist_ids(self, input_seq: np.ndarray) -> np.ndarray:
        self.set_seed(input_seq)
        return self.rng.randperm(self.vocab_size)[: self.greenlist_size]

    def _score_rejection_sampling(self, input_seq: np.ndarray, best: np.ndarray) -> np.ndarray:
        candidates = best[:40]
        green = [t for t in candidates if t in self._get_greenlist_ids(np.append(input_seq, t))]
        return np.asarray(green, dtype="int64")

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        if input_ids.shape[-1] < self.context_width:
            logger.warning(
                "`input_ids` should have at least `%d` tokens but has %d. The seeding will be "
                "skipped for this generation step!",
                self.context_width,
                input_ids.shape[-1],
            )
            return scores
        bias = np.zeros(scores.shape, dtype="float32")
        best = paddle.argsort(scores, axis=-1, descending=True)[:, :40].numpy()
        for row, sequence in enumerate(input_ids.numpy()):
            if self.seeding_scheme == "selfhash":
                green = self._score_rejection_sampling(sequence, best[row])
            else:
                green = self._get_greenlist_ids(sequence)
            bias[row, green] = self.bias
        return scores + paddle.to_tensor(bias, place=scores.place).astype(scores.dtype)


class SynthIDTextWatermarkLogitsProcessor(LogitsProcessor):
    """Not implemented; the name exists so that the refusal can say so."""

    def __init__(self, *args: Any, **kwargs: Any):
        raise UnsupportedArgumentError(
            "SynthIDTextWatermarkLogitsProcessor is not implemented in hfpaddle (nearest: "
            "WatermarkLogitsProcessor, watermarking_config=WatermarkingConfig(...))."
        )
