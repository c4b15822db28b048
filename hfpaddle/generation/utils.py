"""`GenerationMixin`: what a model with a language-model head needs to generate.

Signature, defaults, order of operations and results are the original library's. The loops are in
sampling.py, beam_search.py and assisted.py; what comes before them in preparation.py and
processing.py.

Shape letters: B rows, S prompt tokens, T tokens with those in the cache, V vocabulary.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any

import paddle
from transformers import GenerationConfig
from transformers.generation.configuration_utils import GenerationMode

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.logging import logger
from hfpaddle.generation.assisted import AssistedMixin
from hfpaddle.generation.beam_search import BeamSearchMixin
from hfpaddle.generation.preparation import (
    COMMON_ARGUMENTS,
    PreparationMixin,
    forward_arguments,
    is_tensor,
    ones_after,
    positions_after,
)
from hfpaddle.generation.processing import ProcessingMixin
from hfpaddle.generation.sampling import SamplingMixin
from hfpaddle.generation.tensors import arange, gather, log_softmax
from hfpaddle.layers.recipe import layers_stay

_METHODS = {
    GenerationMode.SAMPLE: "_sample",
    GenerationMode.GREEDY_SEARCH: "_sample",
    GenerationMode.BEAM_SEARCH: "_beam_search",
    GenerationMode.BEAM_SAMPLE: "_beam_search",
    GenerationMode.ASSISTED_GENERATION: "_assisted_decoding",
}
# The original moved these out of the library, into code that it downloads.
_MOVED = {
    GenerationMode.DOLA_GENERATION: "transformers-community/dola",
    GenerationMode.CONTRASTIVE_SEARCH: "transformers-community/contrastive-search",
    GenerationMode.GROUP_BEAM_SEARCH: "transformers-community/group-beam-search",
    GenerationMode.CONSTRAINED_BEAM_SEARCH: "transformers-community/constrained-beam-search",
}


def _without_gradients(method: Callable) -> Callable:
    """Run a method under no_grad, each call with its own.

    ``paddle.no_grad()`` as a decorator keeps one state for all calls: when an assistant generates
    within the main model's generate, gradients would stay off for good.
    """

    @functools.wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with paddle.no_grad():
            return method(*args, **kwargs)

    return wrapped


class GenerationMixin(
    PreparationMixin, ProcessingMixin, SamplingMixin, BeamSearchMixin, AssistedMixin
):
    """Gives a model ``generate``; the model has ``config``, ``generation_config``, ``forward``."""

    output_modalities = ("text",)
    _is_stateful = False

    # One step

    def prepare_inputs_for_generation(
        self,
        input_ids: paddle.Tensor,
        next_sequence_length: int | None = None,
        past_key_values: Any = None,
        attention_mask: paddle.Tensor | None = None,
        inputs_embeds: paddle.Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the forward pass's arguments for one step. Model classes may override it.

        Args:
            input_ids: ``[B, S]`` all ids so far (of the decoder).
            next_sequence_length: only the last so many are new; None for all.
            attention_mask: ``[B, T]`` of the prompt (of the encoder, if there is one).
            inputs_embeds: ``[B, S, H]``, used in the first step instead of ids.
        """
        encodes, new = self.config.is_encoder_decoder, next_sequence_length
        prefix = "decoder_" if encodes else ""
        inputs: dict[str, Any] = {}
        if inputs_embeds is not None and not encodes and is_first_iteration:
            prompt = inputs_embeds if new is None else inputs_embeds[:, -new:]
            inputs["input_ids"], inputs["inputs_embeds"] = None, prompt
        else:
            prompt = input_ids if new is None else input_ids[:, -new:]
            inputs[f"{prefix}input_ids"] = prompt
        length = prompt.shape[1]
        if past_key_values is not None:
            inputs["past_key_values"] = past_key_values
        for name in (f"{prefix}position_ids", "token_type_ids"):
            value = kwargs.pop(name, None)
            if value is not None:
                inputs[name] = value if value.shape[-1] == length else value[..., -length:]
        if encodes:
            own_mask = kwargs.pop("decoder_attention_mask", None)
            if own_mask is not None:
                inputs["decoder_attention_mask"] = own_mask
        if attention_mask is not None:
            inputs["attention_mask"] = attention_mask
        for key, value in kwargs.items():
            if key != "labels" and key not in inputs:
                inputs[key] = value
        return inputs

    def _update_model_kwargs_for_generation(
        self,
        outputs: Any,
        model_kwargs: dict[str, Any],
        is_encoder_decoder: bool = False,
        num_new_tokens: int = 1,
    ) -> dict[str, Any]:
        """Lengthen masks and positions by the tokens just generated; keep the cache."""
        prefix = "decoder_" if is_encoder_decoder else ""
        if outputs.get("past_key_values") is not None:
            model_kwargs["past_key_values"] = outputs["past_key_values"]
        types = model_kwargs.get("token_type_ids")
        if types is not None:
            more = types[:, -num_new_tokens:]
            model_kwargs["token_type_ids"] = paddle.concat([types, more], axis=-1)
        positions = model_kwargs.get(f"{prefix}position_ids")
        if positions is not None:
            model_kwargs[f"{prefix}position_ids"] = positions_after(positions, num_new_tokens)
        mask = model_kwargs.get(f"{prefix}attention_mask")
        if mask is not None:
            model_kwargs[f"{prefix}attention_mask"] = ones_after(mask, num_new_tokens)
        return model_kwargs

    def _prefill(
        self,
        input_ids: paddle.Tensor,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        is_first_iteration: bool = True,
    ) -> Any:
        """Run the model on the prompt, less what a given cache already holds."""
        embeds, cache = model_kwargs.get("inputs_embeds"), model_kwargs.get("past_key_values")
        encodes, new = self.config.is_encoder_decoder, None
        if cache is not None:
            past = int(cache.get_seq_length())
            if not encodes and embeds is not None and is_first_iteration:
                new = embeds.shape[1] - past
            else:
                mask = model_kwargs.get("decoder_attention_mask" if encodes else "attention_mask")
                masked = getattr(generation_config, "_mask_length", -1)
                masked = masked if mask is None else mask.shape[1]
                # A mask shorter or longer than the ids says that the ids are new ones only.
                if masked == input_ids.shape[1]:
                    new = input_ids.shape[1] - past
        chunk = generation_config.prefill_chunk_size
        if chunk is None:
            inputs = self.prepare_inputs_for_generation(
                input_ids,
                next_sequence_length=new,
                is_first_iteration=is_first_iteration,
                **model_kwargs,
            )
            return self(**inputs, return_dict=True)  # type: ignore[operator]
        if cache is None:
            raise ValueError("Cannot use prefill chunking without a cache")
        return self._prefill_chunks(input_ids[:, -(new or 0) :], chunk, model_kwargs)

    def _prefill_chunks(
        self, input_ids: paddle.Tensor, chunk: int, model_kwargs: dict[str, Any]
    ) -> Any:
        """Run the model on ``chunk`` tokens at a time and return the last run's outputs."""
        kwargs, cache = dict(model_kwargs), model_kwargs["past_key_values"]
        mask, positions = kwargs.pop("attention_mask", None), kwargs.pop("position_ids", None)
        past, outputs = int(cache.get_seq_length()), None
        for start in range(0, input_ids.shape[1], chunk):
            part = input_ids[:, start : start + chunk]
            end = past + part.shape[1]
            if mask is not None:
                kwargs["attention_mask"] = mask[:, :end]
            if positions is not None:
                kwargs["position_ids"] = positions[..., past:end]
            inputs = self.prepare_inputs_for_generation(part, is_first_iteration=True, **kwargs)
            outputs = self(**inputs, return_dict=True)  # type: ignore[operator]
            past = end
        return outputs

    def _has_unfinished_sequences(
        self, this_peer_finished: bool, synced_gpus: bool, device: Any
    ) -> bool:
        """With ``synced_gpus``, go on until every process is finished: they share their layers."""
        if synced_gpus and paddle.distributed.get_world_size() > 1:
            flag = paddle.to_tensor(float(not this_peer_finished), place=device)
            paddle.distributed.all_reduce(flag)
            return float(flag) > 0
        return not this_peer_finished

    def _supports_logits_to_keep(self) -> bool:
        return "logits_to_keep" in forward_arguments(self)

    # Checks

    def _validate_generation_mode(
        self, mode: Any, config: GenerationConfig, mode_kwargs: dict[str, Any]
    ) -> None:
        """Refuse combinations that no loop serves."""
        if mode in _MOVED:
            raise UnsupportedArgumentError(
                f"generate: {mode.value.replace('_', ' ')} is not in hfpaddle; the original moved "
                f"it to the hub too (custom_generate='{_MOVED[mode]}'). Use greedy search, "
                f"sampling, beam search or assisted generation."
            )
        if mode == GenerationMode.BEAM_SEARCH and "streamer" in mode_kwargs:
            raise ValueError(
                "`streamer` cannot be used with beam search (yet!). Make sure that `num_beams` is "
                "set to 1."
            )
        if mode == GenerationMode.ASSISTED_GENERATION:
            if config.num_return_sequences > 1:
                raise ValueError(
                    f"num_return_sequences has to be 1 when doing assisted generate, but is "
                    f"{config.num_return_sequences}."
                )
            if self._is_stateful:
                raise ValueError(
                    f"assisted generation is not supported with stateful models, such as "
                    f"{type(self).__name__}"
                )
        assistant = mode_kwargs.get("assistant_model")
        if assistant is None:
            return
        sizes = [m.config.get_text_config().vocab_size for m in (self, assistant)]
        if sizes[0] == sizes[1]:
            if "assistant_tokenizer" in mode_kwargs:
                raise ValueError(
                    "`assistant_tokenizer` is not required when the main and assistant models use "
                    "the same tokenizer. Please omit `assistant_tokenizer` from `generate()`."
                )
        elif "tokenizer" not in mode_kwargs or "assistant_tokenizer" not in mode_kwargs:
            raise ValueError(
                "The main and assistant models have different tokenizers. Please provide "
                "`tokenizer` and `assistant_tokenizer` to `generate()`."
            )

    def _validate_model_kwargs(self, model_kwargs: dict[str, Any]) -> None:
        """Raise ValueError for arguments that neither generate nor the model knows."""
        known = forward_arguments(self) | COMMON_ARGUMENTS
        known |= set(_parameters(self.prepare_inputs_for_generation))
        encodes = self.config.is_encoder_decoder
        if encodes:
            base = getattr(self, getattr(self, "base_model_prefix", ""), None)
            for side, prefix in (("encoder", ""), ("decoder", "decoder_")):
                layer = getattr(self, side, None) or getattr(base, side, None)
                if layer is not None:
                    known |= {prefix + name for name in forward_arguments(layer)}
        unused = [
            key
            for key, value in model_kwargs.items()
            if value is not None
            and key not in known
            and not (encodes and key == "decoder_input_ids")
        ]
        if unused:
            raise ValueError(
                f"The following `model_kwargs` are not used by the model: {unused} (note: typos in "
                f"the generate arguments will also show up in this list)"
            )

    # generate

    @_without_gradients
    def generate(
        self,
        inputs: paddle.Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: list | None = None,
        stopping_criteria: list | None = None,
        prefix_allowed_tokens_fn: Callable[[int, paddle.Tensor], list[int]] | None = None,
        synced_gpus: bool | None = None,
        assistant_model: Any = None,
        streamer: Any = None,
        negative_prompt_ids: paddle.Tensor | None = None,
        negative_prompt_attention_mask: paddle.Tensor | None = None,
        custom_generate: str | Callable | None = None,
        **kwargs: Any,
    ) -> Any:
        """Continue a prompt. Everything that a `GenerationConfig` holds may be given by name.

        Args:
            inputs: prompt ids ``[B, S]`` integer (also as ``input_ids=``).
            generation_config: settings; what it leaves open comes from the model's own.
            logits_processor, stopping_criteria: added to the settings'; they leave layers alone.
            prefix_allowed_tokens_fn: (batch index, ids so far) -> ids allowed next.
            synced_gpus: keep stepping until all processes are finished.
            assistant_model: smaller model that drafts tokens for this one to check.
            streamer: gets the prompt, then each token, by ``put``; ``end`` at the end.
            negative_prompt_ids: what ``guidance_scale`` moves away from, with its mask.
            custom_generate: a function to use as the decoding loop.
        Returns: int64 ids ``[B * num_return_sequences, S + new]`` (without the prompt for
            ``inputs_embeds``), or a Generate...Output if ``return_dict_in_generate``.
        Raises: ValueError for unknown arguments and contradictions; UnsupportedArgumentError.
        """
        loop_kwargs = self._loop_arguments(custom_generate, kwargs)
        own = {"assistant_model": assistant_model, "streamer": streamer, "synced_gpus": synced_gpus}
        loop_kwargs = {k: v for k, v in (loop_kwargs | own).items() if v is not None}
        lengths = self._default_lengths(generation_config, kwargs)
        config, model_kwargs = self._prepare_generation_config(generation_config, **kwargs)
        mode = config.get_generation_mode(assistant_model)
        self._validate_model_kwargs(dict(model_kwargs))
        self._validate_generation_mode(mode, config, loop_kwargs)
        input_ids, source, model_kwargs = self._prepare_prompt(
            inputs, config, model_kwargs, lengths, streamer
        )
        self._prepare_rest(mode, config, model_kwargs, source, input_ids)
        processors = self._get_logits_processor(
            *(config, input_ids.shape[1], source, prefix_allowed_tokens_fn),
            *(logits_processor, input_ids.place, model_kwargs),
            _on(negative_prompt_ids, input_ids),
            _on(negative_prompt_attention_mask, input_ids),
        )
        tokenizer = loop_kwargs.get("tokenizer")
        criteria = self._get_stopping_criteria(config, stopping_criteria, tokenizer)
        loop = custom_generate or getattr(type(self), _METHODS[mode])
        known, loop_kwargs["inputs_tensor"] = _parameters(loop), source
        loop_kwargs = {k: v for k, v in loop_kwargs.items() if k in known} | {
            "logits_processor": processors,
            "stopping_criteria": criteria,
            "generation_config": config,
        }
        with contextlib.nullcontext() if custom_generate else layers_stay():
            return loop(self, input_ids, **loop_kwargs, **model_kwargs)

    def _loop_arguments(self, custom: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Take out of ``kwargs`` what belongs to the decoding loop. Refuses foreign code."""
        self._refuse_custom_code(custom, kwargs)
        names = {"tokenizer", "assistant_tokenizer"}
        if custom is not None:
            names |= _parameters(custom) - _parameters(self._sample)
        return {name: kwargs.pop(name, None) for name in names}

    def _default_lengths(
        self, config: GenerationConfig | None, kwargs: dict[str, Any]
    ) -> dict[str, bool]:
        """Return, for both lengths, whether nobody has set them."""
        sources = [c for c in (config, self.generation_config) if c is not None]
        return {
            name: kwargs.get(name) is None and all(getattr(c, name) is None for c in sources)
            for name in ("max_length", "min_length")
        }

    @staticmethod
    def _refuse_custom_code(custom_generate: Any, kwargs: dict[str, Any]) -> None:
        kwargs.pop("trust_remote_code", None)
        if isinstance(custom_generate, str):
            raise UnsupportedArgumentError(
                f"generate(custom_generate={custom_generate!r}): hfpaddle downloads no code. Pass "
                f"a Python function, or use a built-in decoding mode."
            )
        if kwargs.get("cache_implementation") == "paged":
            raise UnsupportedArgumentError(
                "generate(cache_implementation='paged'): continuous batching is not implemented. "
                "Use 'dynamic' or 'static'."
            )

    def _prepare_prompt(
        self,
        inputs: paddle.Tensor | None,
        config: GenerationConfig,
        model_kwargs: dict[str, Any],
        defaults: dict[str, bool],
        streamer: Any,
    ) -> tuple[paddle.Tensor, paddle.Tensor, dict[str, Any]]:
        """Return the first ids (of the decoder), the prompt that they come from, and arguments."""
        place = self._place()
        moved = {k: v.to(place) if is_tensor(v) else v for k, v in model_kwargs.items()}
        for key in ("input_ids", "attention_mask", "decoder_attention_mask"):
            value = moved.get(key)
            if is_tensor(value) and value.dtype in (paddle.bool, paddle.int32):
                moved[key] = value.astype("int64")
        if inputs is not None:
            inputs = inputs.to(place)
            inputs = inputs if paddle.is_floating_point(inputs) else inputs.astype("int64")
        has_mask = moved.get("attention_mask") is not None
        source, name, kwargs = self._prepare_model_inputs(inputs, config.bos_token_id, moved)
        batch = source.shape[0]
        self._prepare_special_tokens(config, has_mask, device=source.place, batch_size=batch)
        encodes = self.config.is_encoder_decoder
        if encodes:
            kwargs = self._maybe_prepare_encoder_kwargs_for_generation(source, kwargs, name, config)
            input_ids, kwargs = self._prepare_decoder_input_ids_for_generation(
                batch, name, kwargs, config._decoder_start_token_tensor, source.place
            )
        else:
            self._prepare_decoder_prompt(source, name, config, kwargs)
            input_ids = source if name == "input_ids" else kwargs.pop("input_ids")
        input_ids, kwargs = self._expand_inputs_for_generation(
            input_ids=input_ids,
            expand_size=max(config.num_beams, config.num_return_sequences),
            is_encoder_decoder=encodes,
            **kwargs,
        )
        if config.token_healing:
            raise UnsupportedArgumentError(
                "generate(token_healing=True) is not implemented. Drop trailing spaces from the "
                "prompt instead."
            )
        if streamer is not None:
            streamer.put(input_ids.cpu())
        length = input_ids.shape[1]
        self._prepare_generated_length(
            config, defaults["max_length"], defaults["min_length"], name, length, source
        )
        self._validate_generated_length(config, length, defaults["max_length"])
        return input_ids, source, kwargs

    def _prepare_decoder_prompt(
        self,
        source: paddle.Tensor,
        name: str,
        config: GenerationConfig,
        kwargs: dict[str, Any],
    ) -> None:
        """Fill in mask and positions of a decoder's prompt; warn of right padding."""
        mask, known = kwargs.get("attention_mask"), forward_arguments(self)
        if config._pad_token_tensor is not None and source.shape[0] > 1 and source.ndim == 2:
            if mask is not None and mask.shape == source.shape:
                right = bool(paddle.any(mask[:, -1] == 0))
            else:
                right = bool(paddle.any(source[:, -1] == config._pad_token_tensor))
            if right:
                logger.warning(
                    "A decoder-only architecture is being used, but right-padding was detected! "
                    "For correct generation results, please set `padding_side='left'` when "
                    "initializing the tokenizer."
                )
        if name == "inputs_embeds":
            config.use_cache = True
        if mask is not None and name == "input_ids" and mask.ndim > 2:
            raise ValueError("`attention_mask` passed to `generate` must be 2D.")
        if mask is None and "attention_mask" in known:
            mask = self._prepare_attention_mask_for_generation(source, config, kwargs)
            kwargs["attention_mask"] = mask
        if kwargs.get("position_ids") is None and "position_ids" in known:
            kwargs["position_ids"] = self._prepare_position_ids_for_generation(source, kwargs)
        if mask is not None and "attention_mask" in known and bool(paddle.all(mask == 1)):
            # No padding, no mask: the attention takes its fast path. Its length still tells new
            # ids from those in a cache.
            config._mask_length = mask.shape[1]
            kwargs["attention_mask"] = None

    def _prepare_rest(
        self,
        mode: Any,
        config: GenerationConfig,
        model_kwargs: dict[str, Any],
        source: paddle.Tensor,
        input_ids: paddle.Tensor,
    ) -> None:
        """Add the cache, and ask the model for the last position's logits alone."""
        if self._supports_logits_to_keep() and "logits_to_keep" not in model_kwargs:
            model_kwargs["logits_to_keep"] = 1
        room = config.max_length - 1
        encodes = self.config.is_encoder_decoder
        if not encodes and source.ndim == 3 and source.shape[1] != input_ids.shape[1]:
            room += source.shape[1]
        rows = input_ids.shape[0]
        self._prepare_cache_for_generation(config, model_kwargs, mode, rows, room)
        model_kwargs["use_cache"] = config.use_cache

    # After generation

    def compute_transition_scores(
        self,
        sequences: paddle.Tensor,
        scores: tuple[paddle.Tensor, ...],
        beam_indices: paddle.Tensor | None = None,
        normalize_logits: bool = False,
    ) -> paddle.Tensor:
        """Return each generated token's score, float32 ``[rows, new]``; 0 after a beam's end.

        Args:
            sequences, scores, beam_indices: as generate returned them.
            normalize_logits: take log probabilities of the scores first.
        """
        if normalize_logits:
            scores = tuple(log_softmax(step) for step in scores)
        rows = scores[0].shape[0]
        if beam_indices is None:
            beam_indices = arange(rows, sequences).unsqueeze(-1).expand([rows, len(scores)])
        beam_indices = beam_indices.astype("int64")
        ended = beam_indices < 0
        longest = int(paddle.max(paddle.sum((~ended).astype("int64"), axis=-1)))
        beams = paddle.clip(beam_indices[:, :longest], min=0)
        tokens = sequences[:, sequences.shape[1] - longest :]
        columns = []
        for step in range(longest):
            chosen = paddle.index_select(scores[step], beams[:, step], axis=0)
            columns.append(gather(chosen, tokens[:, step : step + 1]))
        picked = paddle.concat(columns, axis=1)
        return paddle.where(ended[:, :longest], paddle.zeros_like(picked), picked)

    def heal_tokens(self, input_ids: paddle.Tensor, tokenizer: Any = None) -> paddle.Tensor:
        """Not implemented: raises UnsupportedArgumentError."""
        raise UnsupportedArgumentError("heal_tokens is not implemented in hfpaddle.")


def _parameters(function: Callable) -> set[str]:
    return set(inspect.signature(function).parameters)


def _on(value: paddle.Tensor | None, like: paddle.Tensor) -> paddle.Tensor | None:
    return None if value is None else value.to(like.place)
