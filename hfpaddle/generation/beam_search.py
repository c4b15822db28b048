"""Beam search and beam sampling, all rows and beams at once.

The original's vectorised algorithm: candidates, running beams and finished beams are tensors of
fixed length, and every choice is a top-k, so ties fall as they do there.

Shape letters: B batch, N beams, M candidates kept a step, L longest sequence, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import paddle
from transformers import GenerationConfig

from hfpaddle import ops
from hfpaddle.generation.output import (
    GenerateBeamDecoderOnlyOutput,
    GenerateBeamEncoderDecoderOutput,
)
from hfpaddle.generation.sampling import Record
from hfpaddle.generation.tensors import arange, full, gather, log_softmax, topk

OUT = -1e9


def flat(x: paddle.Tensor) -> paddle.Tensor:
    """``[B, N, ...]`` to ``[B * N, ...]``."""
    return x.reshape([x.shape[0] * x.shape[1], *x.shape[2:]])


def unflat(x: paddle.Tensor, batch: int) -> paddle.Tensor:
    """``[B * N, ...]`` to ``[B, N, ...]``."""
    return x.reshape([batch, x.shape[0] // batch, *x.shape[1:]])


def pick(x: paddle.Tensor, beams: paddle.Tensor) -> paddle.Tensor:
    """Return ``x[b, beams[b, i], ...]``."""
    if x.ndim == 2:
        return gather(x.astype("int32"), beams) != 0 if x.dtype == paddle.bool else gather(x, beams)
    offset = arange(x.shape[0], beams).unsqueeze(-1) * x.shape[1]
    rows = paddle.index_select(flat(x), (beams + offset).reshape([-1]), axis=0)
    return rows.reshape([*beams.shape, *x.shape[2:]])


def set_column(x: paddle.Tensor, column: int, values: paddle.Tensor) -> paddle.Tensor:
    """Return ``[B, N, L]`` with one column replaced by ``[B, N]``."""
    parts = [x[:, :, :column], values.unsqueeze(-1).astype(x.dtype), x[:, :, column + 1 :]]
    return paddle.concat([part for part in parts if part.shape[-1] > 0], axis=-1)


@dataclass
class Beams:
    """Token ids ``[B, N, L]``, scores float32 ``[B, N]``, and parents ``[B, N, L-S]``, int64.

    ``parents[b, n, t]`` is the flat row that beam ``n`` continued when it generated token ``t``.
    """

    ids: paddle.Tensor
    scores: paddle.Tensor
    parents: paddle.Tensor

    def choose(self, index: paddle.Tensor) -> Beams:
        """Return the beams that ``index`` ``[B, K]`` names."""
        return Beams(pick(self.ids, index), pick(self.scores, index), pick(self.parents, index))


class Search:
    """State and rules of one beam search.

    Args:
        input_ids: ``[B * N, S]`` prompt, equal for the beams of a row.
        config: settings, with special tokens on the device.
    """

    def __init__(self, input_ids: paddle.Tensor, config: GenerationConfig):
        self.config, self.beams = config, config.num_beams
        self.batch, self.prompt = input_ids.shape[0] // config.num_beams, input_ids.shape[1]
        self.length = self.prompt
        eos = config._eos_token_tensor
        ends = 0 if eos is None else eos.shape[0]
        self.kept = max(2, 1 + ends) * self.beams
        B, N, L = self.batch, self.beams, config.max_length
        fill_id = -1
        if eos is not None:
            # A pad token of 0 counts as none here, as in the original.
            fill_id = int(config._pad_token_tensor) or int(eos[0])
        tail = full([B, N, L - self.prompt], fill_id, "int64", input_ids)
        ids = paddle.concat([unflat(input_ids, B), tail], axis=-1)
        parents = full([B, N, L - self.prompt], -1, "int64", input_ids)
        others = full([B, N - 1], OUT, "float32", input_ids)
        first = full([B, 1], 0.0, "float32", input_ids)
        # The beams of a row start equal, so only its first counts.
        self.running = Beams(
            ids, paddle.concat([first, others], axis=1) if N > 1 else first, parents
        )
        self.finished = Beams(ids, full([B, N], OUT, "float32", input_ids), parents)
        self.is_finished = full([B, N], False, "bool", input_ids)
        self.improvable = full([B, 1], True, "bool", input_ids)

    def candidates(self, log_probs: paddle.Tensor) -> Beams:
        """Return the best M continuations (or M drawn ones), from ``[B * N, V]`` log probs."""
        vocabulary = log_probs.shape[-1]
        totals = unflat(log_probs, self.batch) + self.running.scores.unsqueeze(-1)
        totals = totals.reshape([self.batch, -1])
        if self.config.do_sample:
            index = ops.draw(totals, self.kept)
            scores = gather(totals, index)
        else:
            scores, index = topk(totals, self.kept)
        beam, token = index // vocabulary, index % vocabulary
        row = beam + arange(self.batch, beam).unsqueeze(-1) * self.beams
        ids = set_column(pick(self.running.ids, beam), self.length, token)
        parents = pick(self.running.parents, beam)
        return Beams(ids, scores, set_column(parents, self.length - self.prompt, row))

    def advance(self, candidates: Beams, ended: paddle.Tensor) -> None:
        """Split candidates into running and finished beams. ``ended`` is ``[B, M]``."""
        early = self.config.early_stopping
        hopeless = candidates.scores + ended.astype("float32") * OUT
        open_ended = Beams(candidates.ids, hopeless, candidates.parents)
        self.running = open_ended.choose(topk(hopeless, self.beams)[1])
        top = (arange(self.kept, ended) < self.beams).unsqueeze(0)
        done = paddle.logical_and(ended, top)
        made = self.length + 1 - self.prompt
        scores = candidates.scores / made**self.config.length_penalty
        full_rows = paddle.all(self.is_finished, axis=-1, keepdim=True)
        if early is True:
            scores = scores + full_rows.astype("float32") * OUT
        scores = scores + (~self.improvable).astype("float32") * OUT
        scores = scores + (~done).astype("float32") * OUT
        merged = Beams(
            paddle.concat([self.finished.ids, candidates.ids], axis=1),
            paddle.concat([self.finished.scores, scores], axis=1),
            paddle.concat([self.finished.parents, candidates.parents], axis=1),
        )
        best = topk(merged.scores, self.beams)[1]
        self.finished = merged.choose(best)
        self.is_finished = pick(paddle.concat([self.is_finished, done], axis=1), best)
        self.length = self.length + 1
        self._judge()

    def _judge(self) -> None:
        """Note the rows whose running beams can still beat their worst finished one."""
        penalty = self.config.length_penalty
        length = self.length - self.prompt
        if self.config.early_stopping == "never" and penalty > 0.0:
            length = self.config.max_length - self.prompt
        possible = self.running.scores[:, :1] / length**penalty
        worst = paddle.min(self.finished.scores, axis=1, keepdim=True).expand_as(self.is_finished)
        worst = paddle.where(self.is_finished, worst, paddle.full_like(worst, OUT))
        better = paddle.any(possible > worst, axis=-1, keepdim=True)
        self.improvable = paddle.logical_and(self.improvable, better)

    def is_over(self, ended: paddle.Tensor) -> bool:
        """True if nothing can improve, all is found, or every candidate ended."""
        if not bool(paddle.any(self.improvable)) or bool(paddle.all(ended)):
            return True
        return self.config.early_stopping is True and bool(paddle.all(self.is_finished))

    def rows_to_continue(self) -> paddle.Tensor:
        """Return, for each running beam, the flat row whose cache it continues: ``[B * N]``."""
        return flat(self.running.parents)[:, self.length - 1 - self.prompt]

    def result(self) -> Beams:
        """Return the best ``num_return_sequences`` of each row, flat, cut to the longest."""
        count = self.config.num_return_sequences
        best = self.finished
        ids, scores, parents = (flat(x[:, :count]) for x in (best.ids, best.scores, best.parents))
        new = int(paddle.max(paddle.sum((parents >= 0).astype("int64"), axis=1)))
        return Beams(ids[:, : self.prompt + new], scores, parents[:, :new].astype("int32"))


class BeamSearchMixin:
    """The loop that follows several continuations of each row."""

    config: Any

    def _beam_search(
        self,
        input_ids: paddle.Tensor,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: GenerationConfig,
        synced_gpus: bool = False,
        **model_kwargs: Any,
    ) -> Any:
        """Search with ``num_beams`` beams; arguments and results as for `_sample`.

        ``input_ids`` is ``[B * N, S]``. Raises: ValueError for ``low_memory=True``.
        """
        config, encodes = generation_config, self.config.is_encoder_decoder
        if config.low_memory:
            raise ValueError(
                "`low_memory=True` is not supported: beams are searched all at once. Use fewer "
                "beams or a smaller batch."
            )
        search, record = Search(input_ids, config), Record(config, encodes, model_kwargs)
        finished, ids = False, input_ids
        outputs = self._prefill(  # type: ignore[attr-defined]
            input_ids, config, model_kwargs, is_first_iteration=not config.is_assistant
        )
        while self._has_unfinished_sequences(finished, synced_gpus, input_ids.place):  # type: ignore[attr-defined]
            if outputs is None:
                ids = flat(search.running.ids[:, :, : search.length])
                outputs = self._forward_step(ids, model_kwargs)  # type: ignore[attr-defined]
            model_kwargs = self._update_model_kwargs_for_generation(  # type: ignore[attr-defined]
                outputs, model_kwargs, is_encoder_decoder=encodes
            )
            step, outputs = outputs, None
            if synced_gpus and finished:
                continue
            logits = step.logits[:, -1].astype("float32").to(input_ids.place)
            log_probs = logits_processor(ids, log_softmax(logits))
            record.add_scores((log_probs,), (logits,))
            record.add_states(step)
            del step
            candidates = search.candidates(log_probs)
            ended = stopping_criteria(
                flat(candidates.ids[:, :, : search.length + 1]), record.scores
            )
            ended = unflat(ended, search.batch)
            search.advance(candidates, ended)
            self._reorder(model_kwargs, search.rows_to_continue())
            finished = search.is_over(ended)
        best = search.result()
        if not config.return_dict_in_generate:
            return best.ids
        output = GenerateBeamEncoderDecoderOutput if encodes else GenerateBeamDecoderOnlyOutput
        return output(
            sequences=best.ids,
            sequences_scores=best.scores if config.output_scores else None,
            beam_indices=best.parents,
            **record.fields(model_kwargs),
        )

    def _reorder(self, model_kwargs: dict[str, Any], rows: paddle.Tensor) -> None:
        cache = model_kwargs.get("past_key_values")
        if cache is None:
            return
        if hasattr(self, "_reorder_cache"):
            model_kwargs["past_key_values"] = self._reorder_cache(cache, rows)
        else:
            cache.reorder_cache(rows)
