"""The part of PeftModel for methods that learn virtual tokens or keys and values.

Shape letters: B batch, S sequence, n virtual tokens, H hidden, L layers, N heads, D head size.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import Any

import paddle
from paddle import nn

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.layers.cache import DynamicCache, EncoderDecoderCache
from hfpaddle.peft.mapping import tuner_class
from hfpaddle.peft.utils.other import _get_batch_size, _prepare_prompt_learning_config
from hfpaddle.peft.utils.peft_types import PeftType, TaskType


def prepend(width: int, tensor: paddle.Tensor, value: int) -> paddle.Tensor:
    """``[B, S]`` with ``width`` columns of ``value`` in front."""
    front = paddle.full([tensor.shape[0], width], value, dtype=tensor.dtype)
    return paddle.concat([front.to(tensor.place), tensor], axis=1)


class PromptLearning:
    """Prompts in front of the input, or keys and values in front of the cache."""

    base_model: Any
    peft_config: Any
    active_adapter: Any
    active_peft_config: Any
    _is_prompt_learning: bool
    _adapters_disabled: bool
    prompt_encoder: Any
    prompt_tokens: dict[str, paddle.Tensor]

    @property
    def prompts_count(self) -> int:
        """How many virtual tokens a call gets; 0 for other methods and while they are disabled."""
        if not self._is_prompt_learning or self._adapters_disabled:
            return 0
        return int(self.active_peft_config.num_virtual_tokens)

    @property
    def _is_prefix(self) -> bool:
        return self.active_peft_config.peft_type == PeftType.PREFIX_TUNING

    @property
    def word_embeddings(self) -> Any:
        return self.base_model.get_input_embeddings()

    def _setup_prompt_encoder(self, adapter_name: str) -> None:
        config = self.peft_config[adapter_name]
        base = self.base_model
        _prepare_prompt_learning_config(config, base.config)
        if "prompt_encoder" not in self._sub_layers:  # type: ignore[attr-defined]
            self.prompt_encoder = nn.LayerDict()
            self.prompt_tokens = {}
        for param in base.parameters():
            param.stop_gradient = True
        if config.num_transformer_submodules is None:
            encodes = config.task_type == TaskType.SEQ_2_SEQ_LM
            config.num_transformer_submodules = 2 if encodes else 1
        prefix = config.peft_type == PeftType.PREFIX_TUNING
        if prefix and getattr(base, "is_gradient_checkpointing", False):
            raise ValueError("PREFIX_TUNING does not work with gradient checkpointing.")
        encoder_cls = tuner_class(config.peft_type)
        self.prompt_encoder[adapter_name] = encoder_cls.make(config, self.word_embeddings)
        count = config.num_virtual_tokens * config.num_transformer_submodules
        self.prompt_tokens[adapter_name] = paddle.arange(count, dtype="int64")

    # What is put in front

    def _prompt_tokens(self, adapter: str) -> paddle.Tensor:
        tokens = self.prompt_tokens[adapter].unsqueeze(0)
        config = self.peft_config[adapter]
        if config.peft_type == PeftType.PREFIX_TUNING:
            tokens = tokens[:, : config.num_virtual_tokens]
        return tokens.to(self.prompt_encoder[adapter].embedding.weight.place)

    def get_prompt_embedding_to_save(self, adapter_name: str) -> paddle.Tensor:
        """What a file holds of an adapter, ``[n, ...]``: the result, not what it is made of."""
        with paddle.no_grad():
            return self.prompt_encoder[adapter_name](self._prompt_tokens(adapter_name))[0]

    def get_prompt(self, batch_size: int, task_ids: Any = None, max_cache_len: Any = None) -> Any:
        """Embeddings ``[B, n, H]``, or for prefix tuning a cache that holds ``n`` tokens."""
        config, encoder = self.active_peft_config, self.prompt_encoder[self.active_adapter]
        if config.inference_mode:
            prompt = encoder.embedding.weight.unsqueeze(0)
        else:
            prompt = encoder(self._prompt_tokens(self.active_adapter))
        if not self._is_prefix:
            return prompt.expand([batch_size, -1, -1])
        return self._prefix_cache(prompt.expand([batch_size, -1, -1]), config)

    def _prefix_cache(self, values: paddle.Tensor, config: Any) -> Any:
        B, n, heads = values.shape[0], config.num_virtual_tokens, config.num_attention_heads
        head_dim = config.token_dim // heads
        values = values.reshape([B, n, config.num_layers * 2, heads, head_dim])
        values_LBNnD = values.transpose([2, 0, 3, 1, 4])
        stride, rows = 2 * config.num_transformer_submodules, values_LBNnD.shape[0]
        # The original lays two copies after one another for encoder-decoders and cuts them into
        # fours, so that a decoder's layer i reads rows 4 i and 4 i + 1, modulo their number.
        own = [
            (values_LBNnD[stride * i % rows], values_LBNnD[(stride * i + 1) % rows])
            for i in range(config.num_layers)
        ]
        if config.num_transformer_submodules == 2:
            return EncoderDecoderCache(DynamicCache(own), DynamicCache())
        sliding = "sliding_attention" in (
            getattr(self.base_model.config, "layer_types", None) or ()
        )
        if not sliding:
            return DynamicCache(own)
        return DynamicCache(own, config=self.base_model.config)

    # One call

    def _adjust_inputs(self, kwargs: dict[str, Any], drop_types: bool) -> None:
        """Make positions and token types fit what is put in front."""
        n = self.prompts_count
        if kwargs.get("position_ids") is not None:
            if self._is_prefix:
                kwargs["position_ids"] = kwargs["position_ids"] + n
            else:
                warnings.warn(
                    "Position ids are not supported for parameter efficient tuning. Ignoring "
                    "position ids.",
                    stacklevel=4,
                )
                kwargs["position_ids"] = None
        types = kwargs.get("token_type_ids")
        if types is not None and drop_types:
            warnings.warn(
                "Token type ids are not supported for parameter efficient tuning. Ignoring token "
                "type ids",
                stacklevel=4,
            )
            kwargs["token_type_ids"] = None
        elif types is not None and not self._is_prefix:
            kwargs["token_type_ids"] = prepend(n, types, 0)

    def _call_prompted(self, kwargs: dict[str, Any]) -> Any:
        """Call the base model with the prompt in front of what ``kwargs`` give."""
        ids, embeds = kwargs.get("input_ids"), kwargs.get("inputs_embeds")
        n, task = self.prompts_count, self.active_peft_config.task_type
        batch = _get_batch_size(ids, embeds)
        encodes = task == TaskType.SEQ_2_SEQ_LM
        heads = (TaskType.SEQ_CLS, TaskType.TOKEN_CLS, TaskType.QUESTION_ANS)
        self._adjust_inputs(kwargs, drop_types=task not in heads)
        masked = "decoder_attention_mask" if encodes and self._is_prefix else "attention_mask"
        if kwargs.get(masked) is not None:
            kwargs[masked] = prepend(n, kwargs[masked], 1)
        if self._is_prefix:
            self._check_takes_cache()
            kwargs["past_key_values"] = self.get_prompt(batch)
        else:
            embeds = self.word_embeddings(ids) if embeds is None else embeds
            prompts = self.get_prompt(batch)[:, :n].astype(embeds.dtype)
            kwargs["input_ids"] = None
            kwargs["inputs_embeds"] = paddle.concat([prompts, embeds], axis=1)
            if task == TaskType.CAUSAL_LM and kwargs.get("labels") is not None:
                kwargs["labels"] = prepend(n, kwargs["labels"], -100)
        return self.base_model(**{k: v for k, v in kwargs.items() if v is not None})

    def _check_takes_cache(self) -> None:
        if "past_key_values" not in inspect.signature(self.base_model.forward).parameters:
            raise ValueError(
                "Model does not support past key values which are required for prefix tuning."
            )

    # Generation

    def _generate_prompted(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Generate with the prompt in front."""
        base, config = self.base_model, self.active_peft_config
        if config.task_type == TaskType.SEQ_2_SEQ_LM and not self._is_prefix:
            return self._generate_from_embeddings(kwargs)
        plain = base.prepare_inputs_for_generation

        @functools.wraps(plain)
        def prepare(*a: Any, **k: Any) -> dict[str, Any]:
            return self._put_in_front(plain(*a, **k))

        base.prepare_inputs_for_generation = prepare
        try:
            return base.generate(*args, **kwargs)
        finally:
            del base.prepare_inputs_for_generation

    def _put_in_front(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Arguments of one step: the first also gets the prompt, all get its mask."""
        n, cache = self.prompts_count, inputs.get("past_key_values")
        first = cache is None or int(cache.get_seq_length()) == 0
        if "decoder_input_ids" in inputs:
            if first:
                inputs["past_key_values"] = self.get_prompt(inputs["decoder_input_ids"].shape[0])
            return inputs
        mask = inputs.get("attention_mask")
        if mask is not None:
            if not isinstance(mask, paddle.Tensor) or mask.ndim != 2:
                raise UnsupportedArgumentError(
                    "generate with virtual tokens takes a 2-D attention_mask only."
                )
            inputs["attention_mask"] = prepend(n, mask, 1)
        if inputs.get("position_ids") is not None:
            # What generate made itself; tokens are counted from the prompt on.
            shifted = inputs["position_ids"] + n
            inputs["position_ids"] = shifted if self._is_prefix else None
        inputs.pop("token_type_ids", None)
        if not first:
            return inputs
        ids, embeds = inputs.get("input_ids"), inputs.get("inputs_embeds")
        if self._is_prefix:
            inputs["past_key_values"] = self.get_prompt(_get_batch_size(ids, embeds))
            return inputs
        embeds = self.word_embeddings(ids) if embeds is None else embeds
        prompts = self.get_prompt(embeds.shape[0]).astype(embeds.dtype)
        inputs["input_ids"] = None
        inputs["inputs_embeds"] = paddle.concat([prompts, embeds], axis=1)
        return inputs

    def _generate_from_embeddings(self, kwargs: dict[str, Any]) -> Any:
        """Encoder-decoders: the prompt goes in front of what the encoder reads."""
        if "input_ids" not in kwargs:
            raise ValueError("input_ids must be provided for Peft model generation")
        kwargs = dict(kwargs)
        self._adjust_inputs(kwargs, drop_types=True)
        if kwargs.pop("encoder_outputs", None) is not None:
            warnings.warn(
                "`encoder_outputs` should not be passed to `generate` when using prompt tuning. "
                "Ignoring it.",
                stacklevel=4,
            )
        n, embeds = self.prompts_count, self.word_embeddings(kwargs.pop("input_ids"))
        prompts = self.get_prompt(embeds.shape[0])[:, :n].astype(embeds.dtype)
        kwargs["inputs_embeds"] = paddle.concat([prompts, embeds], axis=1)
        if kwargs.get("attention_mask") is not None:
            kwargs["attention_mask"] = prepend(n, kwargs["attention_mask"], 1)
        return self.base_model.generate(**kwargs)
