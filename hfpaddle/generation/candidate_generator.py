"""Where assisted decoding gets its guesses: a smaller model, or the text itself.

Shape letters: S tokens so far, C candidates, V vocabulary. The batch is always 1.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import paddle
from transformers import GenerationConfig
from transformers.utils import is_sklearn_available

from hfpaddle.generation.logits_process import LogitsProcessorList, MinLengthLogitsProcessor
from hfpaddle.generation.preparation import is_tensor, ones_after, positions_after
from hfpaddle.generation.tensors import full
from hfpaddle.ops.sampling import host_softmax

_LOWEST = float(np.finfo(np.float32).min)


class CandidateGenerator:
    """Base class."""

    requires_model_outputs = False

    def get_candidates(
        self, input_ids: paddle.Tensor, **kwargs: Any
    ) -> tuple[paddle.Tensor, paddle.Tensor | None]:
        """Return ids ``[1, S + C]`` beginning with the given, and logits ``[1, C, V]`` or None."""
        raise NotImplementedError(
            f"{type(self)} is an abstract class. Only classes inheriting this class can call "
            f"`get_candidates`."
        )

    def update_candidate_strategy(
        self, input_ids: paddle.Tensor, scores: paddle.Tensor, num_matches: int
    ) -> None:
        """Learn how many candidates of the last step were right."""

    def finish(self) -> None:
        """Keep for the next call what this one has taught."""


def fit_mask(kwargs: dict[str, Any], length: int, is_encoder_decoder: bool) -> dict[str, Any]:
    """Cut or lengthen the (decoder's) mask to ``length``."""
    key = "decoder_attention_mask" if is_encoder_decoder else "attention_mask"
    mask = kwargs.get(key)
    if mask is not None and length != mask.shape[1]:
        more = length - mask.shape[1]
        kwargs[key] = mask[:, :length] if more < 0 else ones_after(mask, more)
    return kwargs


def fit_positions(kwargs: dict[str, Any], length: int, is_encoder_decoder: bool) -> dict[str, Any]:
    """Cut or lengthen the (decoder's) positions to ``length``."""
    key = "decoder_position_ids" if is_encoder_decoder else "position_ids"
    positions = kwargs.get(key)
    if positions is not None and length != positions.shape[-1]:
        more = length - positions.shape[-1]
        kwargs[key] = positions[..., :length] if more < 0 else positions_after(positions, more)
    return kwargs


def fit_token_types(kwargs: dict[str, Any], length: int) -> dict[str, Any]:
    """Cut the token types to ``length``, or repeat the last one."""
    types = kwargs.get("token_type_ids")
    if types is not None and length != types.shape[1]:
        more = length - types.shape[1]
        last = types[:, -1:].expand([types.shape[0], max(more, 0)])
        kwargs["token_type_ids"] = (
            types[:, :length] if more < 0 else paddle.concat([types, last], axis=-1)
        )
    return kwargs


class AssistedCandidateGenerator(CandidateGenerator):
    """Lets a smaller model with the same tokenizer continue the text (arXiv:2211.17192).

    Args:
        input_ids: ``[1, S]`` prompt.
        assistant_model: any model with ``generate``.
        generation_config, model_kwargs, inputs_tensor: of the main model's call.
        logits_processor: the main model's; the assistant uses them too.
    """

    def __init__(
        self,
        input_ids: paddle.Tensor,
        assistant_model: Any,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        inputs_tensor: paddle.Tensor | None = None,
        logits_processor: LogitsProcessorList | None = None,
    ):
        self.assistant_model = assistant_model
        own = copy.deepcopy(assistant_model.generation_config)
        own.update(**own._get_default_generation_params(), defaults_only=True)
        own.eos_token_id = generation_config.eos_token_id
        self.assistant_generation_config = own
        self.num_assistant_tokens = own.num_assistant_tokens
        self.assistant_confidence_threshold = own.assistant_confidence_threshold
        self._prepare_arguments(input_ids, model_kwargs, inputs_tensor)
        config = copy.copy(generation_config)
        self.main_model_min_length, self.main_model_max_length = (
            config.min_length,
            config.max_length,
        )
        config.return_dict_in_generate = config.output_scores = config.is_assistant = True
        config.assistant_confidence_threshold = self.assistant_confidence_threshold
        config.min_length = config.min_new_tokens = config.max_length = None
        self.generation_config = config
        self.logits_processor = [
            p for p in logits_processor or [] if not isinstance(p, MinLengthLogitsProcessor)
        ]
        # The original tunes the threshold where scikit-learn is installed, and only there.
        self._tunes = bool(is_sklearn_available() and self.assistant_confidence_threshold)
        self.probs: list[float] = []
        self.matches: list[int] = []

    def _prepare_arguments(
        self,
        input_ids: paddle.Tensor,
        model_kwargs: dict[str, Any],
        inputs_tensor: paddle.Tensor | None,
    ) -> None:
        model, kwargs = self.assistant_model, {}
        place = model._place()
        for key, value in model_kwargs.items():
            if key not in ("encoder_outputs", "past_key_values"):
                kwargs[key] = value.to(place) if is_tensor(value) else copy.deepcopy(value)
        if "logits_to_keep" in kwargs and not model._supports_logits_to_keep():
            del kwargs["logits_to_keep"]
        self.input_ids_key = "input_ids"
        if model.config.is_encoder_decoder:
            own = self.assistant_generation_config
            inputs, name, kwargs = model._prepare_model_inputs(
                inputs_tensor.to(place), own.bos_token_id, kwargs
            )
            kwargs = model._maybe_prepare_encoder_kwargs_for_generation(inputs, kwargs, name, own)
            self.input_ids_key = "decoder_input_ids"
        elif "encoder_outputs" in model_kwargs:
            kwargs["encoder_outputs"] = model_kwargs["encoder_outputs"]
            default = full([input_ids.shape[0], 1], 1, "int64", input_ids)
            kwargs["attention_mask"] = kwargs.get("decoder_attention_mask", default)
        self.assistant_kwargs = kwargs

    def get_candidates(
        self, input_ids: paddle.Tensor, **kwargs: Any
    ) -> tuple[paddle.Tensor, paddle.Tensor | None]:
        input_ids = input_ids.to(self.assistant_model._place())
        length = input_ids.shape[-1]
        most = min(int(self.num_assistant_tokens), self.main_model_max_length - length - 1)
        if most == 0:
            return input_ids, None
        least = max(min(most, self.main_model_min_length - length), 0)
        self._take_back(input_ids)
        output = self.assistant_model.generate(
            **{self.input_ids_key: input_ids},
            min_new_tokens=least,
            max_new_tokens=most,
            generation_config=self.generation_config,
            logits_processor=self.logits_processor,
            **self.assistant_kwargs,
        )
        self.assistant_kwargs["past_key_values"] = output.past_key_values
        if self._tunes:
            for token, scores in zip(
                output.sequences[-1, -len(output.scores) :].tolist(), output.scores, strict=True
            ):
                self.probs.append(float(host_softmax(scores)[0, token]))
        return output.sequences, paddle.stack(output.scores, axis=1)

    def _take_back(self, input_ids: paddle.Tensor) -> None:
        """Forget the drafted tokens that the main model did not accept."""
        cache = self.assistant_kwargs.get("past_key_values")
        if cache is None:
            return
        length, encodes = input_ids.shape[-1], self.assistant_model.config.is_encoder_decoder
        # The newest token was chosen by the main model, and the one before may not be in the cache.
        surplus = int(cache.get_seq_length()) - (length - 2)
        if surplus >= 0:
            cache.crop(-surplus)
        fit_mask(self.assistant_kwargs, length, encodes)
        fit_positions(self.assistant_kwargs, length, encodes)
        fit_token_types(self.assistant_kwargs, length)

    def update_candidate_strategy(
        self, input_ids: paddle.Tensor, scores: paddle.Tensor, num_matches: int
    ) -> None:
        """Draft more after a full hit and fewer otherwise, if the schedule is a heuristic one."""
        own = self.assistant_generation_config
        if own.num_assistant_tokens_schedule in ("heuristic", "heuristic_transient"):
            if num_matches == scores.shape[1] - 1:
                self.num_assistant_tokens += 2
            else:
                self.num_assistant_tokens = max(1, self.num_assistant_tokens - 1)
        if self._tunes:
            self._tune_threshold(num_matches)

    def finish(self) -> None:
        own = self.assistant_model.generation_config
        if own.num_assistant_tokens_schedule == "heuristic":
            own.num_assistant_tokens = self.num_assistant_tokens

    def _tune_threshold(self, num_matches: int) -> None:
        """Choose the confidence threshold that would have cost least so far (arXiv:2405.04304)."""
        self.matches.extend([1] * num_matches)
        if len(self.probs) > len(self.matches):
            self.matches.append(0)
        del self.probs[len(self.matches) :]
        if len(self.probs) > 5 and {0, 1}.issubset(self.matches):
            from sklearn.metrics import roc_curve

            false_positive, true_positive, thresholds = roc_curve(self.matches, self.probs)
            best = thresholds[np.argmin(false_positive + 3 * (1 - true_positive))]
            self.assistant_generation_config.assistant_confidence_threshold = best
            self.generation_config.assistant_confidence_threshold = best


class PromptLookupCandidateGenerator(CandidateGenerator):
    """Guesses that text goes on as it did after the last occurrence of its final n-gram.

    Args:
        eos_token_id: candidates end before one of these, int64 ``[E]``.
        num_output_tokens: most candidates a step.
        max_matching_ngram_size: longest n-gram looked for first.
        max_length: of the whole sequence.
        logits_processor: candidates that these forbid are dropped.
        vocab_size: V.
    """

    def __init__(
        self,
        eos_token_id: paddle.Tensor | None = None,
        num_output_tokens: int = 10,
        max_matching_ngram_size: int = 2,
        max_length: int = 20,
        logits_processor: LogitsProcessorList | None = None,
        vocab_size: int | None = None,
    ):
        if max_matching_ngram_size <= 0 or num_output_tokens <= 0:
            raise ValueError(
                f"Invalid max_matching_ngram_size ({max_matching_ngram_size}) or num_output_tokens "
                f"({num_output_tokens}): both must be positive."
            )
        self.ends = set() if eos_token_id is None else set(eos_token_id.tolist())
        self.num_output_tokens, self.max_length = num_output_tokens, max_length
        self.max_matching_ngram_size = max_matching_ngram_size
        self.logits_processor, self.vocab_size = logits_processor, vocab_size

    def get_candidates(
        self, input_ids: paddle.Tensor, **kwargs: Any
    ) -> tuple[paddle.Tensor, paddle.Tensor | None]:
        if self.max_length == input_ids.shape[1] + 1:
            return input_ids, None
        chosen = self._look_up(input_ids)
        chosen = chosen[: next((i for i, t in enumerate(chosen) if t in self.ends), len(chosen))]
        return (_append(input_ids, chosen) if chosen else input_ids), None

    def _look_up(self, input_ids: paddle.Tensor) -> list[int]:
        """Return the tokens after the first match of the longest n-gram that has one."""
        ids = input_ids[0].tolist()
        length = len(ids)
        for n in range(min(self.max_matching_ngram_size, length - 1), 0, -1):
            for start in range(length - n + 1):
                end = min(start + n + self.num_output_tokens, length, self.max_length)
                if ids[start : start + n] != ids[-n:] or start + n >= end:
                    continue
                chosen = self._allowed(input_ids, ids[start + n : end])
                if chosen:
                    return chosen
        return []

    def _allowed(self, input_ids: paddle.Tensor, chosen: list[int]) -> list[int]:
        """Return the candidates before the first that the processors forbid."""
        if not self.logits_processor:
            return chosen
        neutral = full([1, self.vocab_size], 1.0, "float32", input_ids)
        for i, token in enumerate(chosen):
            before = _append(input_ids, chosen[:i]) if i else input_ids
            score = float(self.logits_processor(before, neutral)[0, token])
            if score in (-float("inf"), _LOWEST):
                return chosen[:i]
        return chosen


def _append(input_ids: paddle.Tensor, tokens: list[int]) -> paddle.Tensor:
    more = paddle.to_tensor([tokens], dtype="int64", place=input_ids.place)
    return paddle.concat([input_ids, more], axis=1)
