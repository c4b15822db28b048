"""Assisted decoding: check several guessed tokens in one forward pass.

Shape letters: S tokens so far, C candidates, V vocabulary. The batch is always 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from transformers import GenerationConfig

from hfpaddle import ops
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.rng import default_generator
from hfpaddle.generation.candidate_generator import (
    AssistedCandidateGenerator,
    CandidateGenerator,
    PromptLookupCandidateGenerator,
    fit_mask,
    fit_positions,
    fit_token_types,
)
from hfpaddle.generation.output import GenerateDecoderOnlyOutput, GenerateEncoderDecoderOutput
from hfpaddle.generation.sampling import Record
from hfpaddle.layers.cache import StaticCache
from hfpaddle.ops.sampling import host_softmax


def speculative_sampling(
    drafted: list[int],
    draft_logits: paddle.Tensor,
    logits: paddle.Tensor,
    ensemble_weight: float | None = None,
) -> list[int]:
    """Accept drafted tokens so that the result is distributed as the main model's own.

    Args:
        drafted: C token ids.
        draft_logits: ``[1, C, V]`` of the draft, processed; logits: ``[1, C + 1, V]`` of the model.
        ensemble_weight: below 1, draw from a mixture of both models instead.
    Returns: the accepted tokens, and one more.
    Source: arXiv:2211.17192, algorithm 1.
    """
    q, p = host_softmax(draft_logits)[0], host_softmax(logits)[0]
    places = np.arange(len(drafted))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = p[places, drafted] / q[places, drafted]
    if ensemble_weight is not None:
        weight = np.float32(ensemble_weight)
        ratio = np.float32(1.0 - ensemble_weight) + weight * ratio
    accepted = default_generator.uniform(len(drafted)) <= ratio
    count = int(np.cumprod(accepted).sum())
    rest = p[count]
    if count < len(q):
        rest = np.maximum(p[count] - q[count], np.float32(0))
        total = rest.sum()
        if ensemble_weight is not None and total <= np.finfo(np.float32).tiny:
            rest = p[count]
        else:
            rest = rest / total
    token = default_generator.multinomial(rest[None], 1)
    return [*drafted[:count], int(token[0, 0])]


def _ensemble_argmax(
    logits: paddle.Tensor, draft_logits: paddle.Tensor, weight: float
) -> list[int]:
    p, q = host_softmax(logits)[0], host_softmax(draft_logits)[0]
    mixed = np.float32(weight) * p[: len(q)] + np.float32(1.0 - weight) * q
    return [*mixed.argmax(axis=-1).tolist(), *p[len(q) :].argmax(axis=-1).tolist()]


class AssistedMixin:
    """The loop that drafts, checks and keeps what the model would have said."""

    config: Any

    def _get_candidate_generator(
        self,
        generation_config: GenerationConfig,
        input_ids: paddle.Tensor,
        inputs_tensor: paddle.Tensor,
        logits_processor: Any,
        model_kwargs: dict[str, Any],
        assistant_model: Any = None,
        target_tokenizer: Any = None,
        assistant_tokenizer: Any = None,
    ) -> CandidateGenerator:
        config = generation_config
        for name in ("assistant_early_exit", "use_mtp", "speculation_type"):
            if getattr(config, name, None):
                raise UnsupportedArgumentError(
                    f"generate({name}={getattr(config, name)!r}) is not implemented in hfpaddle. "
                    f"Use assistant_model= or prompt_lookup_num_tokens=."
                )
        if config.prompt_lookup_num_tokens is not None:
            if config.assistant_ensemble_weight is not None:
                raise ValueError(
                    "Setting `assistant_ensemble_weight` requires candidate logits from the "
                    "assistant model. It is not supported with prompt lookup decoding."
                )
            return PromptLookupCandidateGenerator(
                eos_token_id=config._eos_token_tensor,
                num_output_tokens=config.prompt_lookup_num_tokens,
                max_matching_ngram_size=config.max_matching_ngram_size or 2,
                max_length=config.max_length,
                logits_processor=logits_processor,
                vocab_size=self.config.get_text_config().vocab_size,
            )
        if target_tokenizer is not None and assistant_tokenizer is not None:
            raise UnsupportedArgumentError(
                "generate(assistant_tokenizer=...): an assistant with another tokenizer is not "
                "implemented. Use one that shares the main model's."
            )
        return AssistedCandidateGenerator(
            input_ids=input_ids,
            assistant_model=assistant_model,
            generation_config=config,
            model_kwargs=model_kwargs,
            inputs_tensor=inputs_tensor,
            logits_processor=logits_processor,
        )

    def _check_assisted(
        self, input_ids: paddle.Tensor, config: GenerationConfig, model_kwargs: dict[str, Any]
    ) -> None:
        if not model_kwargs["use_cache"]:
            raise ValueError("assisted generate requires `use_cache=True`")
        cache = model_kwargs["past_key_values"]
        own = getattr(cache, "self_attention_cache", cache)
        if isinstance(own, StaticCache):
            raise ValueError("assisted generate is not supported with Static cache classes")
        if input_ids.shape[0] > 1:
            raise ValueError(
                f"assisted generate is only supported for batch_size = 1, got {input_ids.shape[0]}."
            )
        cache.activate_past_recording()

    def _assisted_decoding(
        self,
        input_ids: paddle.Tensor,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: GenerationConfig,
        synced_gpus: bool = False,
        streamer: Any = None,
        inputs_tensor: paddle.Tensor | None = None,
        assistant_model: Any = None,
        assistant_tokenizer: Any = None,
        tokenizer: Any = None,
        **model_kwargs: Any,
    ) -> Any:
        """Decode with guesses; arguments and results as for `_sample`, for one row."""
        config, encodes = generation_config, self.config.is_encoder_decoder
        self._check_assisted(input_ids, config, model_kwargs)
        guesser = self._get_candidate_generator(
            *(config, input_ids, inputs_tensor, logits_processor, model_kwargs),
            *(assistant_model, tokenizer, assistant_tokenizer),
        )
        record = Record(config, encodes, model_kwargs)
        first, finished = True, False
        while self._has_unfinished_sequences(finished, synced_gpus, input_ids.place):  # type: ignore[attr-defined]
            length = input_ids.shape[1]
            guessed, draft_logits = guesser.get_candidates(input_ids)
            guessed = guessed.to(input_ids.place)
            count = guessed.shape[1] - length
            outputs = self._check_candidates(guessed, count, model_kwargs, first)
            raw = outputs.logits[:, -count - 1 :].astype("float32").to(input_ids.place)
            steps = [
                logits_processor(guessed[:, : length + i], raw[:, i]) for i in range(count + 1)
            ]
            logits = paddle.stack(steps, axis=1)
            valid = self._accept(guessed[0, length:].tolist(), draft_logits, logits, config)
            valid = self._until_end(valid, config.max_length - length, config._eos_token_tensor)
            new = paddle.to_tensor([valid], dtype="int64", place=input_ids.place)
            input_ids = paddle.concat([input_ids, new], axis=-1)
            if streamer is not None:
                streamer.put(new.cpu())
            kept = len(valid)
            outputs["past_key_values"].crop(kept - 1 - count)
            guesser.update_candidate_strategy(input_ids, logits, kept - 1)
            model_kwargs = self._update_model_kwargs_for_generation(  # type: ignore[attr-defined]
                outputs, model_kwargs, is_encoder_decoder=encodes, num_new_tokens=kept
            )
            if synced_gpus and finished:
                continue
            record.add_scores(tuple(steps[:kept]), tuple(raw[:, i] for i in range(kept)))
            record_split(record, outputs, length, length + kept if first else kept)
            finished = bool(paddle.all(stopping_criteria(input_ids, record.scores)))
            first = False
        if streamer is not None:
            streamer.end()
        guesser.finish()
        if not config.return_dict_in_generate:
            return input_ids
        output = GenerateEncoderDecoderOutput if encodes else GenerateDecoderOnlyOutput
        return output(sequences=input_ids, **record.fields(model_kwargs))

    def _check_candidates(
        self, guessed: paddle.Tensor, count: int, model_kwargs: dict[str, Any], first: bool
    ) -> Any:
        """Run the model on the candidates and the token before them."""
        encodes, length = self.config.is_encoder_decoder, guessed.shape[1]
        kwargs = fit_token_types(fit_mask(dict(model_kwargs), length, encodes), length)
        positions = kwargs.get("position_ids")
        if positions is not None and count > 0:
            kwargs = fit_positions(kwargs, count + positions.shape[-1], encodes)
        inputs = self.prepare_inputs_for_generation(  # type: ignore[attr-defined]
            guessed,
            next_sequence_length=None if first else count + 1,
            is_first_iteration=first,
            **kwargs,
        )
        if "logits_to_keep" in inputs:
            inputs["logits_to_keep"] = count + 1
        return self(**inputs)  # type: ignore[operator]

    @staticmethod
    def _accept(
        guesses: list[int],
        draft_logits: paddle.Tensor | None,
        logits: paddle.Tensor,
        config: GenerationConfig,
    ) -> list[int]:
        """Return the guesses that hold, and the model's token after them."""
        weight = config.assistant_ensemble_weight
        if config.do_sample and draft_logits is not None:
            return speculative_sampling(guesses, draft_logits, logits, weight)
        if config.do_sample:
            chosen = ops.draw(logits[0], 1).squeeze(1).tolist()
        elif weight is not None and draft_logits is not None:
            chosen = _ensemble_argmax(logits, draft_logits, weight)
        else:
            chosen = paddle.argmax(logits, axis=-1)[0].tolist()
        hits = next((i for i, guess in enumerate(guesses) if guess != chosen[i]), len(guesses))
        return chosen[: hits + 1]

    @staticmethod
    def _until_end(tokens: list[int], room: int, eos: paddle.Tensor | None) -> list[int]:
        """Cut to what ``max_length`` leaves, and after the first end token."""
        ends = set() if eos is None else set(eos.tolist())
        tokens = tokens[:room]
        return tokens[: next((i + 1 for i, t in enumerate(tokens) if t in ends), len(tokens))]


def record_split(record: Record, outputs: Any, length: int, added: int) -> None:
    """Record one forward pass over several tokens as if they had come one by one."""
    prefix = "decoder_" if record.encodes else ""

    def split(have: tuple, new: tuple, square: bool) -> tuple:
        rows, keys = range(added), length
        if not have:
            # The first entry is the prompt's, as an ordinary first step would give it. The rest are
            # the rows after it; the original takes rows 0, 1, ... again, which are the prompt's.
            have = (tuple(x[..., :length, : length if square else x.shape[-1]] for x in new),)
            rows, keys = range(length, added - 1), length + 1
        for i, row in enumerate(rows):
            size = keys + i
            cut = tuple(x[..., row : row + 1, : size if square else x.shape[-1]] for x in new)
            have = (*have, cut)
        return have

    if record.attentions is not None:
        record.attentions = split(record.attentions, outputs[f"{prefix}attentions"], True)
    if record.cross_attentions is not None:
        record.cross_attentions = split(record.cross_attentions, outputs["cross_attentions"], False)
    if record.hidden_states is not None:
        record.hidden_states = split(record.hidden_states, outputs[f"{prefix}hidden_states"], False)
