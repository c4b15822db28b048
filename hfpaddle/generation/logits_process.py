"""Processors that allow, forbid or reweigh tokens; and all processors under the original's path.

Shape letters: B rows, S tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle

from hfpaddle.generation.logits_base import LogitsProcessor, LogitsProcessorList, positive_int
from hfpaddle.generation.logits_guidance import (
    ClassifierFreeGuidanceLogitsProcessor,
    SynthIDTextWatermarkLogitsProcessor,
    UnbatchedClassifierFreeGuidanceLogitsProcessor,
    WatermarkLogitsProcessor,
)
from hfpaddle.generation.logits_warpers import (
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopHLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)
from hfpaddle.generation.tensors import (
    NEG_INF,
    Hidden,
    arange,
    fill,
    full,
    gather,
    is_floating,
    log_softmax,
    mark,
    put,
    token_ids,
    token_mask,
)

__all__ = [
    "ClassifierFreeGuidanceLogitsProcessor",
    "EncoderNoRepeatNGramLogitsProcessor",
    "EncoderRepetitionPenaltyLogitsProcessor",
    "EpsilonLogitsWarper",
    "EtaLogitsWarper",
    "ExponentialDecayLengthPenalty",
    "ForcedBOSTokenLogitsProcessor",
    "ForcedEOSTokenLogitsProcessor",
    "InfNanRemoveLogitsProcessor",
    "LogitNormalization",
    "LogitsProcessor",
    "LogitsProcessorList",
    "MinLengthLogitsProcessor",
    "MinNewTokensLengthLogitsProcessor",
    "MinPLogitsWarper",
    "NoBadWordsLogitsProcessor",
    "NoRepeatNGramLogitsProcessor",
    "PrefixConstrainedLogitsProcessor",
    "RepetitionPenaltyLogitsProcessor",
    "SequenceBiasLogitsProcessor",
    "SuppressTokensAtBeginLogitsProcessor",
    "SuppressTokensLogitsProcessor",
    "SynthIDTextWatermarkLogitsProcessor",
    "TemperatureLogitsWarper",
    "TopHLogitsWarper",
    "TopKLogitsWarper",
    "TopPLogitsWarper",
    "TypicalLogitsWarper",
    "UnbatchedClassifierFreeGuidanceLogitsProcessor",
    "WatermarkLogitsProcessor",
]

Tokens = int | list[int] | paddle.Tensor


def _only(scores_BV: paddle.Tensor, tokens: paddle.Tensor) -> paddle.Tensor:
    """Return scores of 0 for ``tokens`` and -inf for all others."""
    zeros = paddle.zeros_like(scores_BV)
    return fill(zeros, ~token_mask(tokens, scores_BV), NEG_INF)


def _eos_ids(eos_token_id: Tokens) -> paddle.Tensor:
    ids = token_ids(eos_token_id)
    if is_floating(ids) or bool(paddle.any(ids < 0)):
        raise ValueError(
            f"`eos_token_id` has to be a list of positive integers, but is {ids.tolist()}"
        )
    return ids


class MinLengthLogitsProcessor(LogitsProcessor):
    """Forbids the end tokens while the sequence, prompt included, is below ``min_length``."""

    supports_continuous_batching = False

    def __init__(self, min_length: int, eos_token_id: Tokens, device: str = "cpu"):
        self.min_length = positive_int("min_length", min_length, least=0)
        self.eos_token_id, self._hidden = token_ids(eos_token_id), Hidden()

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        if input_ids.shape[-1] >= self.min_length:
            return scores
        return self._hidden.hide(self.eos_token_id, scores)


class MinNewTokensLengthLogitsProcessor(LogitsProcessor):
    """Forbids the end tokens until ``min_new_tokens`` follow the prompt."""

    supports_continuous_batching = False

    def __init__(
        self,
        prompt_length_to_skip: int,
        min_new_tokens: int,
        eos_token_id: Tokens,
        device: str = "cpu",
    ):
        for name, value in (
            ("prompt_length_to_skip", prompt_length_to_skip),
            ("min_new_tokens", min_new_tokens),
        ):
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"`{name}` has to be a positive integer, but is {value}")
        self.prompt_length_to_skip, self.min_new_tokens = prompt_length_to_skip, min_new_tokens
        self.eos_token_id, self._hidden = token_ids(eos_token_id), Hidden()

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        if input_ids.shape[-1] - self.prompt_length_to_skip >= self.min_new_tokens:
            return scores
        return self._hidden.hide(self.eos_token_id, scores)


def _penalty(penalty: float) -> float:
    if not isinstance(penalty, float) or not penalty > 0:
        raise ValueError(f"`penalty` has to be a strictly positive float, but is {penalty}")
    return penalty


def _penalize(scores: paddle.Tensor, index: paddle.Tensor, penalty: float) -> paddle.Tensor:
    """Return scores whose entries at ``index`` ``[B, I]`` are made less likely once."""
    chosen = gather(scores, index)
    return put(scores, index, paddle.where(chosen < 0, chosen * penalty, chosen / penalty))


class RepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """Makes tokens that occurred less likely (arXiv:1909.05858).

    Args:
        penalty: above 1 discourages repetition.
        prompt_ignore_length: tokens at the start that do not count; one int, or one a row.
    """

    supports_continuous_batching = False

    def __init__(self, penalty: float, prompt_ignore_length: int | paddle.Tensor | None = None):
        self.penalty = _penalty(penalty)
        if isinstance(prompt_ignore_length, int) and prompt_ignore_length < 0:
            raise ValueError(
                f"`prompt_ignore_length` has to be a positive integer, but is "
                f"{prompt_ignore_length}"
            )
        if isinstance(prompt_ignore_length, paddle.Tensor) and prompt_ignore_length.ndim != 1:
            raise ValueError("`prompt_ignore_length` must be 1D")
        self.prompt_ignore_length = prompt_ignore_length

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        rows, vocabulary = scores.shape
        ids = input_ids.unsqueeze(1) if input_ids.ndim == 1 else input_ids
        ignored = self.prompt_ignore_length
        if isinstance(ignored, int):
            ids = ids[:, ignored:]
        elif ignored is not None:
            if ids.shape[0] != ignored.shape[0]:
                raise ValueError("Incompatible `prompt_ignore_length` batch size")
            positions = arange(ids.shape[1], ids).unsqueeze(0)
            ignored = ignored.to(ids.place).astype("int64").unsqueeze(-1)
            ids = fill(ids, positions < ignored, vocabulary)
        if ids.shape[1] == 0:
            return scores
        # Ids outside the vocabulary (placeholders, ignored ones) fall on a column of their own.
        ids = paddle.clip(ids, max=vocabulary)
        padded = paddle.concat([scores, full([rows, 1], 0.0, scores.dtype, scores)], axis=1)
        return _penalize(padded, ids, self.penalty)[:, :vocabulary]


class EncoderRepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """Makes the encoder's input tokens more likely (penalty above 1)."""

    supports_continuous_batching = False

    def __init__(self, penalty: float, encoder_input_ids: paddle.Tensor):
        self.penalty = 1 / _penalty(penalty)
        self.encoder_input_ids = encoder_input_ids

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        ids = self.encoder_input_ids.to(scores.place)
        if scores.shape[0] > ids.shape[0]:
            ids = paddle.repeat_interleave(ids, scores.shape[0] // ids.shape[0], axis=0)
        return _penalize(scores, ids, self.penalty)


class NoRepeatNGramLogitsProcessor(LogitsProcessor):
    """Forbids a token that would complete an n-gram seen before."""

    def __init__(self, ngram_size: int):
        self.ngram_size = positive_int("ngram_size", ngram_size)

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        n, length, vocabulary = self.ngram_size, input_ids.shape[-1], scores.shape[-1]
        if length < n:
            return scores
        last = input_ids[:, n - 1 :]
        match = paddle.ones_like(last) != 0
        for i in range(n - 1):
            now = input_ids[:, length - n + 1 + i : length - n + 2 + i]
            match = paddle.logical_and(match, input_ids[:, i : length - n + 1 + i] == now)
        # What does not match, or is no token of this vocabulary, falls on a column of its own.
        index = fill(paddle.clip(last, max=vocabulary), ~match, vocabulary)
        shape = [scores.shape[0], vocabulary + 1]
        banned = mark(shape, index, paddle.ones_like(index))[:, :vocabulary]
        return fill(scores, banned, NEG_INF)


class EncoderNoRepeatNGramLogitsProcessor(LogitsProcessor):
    """Forbids a token that would complete an n-gram of the encoder's input."""

    def __init__(self, encoder_ngram_size: int, encoder_input_ids: paddle.Tensor):
        self.ngram_size = n = positive_int("encoder_ngram_size", encoder_ngram_size)
        if encoder_input_ids.ndim == 1:
            encoder_input_ids = encoder_input_ids.unsqueeze(0)
        self.batch_size = encoder_input_ids.shape[0]
        self.generated_ngrams: list[dict[tuple, list[int]]] = []
        for row in encoder_input_ids.tolist():
            seen: dict[tuple, list[int]] = {}
            for *start, end in zip(*(row[i:] for i in range(n)), strict=False):
                seen.setdefault(tuple(start), []).append(end)
            self.generated_ngrams.append(seen)

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        rows, length = input_ids.shape
        beams = scores.shape[0] // self.batch_size
        start = max(length + 1 - self.ngram_size, 0)
        banned = np.zeros(scores.shape, dtype=bool)
        for row, tail in enumerate(
            input_ids[:, start:].tolist() if start < length else [()] * rows
        ):
            banned[row, self.generated_ngrams[row // beams].get(tuple(tail), [])] = True
        return fill(scores, paddle.to_tensor(banned, place=scores.place), NEG_INF)


class SequenceBiasLogitsProcessor(LogitsProcessor):
    """Adds a bias to a token when it would complete a given sequence.

    Args:
        sequence_bias: ``{(ids...): bias}`` or ``[[[ids...], bias], ...]`` with float biases.
    """

    def __init__(self, sequence_bias: Any):
        self.sequence_bias = sequence_bias
        self._validate_arguments()
        if isinstance(self.sequence_bias, list):
            self.sequence_bias = {tuple(ids): bias for ids, bias in self.sequence_bias}
        self._tables: Any = None

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        if self._tables is None:
            self._tables = self._make_tables(scores)
        single, longer = self._tables
        bias = paddle.zeros_like(scores) + single
        for prefixes, last, biases in longer:
            size = prefixes.shape[1]
            if size > input_ids.shape[1]:
                continue
            match = paddle.all(input_ids[:, -size:].unsqueeze(1) == prefixes, axis=-1)
            added = paddle.where(match, biases, paddle.zeros_like(biases))
            bias = paddle.index_add(bias, last, 1, added)
        return scores + bias

    def _make_tables(self, scores: paddle.Tensor) -> tuple[paddle.Tensor, list[tuple]]:
        """Return single-token biases ``[V]``, and per length the prefixes, last ids and biases."""
        vocabulary = scores.shape[-1]
        outside = [token for ids in self.sequence_bias for token in ids if token >= vocabulary]
        if outside:
            raise ValueError(
                f"The model vocabulary size is {vocabulary}, but the following tokens were being "
                f"biased: {outside}"
            )
        single = np.zeros(vocabulary, dtype="float32")
        groups: dict[int, list[tuple]] = {}
        for ids, bias in self.sequence_bias.items():
            if len(ids) == 1:
                single[ids[0]] = bias
            else:
                groups.setdefault(len(ids), []).append((ids, bias))

        def tensor(values: list, dtype: str) -> paddle.Tensor:
            return paddle.to_tensor(np.asarray(values, dtype=dtype), place=scores.place)

        longer = [
            (
                tensor([ids[:-1] for ids, _ in group], "int64"),
                tensor([ids[-1] for ids, _ in group], "int64"),
                tensor([[bias for _, bias in group]], "float32"),
            )
            for group in groups.values()
        ]
        return tensor(list(single), "float32"), longer

    def _validate_arguments(self) -> None:
        bias = self.sequence_bias
        if not isinstance(bias, (dict, list)) or len(bias) == 0:
            raise ValueError(
                f"`sequence_bias` has to be a non-empty dictionary, or non-empty list of lists but "
                f"is {bias}."
            )
        if isinstance(bias, dict):
            self._validate_dict(bias)
            return
        for pair in bias:
            if (
                len(pair) == 0
                or not isinstance(pair[0], list)
                or not all(_is_token(token) for token in pair[0])
                or not isinstance(pair[1], float)
            ):
                raise ValueError(
                    f"Each element in `sequence_bias` has to be a non-empty list of lists of "
                    f"positive integers and float, but is {bias}."
                )

    @staticmethod
    def _validate_dict(bias: dict) -> None:
        if any(not isinstance(ids, tuple) for ids in bias):
            raise ValueError(
                f"`sequence_bias` has to be a dict with tuples as keys, but is {bias}."
            )
        if any(len(ids) == 0 or not all(_is_token(token) for token in ids) for ids in bias):
            raise ValueError(
                f"Each key in `sequence_bias` has to be a non-empty tuple of positive integers, "
                f"but is {bias}."
            )
        if any(not isinstance(value, float) for value in bias.values()):
            raise ValueError(
                f"`sequence_bias` has to be a dict with floats as values, but is {bias}."
            )


def _is_token(token: object) -> bool:
    return isinstance(token, (int, np.integer)) and token >= 0


class NoBadWordsLogitsProcessor(SequenceBiasLogitsProcessor):
    """Forbids sequences: a bias of -inf on each one's last token. The end token stays allowed."""

    def __init__(self, bad_words_ids: list[list[int]], eos_token_id: Tokens | None = None):
        self.bad_word_ids = bad_words_ids
        self._validate_arguments()
        if eos_token_id is not None:
            ends = [[token] for token in token_ids(eos_token_id).tolist()]
            bad_words_ids = [ids for ids in bad_words_ids if ids not in ends]
        super().__init__(sequence_bias={tuple(ids): NEG_INF for ids in bad_words_ids})

    def _validate_arguments(self) -> None:
        words = self.bad_word_ids
        if not isinstance(words, list) or len(words) == 0:
            raise ValueError(f"`bad_words_ids` has to be a non-empty list, but is {words}.")
        if any(not isinstance(ids, list) for ids in words):
            raise ValueError(f"`bad_words_ids` has to be a list of lists, but is {words}.")
        if any(not all(_is_token(token) for token in ids) for ids in words):
            raise ValueError(
                f"Each list in `bad_words_ids` has to be a list of positive integers, but is "
                f"{words}."
            )


class PrefixConstrainedLogitsProcessor(LogitsProcessor):
    """Allows the tokens that a function of (batch index, ids so far ``[S]``) returns."""

    def __init__(
        self, prefix_allowed_tokens_fn: Callable[[int, paddle.Tensor], list[int]], num_beams: int
    ):
        self._prefix_allowed_tokens_fn = prefix_allowed_tokens_fn
        self._num_beams = num_beams

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        mask = np.full(scores.shape, NEG_INF, dtype="float32")
        batch = input_ids.shape[0] // self._num_beams
        for row in range(batch * self._num_beams):
            sample = row // self._num_beams
            allowed = self._prefix_allowed_tokens_fn(sample, input_ids[row])
            if len(allowed) == 0:
                raise ValueError(
                    f"`prefix_allowed_tokens_fn` returned an empty list for batch ID {sample}. "
                    f"This means that the constraint is unsatisfiable. Please check your "
                    f"implementation of `prefix_allowed_tokens_fn`."
                )
            mask[row, np.asarray(allowed)] = 0.0
        mask = paddle.to_tensor(mask, place=scores.place).astype(scores.dtype)
        allowed_scores = scores + mask
        # Where earlier processors forbid all that is allowed here, the constraint wins.
        best = paddle.max(allowed_scores, axis=-1).reshape([batch, -1])
        stuck = paddle.all(best == NEG_INF, axis=-1, keepdim=True)
        stuck = paddle.repeat_interleave(stuck.astype("int32"), self._num_beams, axis=0) != 0
        return paddle.where(stuck, mask, allowed_scores)


class ForcedBOSTokenLogitsProcessor(LogitsProcessor):
    """Makes the first generated token of an encoder-decoder the given one."""

    def __init__(self, bos_token_id: int):
        self.bos_token_id = bos_token_id

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        return _only(scores, token_ids(self.bos_token_id)) if input_ids.shape[-1] == 1 else scores


class ForcedEOSTokenLogitsProcessor(LogitsProcessor):
    """Makes the last token that ``max_length`` allows an end token."""

    def __init__(self, max_length: int, eos_token_id: Tokens, device: str = "cpu"):
        self.max_length, self.eos_token_id = max_length, _eos_ids(eos_token_id)

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        at_end = input_ids.shape[-1] == self.max_length - 1
        return _only(scores, self.eos_token_id) if at_end else scores


class InfNanRemoveLogitsProcessor(LogitsProcessor):
    """Replaces NaN by 0 and infinities by the largest finite numbers of the dtype."""

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        limits = paddle.finfo(scores.dtype)
        out = fill(scores, paddle.isnan(scores), 0.0)
        out = fill(out, scores == float("inf"), limits.max)
        return fill(out, scores == NEG_INF, limits.min)


class ExponentialDecayLengthPenalty(LogitsProcessor):
    """Makes the end tokens likelier, exponentially with the length.

    Args:
        exponential_decay_length_penalty: after how many new tokens it starts, and the factor.
        input_ids_seq_length: length of the prompt.
    """

    def __init__(
        self,
        exponential_decay_length_penalty: tuple[int, float],
        eos_token_id: Tokens,
        input_ids_seq_length: int,
    ):
        start, self.regulation_factor = exponential_decay_length_penalty
        self.regulation_start = start + input_ids_seq_length
        self.eos_token_id = _eos_ids(eos_token_id)

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        beyond = input_ids.shape[-1] - self.regulation_start
        if beyond <= 0:
            return scores
        raised = scores + paddle.abs(scores) * (pow(self.regulation_factor, beyond) - 1)
        chosen = paddle.logical_and(
            token_mask(self.eos_token_id, scores).unsqueeze(0), paddle.isfinite(scores)
        )
        return paddle.where(chosen, raised, scores)


class LogitNormalization(LogitsProcessor):
    """Turns scores into log probabilities."""

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        return log_softmax(scores)


class SuppressTokensAtBeginLogitsProcessor(LogitsProcessor):
    """Forbids tokens at one position, ``begin_index``."""

    def __init__(self, begin_suppress_tokens: Any, begin_index: int, device: str = "cpu"):
        self.begin_suppress_tokens = token_ids(list(begin_suppress_tokens))
        self.begin_index = begin_index

    def set_begin_index(self, begin_index: int) -> None:
        """Move the position."""
        self.begin_index = begin_index

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        if input_ids.shape[-1] != self.begin_index:
            return scores
        return fill(scores, token_mask(self.begin_suppress_tokens, scores), NEG_INF)


class SuppressTokensLogitsProcessor(LogitsProcessor):
    """Forbids tokens everywhere."""

    def __init__(self, suppress_tokens: Any, device: str = "cpu"):
        self.suppress_tokens = token_ids(list(suppress_tokens))

    def __call__(self, input_ids: paddle.Tensor, scores: paddle.Tensor) -> paddle.Tensor:
        return fill(scores, token_mask(self.suppress_tokens, scores), NEG_INF)
