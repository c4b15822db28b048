"""From the user's arguments to what the decoding loops need: inputs, masks, lengths, cache.

Methods keep the original's names, since model classes override them.

Shape letters: B rows, S prompt tokens, T tokens with those in the cache.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from typing import Any

import paddle
from transformers import GenerationConfig
from transformers.generation.configuration_utils import (
    ALL_STATIC_CACHE_IMPLEMENTATIONS,
    DEPRECATED_STATIC_CACHE_IMPLEMENTATIONS,
    STATIC_CACHE_IMPLEMENTATIONS,
)

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.logging import logger, warn_once
from hfpaddle.generation.tensors import arange, full, token_ids
from hfpaddle.layers.cache import (
    Cache,
    DynamicCache,
    EncoderDecoderCache,
    QuantizedCache,
    StaticCache,
)

# Arguments that every model takes, whatever its forward pass spells out.
COMMON_ARGUMENTS = frozenset(
    (
        *("output_hidden_states", "output_attentions", "output_router_logits", "position_ids"),
        *("num_items_in_batch", "is_causal", "seq_idx", "debug_io"),
        *("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k"),
    )
)
_ENCODER_SKIPS = ("decoder_", "cross_attn", "use_cache", "past_key_values", "cache_params")


def forward_arguments(layer: Any) -> set[str]:
    """Names that the layer's forward pass spells out."""
    return set(inspect.signature(layer.forward).parameters)


def is_tensor(value: Any) -> bool:
    """True for a Paddle tensor."""
    return isinstance(value, paddle.Tensor)


def ones_after(mask_BT: paddle.Tensor, count: int) -> paddle.Tensor:
    """Return the mask with ``count`` more real tokens a row."""
    more = full([mask_BT.shape[0], count], 1, mask_BT.dtype, mask_BT)
    return paddle.concat([mask_BT, more], axis=-1)


def positions_after(positions: paddle.Tensor, count: int) -> paddle.Tensor:
    """Return positions ``[..., T]`` counted on by ``count``."""
    more = positions[..., -1:] + 1
    if count != 1:
        more = more + arange(count, positions).astype(positions.dtype)
    return paddle.concat([positions, more], axis=-1)


class PreparationMixin:
    """Everything that generate does before its first forward pass."""

    config: Any
    generation_config: Any
    main_input_name: str

    # Inputs

    def _place(self) -> Any:
        return next(iter(self.parameters())).place  # type: ignore[attr-defined]

    def _prepare_model_inputs(
        self,
        inputs: paddle.Tensor | None,
        bos_token_id: Any,
        model_kwargs: dict[str, Any],
    ) -> tuple[paddle.Tensor, str, dict[str, Any]]:
        """Return the prompt (ids or embeddings), its name, and what remains of the arguments."""
        encodes, name = self.config.is_encoder_decoder, self.main_input_name
        named = model_kwargs.pop(name, None)
        if named is not None and inputs is not None:
            raise ValueError(
                f"`inputs` were passed alongside {name} which is not allowed. Make sure to either "
                f"pass inputs or {name}=..."
            )
        inputs = named if inputs is None else inputs
        if name == "input_ids" and "inputs_embeds" in model_kwargs:
            if model_kwargs["inputs_embeds"] is None:
                model_kwargs.pop("inputs_embeds")
            elif not encodes:
                self._refuse_embeds_if_unused()
                model_kwargs["input_ids"] = self._maybe_initialize_input_ids_for_generation(
                    inputs, bos_token_id, model_kwargs
                )
                inputs, name = model_kwargs["inputs_embeds"], "inputs_embeds"
            elif inputs is not None:
                raise ValueError(
                    "You passed `inputs_embeds` and `input_ids` to `.generate()`. Please pick one."
                )
            else:
                inputs, name = model_kwargs["inputs_embeds"], "inputs_embeds"
        inputs = self._maybe_initialize_input_ids_for_generation(inputs, bos_token_id, model_kwargs)
        return inputs, name, model_kwargs

    def _refuse_embeds_if_unused(self) -> None:
        prepare = self.prepare_inputs_for_generation  # type: ignore[attr-defined]
        if "inputs_embeds" not in inspect.signature(prepare).parameters:
            raise ValueError(
                f"You passed `inputs_embeds` to `.generate()`, but the model class "
                f"{type(self).__name__} doesn't have its forwarding implemented."
            )

    def _maybe_initialize_input_ids_for_generation(
        self, inputs: paddle.Tensor | None, bos_token_id: Any, model_kwargs: dict[str, Any]
    ) -> paddle.Tensor:
        """Return the given prompt, else the start that can be made up without one."""
        if inputs is not None:
            return inputs
        states = getattr(model_kwargs.get("encoder_outputs"), "last_hidden_state", None)
        if self.config.is_encoder_decoder and states is not None:
            return full(states.shape[:-1], -100, "int64", states)
        batch = next((v.shape[0] for v in model_kwargs.values() if is_tensor(v)), 1)
        if "inputs_embeds" in model_kwargs:
            return full([batch, 0], 1, "int64", model_kwargs["inputs_embeds"])
        if bos_token_id is None:
            raise ValueError("`bos_token_id` has to be defined when no `input_ids` are provided.")
        bos = paddle.full([batch, 1], int(bos_token_id), dtype="int64")
        return bos.to(self._place())

    def _prepare_position_ids_for_generation(
        self, inputs_tensor: paddle.Tensor, model_kwargs: dict[str, Any]
    ) -> paddle.Tensor:
        """Return positions ``[B or 1, T]`` that count real tokens only; padding gets 0."""
        given = model_kwargs.get("input_ids")
        if given is not None and given.shape[1] > 0:
            inputs_tensor = given
        mask = model_kwargs.get("attention_mask")
        if mask is not None:
            positions = paddle.cumsum(mask.astype("int64"), axis=-1) - 1
            return paddle.where(mask == 0, paddle.zeros_like(positions), positions)
        cache = model_kwargs.get("past_key_values")
        past = int(cache.get_seq_length()) if cache is not None else 0
        return arange(inputs_tensor.shape[1] + past, inputs_tensor).unsqueeze(0)

    def _prepare_attention_mask_for_generation(
        self,
        inputs_tensor: paddle.Tensor,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
    ) -> paddle.Tensor:
        """Return ``[B, S]``: padding is hidden if it can be told from the end token, else ones."""
        pad, eos = generation_config._pad_token_tensor, generation_config._eos_token_tensor
        given = model_kwargs.get("input_ids")
        if given is not None and given.shape[1] > 0:
            inputs_tensor = given
        ones = full(inputs_tensor.shape[:2], 1, "int64", inputs_tensor)
        if pad is None or inputs_tensor.ndim != 2 or paddle.is_floating_point(inputs_tensor):
            return ones
        padded = inputs_tensor == pad
        distinct = eos is None or not bool(paddle.any(eos == pad))
        return (~padded).astype("int64") if distinct and bool(paddle.any(padded)) else ones

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: paddle.Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[paddle.Tensor | None, dict[str, Any]]:
        """Repeat each row ``expand_size`` times, copies side by side."""
        if expand_size == 1:
            return input_ids, model_kwargs

        def repeat(value: Any, axis: int = 0) -> Any:
            return paddle.repeat_interleave(value, expand_size, axis) if is_tensor(value) else value

        for key, value in model_kwargs.items():
            sections = key == "position_ids" and is_tensor(value) and value.ndim == 3
            model_kwargs[key] = repeat(value, 1 if sections else 0)
        if is_encoder_decoder:
            outputs = model_kwargs.get("encoder_outputs")
            if outputs is None:
                raise ValueError(
                    "If `is_encoder_decoder` is True, make sure that `encoder_outputs` is defined."
                )
            outputs = copy.copy(outputs)
            for key in list(outputs.keys()):
                outputs[key] = repeat(outputs[key])
            model_kwargs["encoder_outputs"] = outputs
        return repeat(input_ids), model_kwargs

    # Encoder-decoders

    def _maybe_prepare_encoder_kwargs_for_generation(
        self,
        inputs_tensor: paddle.Tensor,
        model_kwargs: dict[str, Any],
        model_input_name: str | None,
        generation_config: GenerationConfig,
    ) -> dict[str, Any]:
        """Run the encoder, unless the user did, and keep its result in ``encoder_outputs``."""
        if not self.config.is_encoder_decoder or model_kwargs.get("encoder_outputs") is not None:
            return model_kwargs
        encoder = self.get_encoder()  # type: ignore[attr-defined]
        arguments = {k: v for k, v in model_kwargs.items() if not k.startswith(_ENCODER_SKIPS)}
        known = forward_arguments(encoder)
        if not known & {"kwargs", "model_kwargs"}:
            arguments = {k: v for k, v in arguments.items() if k in known}
        arguments["output_attentions"] = generation_config.output_attentions
        arguments["output_hidden_states"] = generation_config.output_hidden_states
        arguments["return_dict"] = True
        arguments[model_input_name or self.main_input_name] = inputs_tensor
        model_kwargs["encoder_outputs"] = encoder(**arguments)
        return model_kwargs

    def _prepare_decoder_input_ids_for_generation(
        self,
        batch_size: int,
        model_input_name: str,
        model_kwargs: dict[str, Any],
        decoder_start_token_id: paddle.Tensor,
        device: Any = None,
    ) -> tuple[paddle.Tensor, dict[str, Any]]:
        """Return the decoder's first ids ``[B, S]``: the start token, then the user's if any."""
        given = model_kwargs.pop("decoder_input_ids", None)
        if given is None and model_input_name != "input_ids":
            given = model_kwargs.pop("input_ids", None)
        start = decoder_start_token_id
        if start.ndim == 1:
            if start.shape[0] != batch_size:
                raise ValueError(
                    f"`decoder_start_token_id` expected to have length {batch_size} but got "
                    f"{start.shape[0]}"
                )
            start = start.reshape([-1, 1])
        else:
            start = full([batch_size, 1], int(start), "int64", start)
        if given is None:
            return start, model_kwargs
        given = given.astype("int64")
        if bool(paddle.all(given[:, 0] != start[:, 0])):
            given = paddle.concat([start, given], axis=-1)
            if "decoder_attention_mask" in model_kwargs:
                mask = model_kwargs["decoder_attention_mask"]
                mask = paddle.concat([paddle.ones_like(mask[:, :1]), mask], axis=-1)
                model_kwargs["decoder_attention_mask"] = mask
        return given, model_kwargs

    # Config

    def _prepare_generation_config(
        self, generation_config: GenerationConfig | None, **kwargs: Any
    ) -> tuple[GenerationConfig, dict[str, Any]]:
        """Merge call, given config, the model's own and the library's defaults, in this order.

        Returns: the merged config and the arguments that belong to the model.
        """
        provided = generation_config is not None
        if not provided:
            modified = self.config._get_generation_parameters()
            if modified:
                raise ValueError(
                    f"You have modified the pretrained model configuration to control generation: "
                    f"{modified}. This is not supported anymore; use `model.generation_config`."
                )
            generation_config = GenerationConfig()
        config = copy.deepcopy(generation_config)
        config.update(
            **self.generation_config.to_dict(), defaults_only=True, allow_custom_entries=True
        )
        config.update(**self.generation_config._get_default_generation_params(), defaults_only=True)
        model_kwargs = config.update(**kwargs)
        if config.cache_implementation == "hybrid":
            config.cache_implementation = None
        if config.compile_config is not None:
            warn_once("generate: compile_config has no effect on Paddle; nothing is compiled.")
        changed = set(kwargs) - set(model_kwargs)
        if provided and changed:
            warn_once(
                f"Passing `generation_config` together with generation-related arguments="
                f"({changed}) is deprecated and will be removed in future versions. Please pass "
                f"either a `generation_config` object OR all generation parameters explicitly, "
                f"but not both."
            )
        for name in ("output_attentions", "output_hidden_states"):
            if getattr(config, name):
                model_kwargs[name] = getattr(config, name)
        return config, model_kwargs

    def _prepare_special_tokens(
        self,
        generation_config: GenerationConfig,
        kwargs_has_attention_mask: bool | None = None,
        device: Any = None,
        batch_size: int | None = None,
    ) -> None:
        """Put the special tokens on the device: ``_eos_token_tensor`` int64 ``[E]``, others 0-D."""
        place = self._place() if device is None else device

        def tensor(token: Any) -> paddle.Tensor | None:
            if token is None:
                return None
            if not is_tensor(token):
                dtype = "float32" if isinstance(token, float) else "int64"
                token = paddle.to_tensor(token, dtype=dtype, place=place)
            return token.to(place)

        config = generation_config
        bos, eos, pad = (tensor(getattr(config, f"{n}_token_id")) for n in ("bos", "eos", "pad"))
        start = tensor(config.decoder_start_token_id)
        unmasked_batch = kwargs_has_attention_mask is False and (
            batch_size is None or batch_size > 1
        )
        if self.config.is_encoder_decoder:
            start = bos if start is None else start
            if start is None:
                raise ValueError(
                    "`decoder_start_token_id` or `bos_token_id` has to be defined for "
                    "encoder-decoder generation."
                )
        if eos is not None:
            eos = token_ids(eos)
            if pad is None:
                if unmasked_batch:
                    logger.warning(
                        "The attention mask and the pad token id were not set, with a batched "
                        "input. As a consequence, you may observe unexpected behavior. Please "
                        "pass your input's `attention_mask` to obtain reliable results."
                    )
                pad = eos[0]
            if unmasked_batch and bool(paddle.any(eos == pad.astype(eos.dtype))):
                warn_once(
                    "The attention mask is not set with a batched input, and cannot be inferred "
                    "from input because pad token is same as eos token. As a consequence, you may "
                    "observe unexpected behavior. Please pass your input's `attention_mask` to "
                    "obtain reliable results."
                )
            if paddle.is_floating_point(eos) or bool(paddle.any(eos < 0)):
                logger.warning(
                    "`eos_token_id` should consist of positive integers, but is %s. Your "
                    "generation will not stop until the maximum length is reached.",
                    eos.tolist(),
                )
        config._bos_token_tensor, config._eos_token_tensor = bos, eos
        config._pad_token_tensor, config._decoder_start_token_tensor = pad, start

    # Lengths

    def _prepare_generated_length(
        self,
        generation_config: GenerationConfig,
        has_default_max_length: bool,
        has_default_min_length: bool,
        model_input_name: str,
        input_ids_length: int,
        inputs_tensor: paddle.Tensor,
    ) -> GenerationConfig:
        """Set ``max_length`` and ``min_length`` to count from the first id that is returned."""
        config, both = generation_config, "Both `%s_new_tokens` (=%s) and `%s_length`(=%s) seem to "
        both += "have been set. `%s_new_tokens` will take precedence."
        # Embeddings count as prompt, though the returned ids do not hold them.
        embeds = (
            model_input_name == "inputs_embeds"
            and input_ids_length != inputs_tensor.shape[1]
            and not self.config.is_encoder_decoder
        )
        if config.max_new_tokens is not None:
            if not has_default_max_length and config.max_length is not None:
                logger.warning(both, "max", config.max_new_tokens, "max", config.max_length, "max")
            config.max_length = config.max_new_tokens + input_ids_length
        elif embeds and not has_default_max_length:
            config.max_length -= inputs_tensor.shape[1]
        elif has_default_max_length:
            config.max_length = config.max_length + input_ids_length
            limit = getattr(self.config, "max_position_embeddings", None)
            if limit is not None:
                config.max_length = min(config.max_length, limit)
        if config.min_new_tokens is not None:
            if not has_default_min_length:
                logger.warning(both, "min", config.min_new_tokens, "min", config.min_length, "min")
            config.min_length = config.min_new_tokens + input_ids_length
        elif embeds:
            config.min_length = max(config.min_length - inputs_tensor.shape[1], 0)
        return config

    def _validate_generated_length(
        self,
        generation_config: GenerationConfig,
        input_ids_length: int,
        has_default_max_length: bool,
    ) -> None:
        config = generation_config
        if has_default_max_length and config.max_new_tokens is None:
            warnings.warn(
                f"Using the model-agnostic default `max_length` (={config.max_length}) to control "
                f"the generation length. We recommend setting `max_new_tokens` to control the "
                f"maximum length of the generation.",
                UserWarning,
                stacklevel=3,
            )
        if input_ids_length >= config.max_length:
            name = "decoder_input_ids" if self.config.is_encoder_decoder else "input_ids"
            raise ValueError(
                f"Input length of {name} is {input_ids_length}, but `max_length` is set to "
                f"{config.max_length}. This can lead to unexpected behavior. You should consider "
                f"increasing `max_length` or, better yet, setting `max_new_tokens`."
            )
        suffix = (
            "Generation will stop at the defined maximum length. You should decrease the minimum "
            "length and/or increase the maximum length."
        )
        if config.min_length is not None and config.min_length > config.max_length:
            warnings.warn(
                f"Unfeasible length constraints: `min_length` ({config.min_length}) is larger than "
                f"the maximum possible length ({config.max_length}). {suffix}",
                UserWarning,
                stacklevel=3,
            )
        new = config.min_new_tokens
        if new is not None and new + input_ids_length > config.max_length:
            warnings.warn(
                f"Unfeasible length constraints: `min_new_tokens` ({new}), when added to the "
                f"prompt length ({input_ids_length}), is larger than the maximum possible length "
                f"({config.max_length}). {suffix}",
                UserWarning,
                stacklevel=3,
            )

    # Cache

    def _prepare_cache_for_generation(
        self,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        generation_mode: Any,
        batch_size: int,
        max_cache_length: int,
    ) -> None:
        """Put the cache that the config asks for in ``past_key_values``; the user's own stays."""
        config, kind = generation_config, generation_config.cache_implementation
        given = model_kwargs.get("past_key_values")
        if given is not None:
            self._check_user_cache(given, kind)
            return
        if config.use_cache is False:
            return
        decoder = self.config.get_text_config(decoder=True)
        if kind is not None and "offloaded" in kind:
            raise UnsupportedArgumentError(
                f"cache_implementation={kind!r} is not implemented: a cache stays on the device of "
                f"its keys. Use 'dynamic' or 'static'."
            )
        if kind == "quantized":
            QuantizedCache(**{"backend": "quanto", **(config.cache_config or {})})
        if kind in ALL_STATIC_CACHE_IMPLEMENTATIONS:
            cache = self._prepare_static_cache(config, max_cache_length, decoder, model_kwargs)
        else:
            cache = DynamicCache(config=decoder)
            if self.config.is_encoder_decoder:
                cache = EncoderDecoderCache(cache, DynamicCache(config=decoder))
        if config.is_assistant:
            # A draft's tokens are taken back where the main model disagrees.
            cache.activate_past_recording()
        model_kwargs["past_key_values"] = cache

    @staticmethod
    def _check_user_cache(given: Any, kind: str | None) -> None:
        if kind is not None:
            raise ValueError(
                f"Passing both `cache_implementation` (={kind!r}) and `past_key_values` (a Cache "
                f"object) is unsupported. Please use only one of the two."
            )
        if not isinstance(given, Cache):
            raise ValueError(
                f"past_key_values is a {type(given).__name__}; passing a tuple of "
                f"`past_key_values` is not supported anymore. Please use a `Cache` instance."
            )

    def _prepare_static_cache(
        self,
        generation_config: GenerationConfig,
        max_cache_length: int,
        decoder_config: Any,
        model_kwargs: dict[str, Any],
    ) -> Cache:
        kind = generation_config.cache_implementation
        if kind in DEPRECATED_STATIC_CACHE_IMPLEMENTATIONS:
            warn_once(
                f"Using `cache_implementation='{kind}'` is deprecated. Please only use one of "
                f"{STATIC_CACHE_IMPLEMENTATIONS}; the layer structure will be inferred."
            )
        length = max(max_cache_length, generation_config.max_cache_len or 0)
        cache: Cache = StaticCache(decoder_config, max_cache_len=length)
        if self.config.is_encoder_decoder:
            source = model_kwargs["encoder_outputs"][0].shape[1]
            cache = EncoderDecoderCache(cache, StaticCache(decoder_config, max_cache_len=source))
        return cache
