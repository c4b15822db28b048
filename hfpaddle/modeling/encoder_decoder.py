"""What encoder-decoder families share: two stacks, attention to the source, language-model head.

A family derives its stack from `Stack`, saying what its blocks are and what comes before and after
them, and its models from `Seq2SeqModel` and `Seq2SeqForConditionalGeneration`.

Shape letters: B batch, S decoder tokens, T source tokens or keys, H hidden, N heads, D head size,
V vocabulary, C classes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import paddle
from paddle import nn

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.logging import warn_once
from hfpaddle.generation import GenerationMixin
from hfpaddle.layers import Attention, AttentionMask, Dropout, Linear
from hfpaddle.layers.cache import DynamicCache, EncoderDecoderCache
from hfpaddle.layers.masks import bias_from_user
from hfpaddle.layers.recompute import recompute
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.decoder import check_arguments, check_inputs
from hfpaddle.modeling.losses import (
    question_answering_loss,
    sequence_classification_loss,
    token_loss,
)
from hfpaddle.modeling.outputs import (
    BaseModelOutput,
    BaseModelOutputWithPastAndCrossAttentions,
    Seq2SeqLMOutput,
    Seq2SeqModelOutput,
    Seq2SeqQuestionAnsweringModelOutput,
    Seq2SeqSequenceClassifierOutput,
)

HALF_MAX = 65504.0


def shift_right(ids_BS: paddle.Tensor, pad: int | None, start: int | None) -> paddle.Tensor:
    """Return the decoder's input for labels: ``start``, then all but the last; -100 becomes pad.

    Raises: ValueError if the config lacks one of the two tokens.
    """
    for name, token in (("pad_token_id", pad), ("decoder_start_token_id", start)):
        if token is None:
            raise ValueError(f"self.model.config.{name} has to be defined.")
    first_B1 = paddle.full_like(ids_BS[:, :1], start)
    shifted_BS = paddle.concat([first_B1, ids_BS[:, :-1]], axis=1)
    return paddle.where(shifted_BS == -100, paddle.full_like(shifted_BS, pad), shifted_BS)


def clamp_half(x: paddle.Tensor) -> paddle.Tensor:
    """Bring float16 values that overflowed back below infinity; other dtypes pass."""
    if x.dtype != paddle.float16 or bool(paddle.isfinite(x).all()):
        return x
    return x.clip(-(HALF_MAX - 1000), HALF_MAX - 1000)


class SourceAttention(Attention):
    """Attention of the decoder's tokens to the encoder's; keys and values are made once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, rope=None, layer_type="source", **kwargs)

    def split(self, x_BSE: paddle.Tensor) -> paddle.Tensor:
        """Return ``[B, N, S, D]`` of a projection ``[B, S, N * D]``."""
        B, S, _ = x_BSE.shape
        return x_BSE.reshape([B, S, -1, self.head_dim]).transpose([0, 2, 1, 3])

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        q_proj, k_proj, v_proj, _ = (getattr(self, name) for name in self.names)
        cache, layer = state.extra["source_cache"], self.layer_idx
        if cache is not None and cache.is_updated.get(layer):
            held = cache.cross_attention_cache.layers[layer]
            k, v = held.keys, held.values
        else:
            source_BTH = state.extra["source"]
            k, v = self.split(k_proj(source_BTH)), self.split(v_proj(source_BTH))
            if cache is not None:
                k, v = cache.cross_attention_cache.update(k, v, layer)
                cache.is_updated[layer] = True
        own = dataclasses.replace(state, cache=None, attentions=state.extra["cross_attentions"])
        return self.attend(self.split(q_proj(x_BSH)), k, v, own)


def make_mask(
    queries: int, keys: int, user: Any, *, causal: bool, offset: int = 0, key_offset: int = 0
) -> AttentionMask:
    """Describe who sees whom; ``user`` is ``[B, T]``, or 4-D: boolean, or added to the scores."""
    if user is not None and user.ndim not in (2, 4):
        raise UnsupportedArgumentError(
            f"attention_mask has shape {list(user.shape)}; give [batch, tokens] or "
            "[batch, 1 or heads, queries, keys]."
        )
    if user is not None and user.ndim == 4:
        return AttentionMask(queries, keys, bias=bias_from_user(user))
    return AttentionMask(
        queries, keys, causal=causal, offset=offset, key_offset=key_offset, padding=user
    )


class Stack(PreTrainedModel):
    """One side of an encoder-decoder.

    A family gives `make_block` and, where it has them, `enter`, `position_bias` and `finish`.

    Args:
        config: of the whole model.
        causal: True for the decoder: causal attention, a cache, attention to a source.
        depth: number of blocks.
    """

    blocks_name = "layers"

    def __init__(self, config: Any, causal: bool, depth: int) -> None:
        super().__init__(config)
        self.causal = causal
        self.embed_tokens = self.make_embedding(config)
        blocks = [self.make_block(config, causal, i) for i in range(depth)]
        setattr(self, self.blocks_name, nn.LayerList(blocks))

    @staticmethod
    def make_embedding(config: Any) -> nn.Layer:
        raise NotImplementedError("a family's stack defines make_embedding")

    @staticmethod
    def make_block(config: Any, causal: bool, layer: int) -> nn.Layer:
        raise NotImplementedError("a family's stack defines make_block")

    def enter(self, x_BSH: paddle.Tensor, past: int) -> paddle.Tensor:
        """What a family does to the embeddings first; ``past`` tokens are in the cache."""
        return x_BSH

    def position_bias(self, queries: int, keys: int, past: int) -> paddle.Tensor | None:
        """Return what is added to every block's own scores, ``[1, N, queries, keys]`` float32."""
        return None

    def finish(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        """What a family does after the last block."""
        return x_BSH

    def forward(
        self,
        input_ids: paddle.Tensor | None = None,
        attention_mask: Any = None,
        encoder_hidden_states: paddle.Tensor | None = None,
        encoder_attention_mask: Any = None,
        past_key_values: Any = None,
        inputs_embeds: paddle.Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run this side.

        Args:
            input_ids: ``[B, S]`` integer; or ``inputs_embeds`` ``[B, S, H]`` floating.
            attention_mask: ``[B, S]``, with the cache's tokens too; or 4-D.
            encoder_hidden_states: ``[B, T, H]``, what the decoder attends to, with its mask.
            past_key_values: the decoder's cache of earlier tokens.
        Returns: BaseModelOutput of an encoder, BaseModelOutputWithPastAndCrossAttentions of a
            decoder, or a tuple with ``return_dict=False``.
        """
        check_inputs(input_ids, inputs_embeds)
        check_arguments(type(self).__name__, kwargs)
        config = self.config
        x_BSH = inputs_embeds
        if x_BSH is None:
            x_BSH = self.embed_tokens(input_ids.astype("int64"))
        cache = None
        if self.causal:
            use_cache = config.use_cache if use_cache is None else use_cache
            cache = self.make_cache(past_key_values, use_cache, encoder_hidden_states is not None)
        state, past = self.make_state(x_BSH, attention_mask, cache)
        if encoder_hidden_states is not None:
            self.add_source(
                state, x_BSH.shape[1], encoder_hidden_states, encoder_attention_mask, cache
            )
        wants = config.output_attentions if output_attentions is None else output_attentions
        state.attentions = [] if wants else None
        state.extra["cross_attentions"] = [] if wants else None
        wants = output_hidden_states
        hidden = [] if (config.output_hidden_states if wants is None else wants) else None
        x_BSH = self.run_blocks(self.enter(x_BSH, past), state, hidden)
        output = self.make_output(x_BSH, cache, hidden, state)
        return output.to_tuple() if return_dict is False else output

    def make_output(
        self, x_BSH: paddle.Tensor, cache: Any, hidden: list | None, state: ForwardState
    ) -> Any:
        def as_tuple(values: list | None) -> tuple | None:
            return None if values is None else tuple(values)

        hidden_states, attentions = as_tuple(hidden), as_tuple(state.attentions)
        if not self.causal:
            return BaseModelOutput(x_BSH, hidden_states=hidden_states, attentions=attentions)
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=x_BSH,
            past_key_values=cache,
            hidden_states=hidden_states,
            attentions=attentions,
            cross_attentions=as_tuple(state.extra["cross_attentions"]),
        )

    def make_cache(self, past: Any, use_cache: bool, has_source: bool) -> Any:
        """Return the cache to fill, None for none; with a source it has two sides."""
        if self.gradient_checkpointing and self.training:
            if use_cache:
                warn_once(
                    "use_cache=True is incompatible with gradient checkpointing: set to False."
                )
            return None
        if past is None and not use_cache:
            return None
        past = DynamicCache() if past is None else past
        if has_source and not isinstance(past, EncoderDecoderCache):
            past = EncoderDecoderCache(past, DynamicCache())
        return past

    def make_state(
        self, x_BSH: paddle.Tensor, attention_mask: Any, cache: Any
    ) -> tuple[ForwardState, int]:
        """Return masks and cache of the blocks' own attention, and the number of cached tokens."""
        own = cache.self_attention_cache if isinstance(cache, EncoderDecoderCache) else cache
        queries = x_BSH.shape[1]
        keys, key_offset, past = queries, 0, 0
        if own is not None:
            past = int(own.get_seq_length())
            keys, key_offset = own.get_mask_sizes(queries, 0)
        mask = make_mask(
            queries, keys, attention_mask, causal=self.causal, offset=past, key_offset=key_offset
        )
        bias = self.position_bias(queries, keys, past)
        if bias is not None:
            hidden = mask.dense(x_BSH.place)
            bias = bias if hidden is None else bias + hidden
            mask = AttentionMask(queries, keys, bias=bias)
        return ForwardState(masks={"full_attention": mask}, cache=own), past

    def add_source(
        self, state: ForwardState, queries: int, source_BTH: paddle.Tensor, mask: Any, cache: Any
    ) -> None:
        """Tell the blocks what to attend to besides."""
        state.extra |= {"source": source_BTH, "source_cache": cache}
        state.masks["source"] = make_mask(queries, source_BTH.shape[1], mask, causal=False)

    def run_blocks(
        self, x_BSH: paddle.Tensor, state: ForwardState, hidden: list | None
    ) -> paddle.Tensor:
        """Apply every block; ``hidden`` collects each one's input, and the result."""
        for block in getattr(self, self.blocks_name):
            if hidden is not None:
                hidden.append(x_BSH)
            if self.gradient_checkpointing and self.training:
                x_BSH = recompute(block, x_BSH, state)
            else:
                x_BSH = block(x_BSH, state)
        x_BSH = self.finish(x_BSH)
        if hidden is not None:
            hidden.append(x_BSH)
        return x_BSH


class EncoderDecoder(PreTrainedModel):
    """Reaches the two stacks and the shared embedding, whatever layer holds them.

    With ``starts_from_source`` the decoder's inputs default to the encoder's, shifted.
    """

    embedding_path = "shared"
    starts_from_source = False

    def get_encoder(self) -> Stack:
        return self.base_model.encoder

    def get_decoder(self) -> Stack:
        return self.base_model.decoder

    def set_input_embeddings(self, value: nn.Layer) -> None:
        super().set_input_embeddings(value)
        for side in ("encoder", "decoder"):
            stack = getattr(self.base_model, side, None)
            if stack is not None:
                stack.embed_tokens = value

    def shift(self, ids_BS: paddle.Tensor) -> paddle.Tensor:
        """Return decoder inputs for ``ids_BS``."""
        config = self.config
        return shift_right(ids_BS, config.pad_token_id, config.decoder_start_token_id)

    def prepare_decoder_input_ids_from_labels(self, labels: paddle.Tensor) -> paddle.Tensor:
        """Return decoder inputs for ``labels`` ``[B, S]``."""
        return self.shift(labels)

    def start_from(
        self, source: paddle.Tensor | None, ids: paddle.Tensor | None, embeds: Any
    ) -> paddle.Tensor | None:
        """Return the decoder's ids: those given, else ``source`` shifted.

        Raises: ValueError if there is nothing to start from.
        """
        if ids is not None or embeds is not None:
            return ids
        if source is None:
            raise ValueError(
                "If no `decoder_input_ids` or `decoder_inputs_embeds` are passed, `input_ids` "
                "cannot be `None`. Please pass either `input_ids` or `decoder_input_ids` or "
                "`decoder_inputs_embeds`."
            )
        return self.shift(source)

    def encode_decode(
        self,
        input_ids: paddle.Tensor | None = None,
        attention_mask: Any = None,
        decoder_input_ids: paddle.Tensor | None = None,
        decoder_attention_mask: Any = None,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: paddle.Tensor | None = None,
        decoder_inputs_embeds: paddle.Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> Seq2SeqModelOutput:
        """Run the encoder, unless ``encoder_outputs`` holds its result, then the decoder."""
        if self.starts_from_source:
            decoder_input_ids = self.start_from(input_ids, decoder_input_ids, decoder_inputs_embeds)
        if encoder_outputs is None:
            encoder_outputs = self.get_encoder()(
                input_ids=input_ids,
                attention_mask=attention_mask,
                inputs_embeds=inputs_embeds,
                **kwargs,
            )
        elif isinstance(encoder_outputs, (tuple, list)):
            encoder_outputs = BaseModelOutput(*encoder_outputs[:3])
        decoded = self.get_decoder()(
            input_ids=decoder_input_ids,
            attention_mask=decoder_attention_mask,
            encoder_hidden_states=encoder_outputs[0],
            encoder_attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        return Seq2SeqModelOutput(
            last_hidden_state=decoded.last_hidden_state,
            past_key_values=decoded.past_key_values,
            decoder_hidden_states=decoded.hidden_states,
            decoder_attentions=decoded.attentions,
            cross_attentions=decoded.cross_attentions,
            encoder_last_hidden_state=encoder_outputs[0],
            encoder_hidden_states=encoder_outputs.get("hidden_states"),
            encoder_attentions=encoder_outputs.get("attentions"),
        )


def finish_output(cls: type, head: dict[str, Any], outputs: Any, return_dict: Any) -> Any:
    """Return ``cls`` of what a head computed and what the model below it gave."""
    rest = {key: value for key, value in outputs.items() if key != "last_hidden_state"}
    output = cls(**head, **rest)
    return output.to_tuple() if return_dict is False else output


class Seq2SeqModel(EncoderDecoder):
    """Both stacks without a head."""

    def forward(
        self,
        input_ids: paddle.Tensor | None = None,
        attention_mask: Any = None,
        decoder_input_ids: paddle.Tensor | None = None,
        decoder_attention_mask: Any = None,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: paddle.Tensor | None = None,
        decoder_inputs_embeds: paddle.Tensor | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Encode the source and decode.

        Args:
            input_ids: ``[B, T]`` integer, with its mask; or ``inputs_embeds`` ``[B, T, H]``.
            decoder_input_ids: ``[B, S]`` integer, with its mask; or ``decoder_inputs_embeds``.
            encoder_outputs: result of the encoder, which then does not run.
            past_key_values: the decoder's cache of earlier tokens.
        Returns: Seq2SeqModelOutput, or a tuple with ``return_dict=False``.
        """
        output = self.encode_decode(
            *(input_ids, attention_mask, decoder_input_ids, decoder_attention_mask),
            *(encoder_outputs, past_key_values, inputs_embeds, decoder_inputs_embeds, use_cache),
            **kwargs,
        )
        return output.to_tuple() if return_dict is False else output


class Seq2SeqForConditionalGeneration(EncoderDecoder, GenerationMixin):
    """Both stacks and a vocabulary projection; a family may override `score`.

    With ``cache_with_labels`` a forward pass that is given labels may return a cache.
    """

    output_embedding_path = "lm_head"
    cache_with_labels = True

    def score(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        """Return logits ``[B, S, V]``."""
        return self.lm_head(x_BSH)

    def forward(
        self,
        input_ids: paddle.Tensor | None = None,
        attention_mask: Any = None,
        decoder_input_ids: paddle.Tensor | None = None,
        decoder_attention_mask: Any = None,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        inputs_embeds: paddle.Tensor | None = None,
        decoder_inputs_embeds: paddle.Tensor | None = None,
        labels: paddle.Tensor | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Score the next token at each decoder position; arguments as for the model below.

        Args:
            labels: ``[B, S]``; -100 does not count. They are not shifted: the decoder's inputs
                are, which these labels then stand for.
        Returns: Seq2SeqLMOutput with logits ``[B, S, V]``.
        """
        if labels is not None:
            use_cache = use_cache if self.cache_with_labels else False
            if decoder_input_ids is None and decoder_inputs_embeds is None:
                decoder_input_ids = self.shift(labels)
        outputs = self.base_model.encode_decode(
            *(input_ids, attention_mask, decoder_input_ids, decoder_attention_mask),
            *(encoder_outputs, past_key_values, inputs_embeds, decoder_inputs_embeds, use_cache),
            **kwargs,
        )
        logits_BSV = self.score(outputs.last_hidden_state)
        loss = None if labels is None else token_loss(logits_BSV, labels)
        head = {"loss": loss, "logits": logits_BSV}
        return finish_output(Seq2SeqLMOutput, head, outputs, return_dict)


class ClassificationHead(nn.Layer):
    """``out_proj(dropout(tanh(dense(dropout(x)))))``, H to C."""

    def __init__(self, hidden_size: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dense = Linear(hidden_size, hidden_size)
        self.dropout = Dropout(dropout)
        self.out_proj = Linear(hidden_size, classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.out_proj(self.dropout(paddle.tanh(self.dense(self.dropout(x)))))


def last_end(x_BSH: paddle.Tensor, ids_BS: paddle.Tensor, eos: int) -> paddle.Tensor:
    """Return ``[B, H]``, the states of each row's last end token.

    Raises: ValueError if rows differ in their number of end tokens, or have none.
    """
    ends_BS = (ids_BS == eos).astype("int64")
    counts = ends_BS.sum(axis=1)
    if bool((counts != counts[0]).any()):
        raise ValueError("All examples must have the same number of <eos> tokens.")
    if int(counts[0]) == 0:
        raise ValueError("Each example must contain at least one <eos> token.")
    B, S = ids_BS.shape
    last_B = (ends_BS * paddle.arange(1, S + 1).to(ids_BS.place)).argmax(axis=1)
    return x_BSH[paddle.arange(B).to(ids_BS.place), last_B]


class Seq2SeqForSequenceClassification(EncoderDecoder):
    """Scores the state of the last end token. A family's `add_model` makes what is below."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_model(config)
        self.classification_head = ClassificationHead(
            config.d_model, config.num_labels, config.classifier_dropout
        )

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        decoder_input_ids=None,
        decoder_attention_mask=None,
        encoder_outputs=None,
        inputs_embeds=None,
        decoder_inputs_embeds=None,
        labels=None,
        use_cache=None,
        return_dict=None,
        **kwargs,
    ) -> Any:
        """Return Seq2SeqSequenceClassifierOutput with logits ``[B, C]``."""
        if input_ids is None:
            raise NotImplementedError(
                f"Passing input embeddings is currently not supported for {type(self).__name__}"
            )
        outputs = self.base_model.encode_decode(
            input_ids,
            attention_mask,
            self.start_from(input_ids, decoder_input_ids, decoder_inputs_embeds),
            decoder_attention_mask,
            encoder_outputs,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache if labels is None else False,
            **kwargs,
        )
        state_BH = last_end(outputs.last_hidden_state, input_ids, self.config.eos_token_id)
        logits_BC = self.classification_head(state_BH)
        loss = None
        if labels is not None:
            loss = sequence_classification_loss(logits_BC, labels, self.config)
        head = {"loss": loss, "logits": logits_BC}
        return finish_output(Seq2SeqSequenceClassifierOutput, head, outputs, return_dict)


class Seq2SeqForQuestionAnswering(EncoderDecoder):
    """Scores each decoder token as start and end. A family's `add_model` makes what is below."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_model(config)
        self.num_labels = config.num_labels
        self.qa_outputs = Linear(config.d_model, config.num_labels)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        decoder_input_ids=None,
        decoder_attention_mask=None,
        encoder_outputs=None,
        start_positions=None,
        end_positions=None,
        inputs_embeds=None,
        decoder_inputs_embeds=None,
        use_cache=None,
        return_dict=None,
        **kwargs,
    ) -> Any:
        """Return Seq2SeqQuestionAnsweringModelOutput with logits ``[B, S]``."""
        answered = start_positions is not None and end_positions is not None
        outputs = self.base_model.encode_decode(
            input_ids,
            attention_mask,
            self.start_from(input_ids, decoder_input_ids, decoder_inputs_embeds),
            decoder_attention_mask,
            encoder_outputs,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=False if answered else use_cache,
            **kwargs,
        )
        logits_BS2 = self.qa_outputs(outputs.last_hidden_state)
        start_BS, end_BS = logits_BS2[..., 0], logits_BS2[..., 1]
        loss = None
        if answered:
            loss = question_answering_loss(start_BS, end_BS, start_positions, end_positions)
        head = {"loss": loss, "start_logits": start_BS, "end_logits": end_BS}
        return finish_output(Seq2SeqQuestionAnsweringModelOutput, head, outputs, return_dict)
