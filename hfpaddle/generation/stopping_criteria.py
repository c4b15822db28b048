"""When generate stops a row.

A criterion gets the ids so far ``[B, S]`` and the tuple of scores (or None), and returns booleans
``[B]``: True where the row is finished.
"""

from __future__ import annotations

import json
import time
import warnings
from collections import OrderedDict
from copy import deepcopy
from typing import Any

import numpy as np
import paddle

from hfpaddle.core.logging import warn_once
from hfpaddle.generation.tensors import softmax, token_ids

Scores = tuple[paddle.Tensor, ...] | None


class StoppingCriteria:
    """Base class; see the module."""

    def __call__(self, input_ids: paddle.Tensor, scores: Scores, **kwargs: Any) -> paddle.Tensor:
        raise NotImplementedError("StoppingCriteria needs to be subclassed")


class HostCriteria(StoppingCriteria):
    """One that decides on the host, which must know the answer before the next step begins."""

    def __call__(self, input_ids: paddle.Tensor, scores: Scores, **kwargs: Any) -> paddle.Tensor:
        done = np.broadcast_to(self.decide(input_ids, **kwargs), input_ids.shape[:1])
        return paddle.to_tensor(done, place=input_ids.place)

    def decide(self, input_ids: paddle.Tensor, **kwargs: Any) -> bool | np.ndarray:
        """Return the answer for each row, or one for all."""
        raise NotImplementedError("HostCriteria needs to be subclassed")


class MaxLengthCriteria(HostCriteria):
    """Stops at ``max_length`` tokens, prompt included; warns beyond the model's positions."""

    def __init__(self, max_length: int, max_position_embeddings: int | None = None):
        self.max_length, self.max_position_embeddings = max_length, max_position_embeddings

    def decide(self, input_ids: paddle.Tensor, **kwargs: Any) -> bool:
        length, limit = input_ids.shape[1], self.max_position_embeddings
        done = length >= self.max_length
        if limit is not None and not done and length > limit:
            warn_once(
                f"This is a friendly reminder - the current text generation call has exceeded the "
                f"model's predefined maximum length ({limit}). Depending on the model, you may "
                f"observe exceptions, performance degradation, or nothing at all."
            )
        return done


class MaxTimeCriteria(HostCriteria):
    """Stops once ``max_time`` seconds have passed since ``initial_timestamp`` (default: now)."""

    def __init__(self, max_time: float, initial_timestamp: float | None = None):
        self.max_time = max_time
        self.initial_timestamp = time.time() if initial_timestamp is None else initial_timestamp

    def decide(self, input_ids: paddle.Tensor, **kwargs: Any) -> bool:
        return time.time() - self.initial_timestamp > self.max_time


class EosTokenCriteria(HostCriteria):
    """Stops a row whose newest token is one of ``eos_token_id``."""

    def __init__(self, eos_token_id: int | list[int] | paddle.Tensor):
        self.eos_token_id = token_ids(eos_token_id)

    def decide(
        self, input_ids: paddle.Tensor, new_token_length: int = 1, **kwargs: Any
    ) -> np.ndarray:
        newest = input_ids.numpy()[:, -new_token_length:, None]
        return (newest == self.eos_token_id.numpy()).any(axis=(1, 2))


class ConfidenceCriteria(StoppingCriteria):
    """Stops a draft model at its first token less likely than the threshold (one row only)."""

    def __init__(self, assistant_confidence_threshold: float):
        self.assistant_confidence_threshold = assistant_confidence_threshold

    def __call__(self, input_ids: paddle.Tensor, scores: Scores, **kwargs: Any) -> Any:
        chosen = softmax(scores[-1])[0, int(input_ids[0, -1])]
        return float(chosen) < self.assistant_confidence_threshold


def _matching_mode(tokenizer: Any) -> str | None:
    """Return how the tokenizer writes bytes: ``"byte_level"``, ``"byte_fallback"`` or None."""
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    if decoder is None:
        return None
    state = decoder.__getstate__() if hasattr(decoder, "__getstate__") else b"null"
    try:
        state = json.loads(state) if isinstance(state, (bytes, str)) else None
    except json.JSONDecodeError:
        state = None
    if type(decoder).__name__ == "ByteLevel":
        return "byte_level"
    if _mentions(state, "ByteFallback"):
        return "byte_fallback"
    return "byte_level" if _mentions(state, "ByteLevel") else None


def _mentions(config: Any, kind: str) -> bool:
    if isinstance(config, dict):
        return config.get("type") == kind or any(_mentions(v, kind) for v in config.values())
    return isinstance(config, list) and any(_mentions(v, kind) for v in config)


def _byte_of_character() -> dict[str, int]:
    """Return GPT-2's table: printable bytes stand for themselves, the others for 256 upwards."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(hidden)}


def _token_pieces(tokenizer: Any, mode: str | None) -> list[tuple[int, str | bytes]]:
    """Return each token's id and what it adds to the text: characters; with a mode, bytes."""
    table = _byte_of_character() if mode == "byte_level" else {}
    prefix = "abcdef"
    base = [
        tokenizer._convert_id_to_token(i)
        for i in tokenizer(prefix, add_special_tokens=False)["input_ids"]
    ]
    pieces: list[tuple[int, str | bytes]] = []
    for token, index in tokenizer.get_vocab().items():
        if mode == "byte_level" and all(c in table for c in token):
            piece: str | bytes = bytes(table[c] for c in token)
        elif mode == "byte_fallback" and _is_byte_token(token):
            piece = bytes([int(token[3:5], 16)])
        else:
            text = tokenizer.convert_tokens_to_string([*base, token])
            piece = text[text.index(prefix) + len(prefix) :]
            piece = piece if mode is None else piece.encode("utf-8")
        pieces.append((index, piece))
    return pieces


def _is_byte_token(token: str) -> bool:
    digits = "0123456789abcdefABCDEF"
    return (
        len(token) == 6
        and token.startswith("<0x")
        and token.endswith(">")
        and all(c in digits for c in token[3:5])
    )


def _overlaps(piece: str | bytes, stop: str | bytes) -> tuple[list[int], list[int]]:
    """Return where in ``stop`` the piece fits.

    Returns: the distances from the end of ``stop`` to the end of the piece at which the piece lies
    in it (or hangs over its start), and how many of its characters ``stop`` takes where the piece
    holds the end of ``stop``.
    """
    back, stop_back = piece[::-1], stop[::-1]
    inside, at_end = [], []
    for i in range(1 - len(piece), len(stop)):
        start, part = max(i, 0), back[-i:] if i < 0 else back
        expected = stop_back[start : start + len(part)]
        if not part.startswith(expected):
            continue
        if start == 0:
            at_end.append(min(len(part), len(expected)))
        else:
            inside.append(start)
    return inside, at_end


class _Fits:
    """For each stop string and token id: `_overlaps` as padded tables, and the pieces' lengths."""

    def __init__(self, pieces: list[tuple[int, str | bytes]], stops: tuple[str | bytes, ...]):
        size = max(index for index, _ in pieces) + 2
        found = [{index: _overlaps(piece, stop) for index, piece in pieces} for stop in stops]
        if not any(ends for rows in found for _, ends in rows.values()):
            raise ValueError(
                "Stop string preprocessing was unable to identify tokens matching one or more of "
                "the supplied stop string(s). This is most often caused by the stop strings "
                "containing unusual characters that are not in the tokenizer vocabulary."
            )
        self.inside = self._table(found, 0, size)
        self.at_end = self._table(found, 1, size)
        self.length = np.full(size, -1, dtype=np.int32)
        for index, piece in pieces:
            self.length[index] = len(piece)

    @staticmethod
    def _table(found: list[dict], which: int, size: int) -> np.ndarray:
        """Return int32 ``[size, stop strings, most places]``, unused places -1."""
        widest = max((len(v[which]) for rows in found for v in rows.values()), default=0)
        table = np.full((size, len(found), max(widest, 1)), -1, dtype=np.int32)
        for j, rows in enumerate(found):
            for index, both in rows.items():
                table[index, j, : len(both[which])] = both[which]
        return table


_FITS: OrderedDict[tuple, _Fits] = OrderedDict()


def _fits(tokenizer: Any, stops: tuple[str | bytes, ...], mode: str | None) -> _Fits:
    """Return the tables; the last eight are kept, since a large vocabulary takes seconds."""
    key = (tuple(tokenizer.get_vocab().items()), stops, mode)
    if key not in _FITS:
        _FITS[key] = _Fits(_token_pieces(tokenizer, mode), stops)
        if len(_FITS) > 8:
            _FITS.popitem(last=False)
    _FITS.move_to_end(key)
    return _FITS[key]


class StopStringCriteria(StoppingCriteria):
    """Stops a row whose text contains a stop string that its newest token completed or touched.

    The text is never decoded: for each token it is known beforehand where in each stop string it
    fits, and the newest tokens are laid end to end, from the last one backwards.

    Args:
        tokenizer: of the model.
        stop_strings: one string or several.
    """

    def __init__(self, tokenizer: Any, stop_strings: str | list[str]):
        stops = [stop_strings] if isinstance(stop_strings, str) else stop_strings
        self.stop_strings: tuple[str, ...] = tuple(stops)
        mode = _matching_mode(tokenizer)
        matched = tuple(s if mode is None else s.encode("utf-8") for s in self.stop_strings)
        self._fits = _fits(tokenizer, matched, mode)
        self.target_lens = np.asarray([len(s) for s in matched], dtype=np.int32)
        self.maximum_token_len = int(self.target_lens.max())

    def __call__(self, input_ids: paddle.Tensor, scores: Scores, **kwargs: Any) -> paddle.Tensor:
        ids = input_ids[:, -self.maximum_token_len :].numpy()[:, ::-1]
        ids = np.minimum(ids, len(self._fits.length) - 1)
        ends = self._fits.at_end[ids[:, 0]]  # [B, strings, places]
        before = self._fits.inside[ids[:, 1:]]  # [B, S-1, strings, places]
        # Characters of the stop string covered by the newest 1, 2, ... tokens, for each way in
        # which the newest may hold its end.
        lengths = self._fits.length[ids[:, 1:]][:, :, None, None]
        lengths = np.broadcast_to(lengths, (*lengths.shape[:2], *ends.shape[1:]))
        covered = np.cumsum(np.concatenate([ends[:, None], lengths], axis=1), axis=1)
        fits = (covered[:, :-1, :, None, :] == before[..., None]).any(axis=-2)
        fits = np.concatenate([(ends > 0)[:, None], fits], axis=1)
        unbroken = np.cumprod(fits, axis=1)
        longest = (covered * unbroken).max(axis=(1, 3))
        done = (longest >= self.target_lens[None]).any(axis=-1)
        return paddle.to_tensor(done, place=input_ids.place)


class StoppingCriteriaList(list):
    """Stops a row when any member does. Members may be plain functions ``(input_ids, scores)``."""

    def __call__(self, input_ids: paddle.Tensor, scores: Scores, **kwargs: Any) -> paddle.Tensor:
        return paddle.to_tensor(self.decide(input_ids, scores, **kwargs), place=input_ids.place)

    def decide(self, input_ids: paddle.Tensor, scores: Scores, **kwargs: Any) -> np.ndarray:
        """The same on the host, booleans ``[B]``."""
        done = np.zeros(input_ids.shape[0], dtype=bool)
        for criterion in self:
            if type(criterion).__call__ is HostCriteria.__call__:
                done |= criterion.decide(input_ids, **kwargs)
            else:
                done |= np.asarray(criterion(input_ids, scores, **kwargs)).astype(bool)
        return done

    @property
    def max_length(self) -> int | None:
        """The limit of the first `MaxLengthCriteria`, if any."""
        found = (c.max_length for c in self if isinstance(c, MaxLengthCriteria))
        return next(found, None)


def validate_stopping_criteria(
    stopping_criteria: StoppingCriteriaList, max_length: int
) -> StoppingCriteriaList:
    """Return a copy that limits the length; warns if it already limits it to something else."""
    checked = deepcopy(stopping_criteria)
    limit = stopping_criteria.max_length
    if limit is None:
        checked.append(MaxLengthCriteria(max_length=max_length))
    elif limit != max_length:
        warnings.warn(
            "You set different `max_length` for stopping criteria and `max_length` parameter",
            UserWarning,
            stacklevel=2,
        )
    return checked
