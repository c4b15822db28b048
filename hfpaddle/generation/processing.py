"""Which processors and stopping criteria a GenerationConfig asks for, in the original's order."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import paddle
from transformers import GenerationConfig

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.logging import warn_once
from hfpaddle.generation import logits_process as lp
from hfpaddle.generation import stopping_criteria as sc


def _ignored(name: str) -> None:
    warnings.warn(
        f"Passing `{name}` requires some form of `input_ids` to be passed to `generate`, ignoring "
        f"the argument.",
        UserWarning,
        stacklevel=4,
    )


def _new_tokens_only(name: str) -> None:
    warnings.warn(
        f"Passing `{name}` with `inputs_embeds` and without `input_ids` to `generate` will apply "
        f"it only to newly generated tokens, not to the prompt.",
        UserWarning,
        stacklevel=4,
    )


def merge(defaults: list, custom: list) -> list:
    """Return ``defaults`` with the user's object in place of one of its type, then the others."""
    if len(custom) == 0:
        return defaults
    merged = type(defaults)()
    for default in defaults:
        chosen = next((c for c in custom if type(c) is type(default)), default)
        if chosen is not default:
            kind = "stopping criteria" if isinstance(chosen, sc.StoppingCriteria) else "processor"
            warn_once(
                f"A custom {kind} of type {type(chosen).__name__} has been passed to "
                f"`.generate()`, but it was also created in `.generate()`, given its "
                f"parameterization. The custom one will take precedence."
            )
        merged.append(chosen)
    for item in custom:
        if not any(item is m for m in merged):
            merged.append(item)
    return merged


class ProcessingMixin:
    """Builds what the decoding loops apply to scores and ask for an end."""

    config: Any

    def _get_logits_processor(
        self,
        generation_config: GenerationConfig,
        input_ids_seq_length: int | None = None,
        encoder_input_ids: paddle.Tensor | None = None,
        prefix_allowed_tokens_fn: Callable[[int, paddle.Tensor], list[int]] | None = None,
        logits_processor: list | None = None,
        device: Any = None,
        model_kwargs: dict[str, Any] | None = None,
        negative_prompt_ids: paddle.Tensor | None = None,
        negative_prompt_attention_mask: paddle.Tensor | None = None,
    ) -> lp.LogitsProcessorList:
        """Return all processors: those of the config, the user's, then the sampling warpers."""
        config, found = generation_config, lp.LogitsProcessorList()
        if config.guidance_scale is not None and config.guidance_scale != 1:
            found.append(
                lp.UnbatchedClassifierFreeGuidanceLogitsProcessor(
                    config.guidance_scale,
                    self,
                    unconditional_ids=negative_prompt_ids,
                    unconditional_attention_mask=negative_prompt_attention_mask,
                    use_cache=config.use_cache,
                )
            )
        if config.sequence_bias is not None:
            found.append(lp.SequenceBiasLogitsProcessor(sequence_bias=config.sequence_bias))
        length = input_ids_seq_length
        found.extend(
            self._repetition_processors(config, length, encoder_input_ids, model_kwargs or {})
        )
        found.extend(self._token_processors(config, length, prefix_allowed_tokens_fn))
        found = merge(found, logits_processor or [])
        if config.do_sample:
            found.extend(self._sampling_warpers(config))
        if config.watermarking_config is not None:
            found.append(self._watermark(config.watermarking_config, device))
        if config.renormalize_logits is True:
            found.append(lp.LogitNormalization())
        return found

    def _repetition_processors(
        self,
        config: GenerationConfig,
        length: int | None,
        encoder_ids: paddle.Tensor | None,
        model_kwargs: dict[str, Any],
    ) -> list:
        found: list = []
        encodes = self.config.is_encoder_decoder
        has_ids = (
            encoder_ids is not None
            and encoder_ids.ndim == 2
            and not paddle.is_floating_point(encoder_ids)
            and not bool(paddle.any(encoder_ids < 0))
        )
        no_prompt = not encodes and not length
        if config.encoder_repetition_penalty not in (None, 1.0):
            if has_ids:
                found.append(
                    lp.EncoderRepetitionPenaltyLogitsProcessor(
                        penalty=config.encoder_repetition_penalty, encoder_input_ids=encoder_ids
                    )
                )
            else:
                _ignored("encoder_repetition_penalty")
        if config.repetition_penalty not in (None, 1.0):
            mask = model_kwargs.get("decoder_attention_mask" if encodes else "attention_mask")
            padding = None if mask is None else paddle.argmax((mask != 0).astype("int32"), axis=1)
            found.append(
                lp.RepetitionPenaltyLogitsProcessor(
                    config.repetition_penalty, prompt_ignore_length=padding
                )
            )
            if no_prompt:
                _new_tokens_only("repetition_penalty")
        if config.no_repeat_ngram_size is not None and config.no_repeat_ngram_size > 0:
            found.append(lp.NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size))
            if no_prompt:
                _new_tokens_only("no_repeat_ngram_size")
        size = config.encoder_no_repeat_ngram_size
        if size is not None and size > 0:
            if has_ids:
                found.append(lp.EncoderNoRepeatNGramLogitsProcessor(size, encoder_ids))
            else:
                _ignored("encoder_no_repeat_ngram_size")
        return found

    @staticmethod
    def _token_processors(
        config: GenerationConfig, length: int | None, allowed: Callable | None
    ) -> list:
        found: list = []
        eos = getattr(config, "_eos_token_tensor", None)
        if config.bad_words_ids is not None:
            found.append(lp.NoBadWordsLogitsProcessor(config.bad_words_ids, eos))
        if config.min_length is not None and eos is not None and config.min_length > 0:
            found.append(lp.MinLengthLogitsProcessor(config.min_length, eos))
        if config.min_new_tokens is not None and eos is not None and config.min_new_tokens > 0:
            found.append(lp.MinNewTokensLengthLogitsProcessor(length, config.min_new_tokens, eos))
        if allowed is not None:
            found.append(lp.PrefixConstrainedLogitsProcessor(allowed, config.num_beams))
        if config.forced_bos_token_id is not None:
            found.append(lp.ForcedBOSTokenLogitsProcessor(config.forced_bos_token_id))
        if config.forced_eos_token_id is not None:
            found.append(
                lp.ForcedEOSTokenLogitsProcessor(config.max_length, config.forced_eos_token_id)
            )
        if config.remove_invalid_values is True:
            found.append(lp.InfNanRemoveLogitsProcessor())
        if config.exponential_decay_length_penalty is not None:
            penalty = config.exponential_decay_length_penalty
            found.append(lp.ExponentialDecayLengthPenalty(penalty, eos, length))
        if config.suppress_tokens is not None:
            found.append(lp.SuppressTokensLogitsProcessor(config.suppress_tokens))
        if config.begin_suppress_tokens is not None:
            begin = length if length > 1 or config.forced_bos_token_id is None else length + 1
            found.append(
                lp.SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, begin)
            )
        return found

    @staticmethod
    def _sampling_warpers(config: GenerationConfig) -> list:
        keep = 1
        if config.num_beams is not None and config.num_beams > 1:
            eos = getattr(config, "_eos_token_tensor", None)
            keep = 2 if eos is None else eos.shape[0] + 1
        found: list = []
        if config.temperature is not None and config.temperature != 1.0:
            found.append(lp.TemperatureLogitsWarper(config.temperature))
        if config.top_h is not None:
            found.append(lp.TopHLogitsWarper(top_h=config.top_h))
        if config.top_k is not None and config.top_k != 0:
            found.append(lp.TopKLogitsWarper(config.top_k, min_tokens_to_keep=keep))
        if config.top_p is not None and config.top_p < 1.0:
            found.append(lp.TopPLogitsWarper(config.top_p, min_tokens_to_keep=keep))
        if config.min_p is not None:
            found.append(lp.MinPLogitsWarper(config.min_p, min_tokens_to_keep=keep))
        if config.typical_p is not None and config.typical_p < 1.0:
            found.append(lp.TypicalLogitsWarper(config.typical_p, min_tokens_to_keep=keep))
        if config.epsilon_cutoff is not None and 0.0 < config.epsilon_cutoff < 1.0:
            found.append(lp.EpsilonLogitsWarper(config.epsilon_cutoff, min_tokens_to_keep=keep))
        if config.eta_cutoff is not None and 0.0 < config.eta_cutoff < 1.0:
            found.append(lp.EtaLogitsWarper(config.eta_cutoff, min_tokens_to_keep=keep))
        return found

    def _watermark(self, watermark: Any, device: Any) -> lp.WatermarkLogitsProcessor:
        if not hasattr(watermark, "seeding_scheme"):
            raise UnsupportedArgumentError(
                f"watermarking_config={type(watermark).__name__} is not implemented. Use "
                f"WatermarkingConfig."
            )
        return lp.WatermarkLogitsProcessor(
            vocab_size=self.config.get_text_config().vocab_size,
            device=device,
            greenlist_ratio=watermark.greenlist_ratio,
            bias=watermark.bias,
            hashing_key=watermark.hashing_key,
            seeding_scheme=watermark.seeding_scheme,
            context_width=watermark.context_width,
        )

    def _get_stopping_criteria(
        self,
        generation_config: GenerationConfig,
        stopping_criteria: list | None,
        tokenizer: Any = None,
    ) -> sc.StoppingCriteriaList:
        """Return the config's criteria and the user's."""
        config, found = generation_config, sc.StoppingCriteriaList()
        if config.max_length is not None:
            limit = getattr(self.config, "max_position_embeddings", None)
            found.append(sc.MaxLengthCriteria(config.max_length, max_position_embeddings=limit))
        if config.max_time is not None:
            found.append(sc.MaxTimeCriteria(max_time=config.max_time))
        if config.stop_strings is not None:
            if tokenizer is None:
                raise ValueError(
                    "There are one or more stop strings, either in the arguments to `generate` or "
                    "in the model's generation config, but we could not locate a tokenizer. When "
                    "generating with stop strings, you must pass the model's tokenizer to the "
                    "`tokenizer` argument of `generate`."
                )
            found.append(sc.StopStringCriteria(tokenizer, config.stop_strings))
        if config._eos_token_tensor is not None:
            found.append(sc.EosTokenCriteria(eos_token_id=config._eos_token_tensor))
        threshold = config.assistant_confidence_threshold
        if config.is_assistant and threshold is not None and threshold > 0:
            found.append(sc.ConfidenceCriteria(assistant_confidence_threshold=threshold))
        return merge(found, stopping_criteria or [])

    def _merge_criteria_processor_list(self, default_list: list, custom_list: list) -> list:
        return merge(default_list, custom_list)
