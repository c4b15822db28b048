"""The bidirectional encoder that BERT's descendants share: embeddings, blocks, optional pooler.

A family gives `make_embeddings` and `make_block`, and names its heads (hfpaddle/modeling/
encoder_heads.py). Everything that a user may pass or ask for is handled here once. With
``config.is_decoder`` the families that have it upstream attend causally and keep a cache.

Shape letters: B batch, S queries, T keys, H hidden.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import paddle
from paddle import nn

from hfpaddle.converters.keymap import Drop, KeyMap, Rename
from hfpaddle.core.errors import UnsupportedArgumentError, UnsupportedConfigError
from hfpaddle.core.logging import warn_once
from hfpaddle.layers import AttentionMask, Linear
from hfpaddle.layers.cache import DynamicCache
from hfpaddle.layers.masks import bias_from_user
from hfpaddle.layers.post_norm import EncoderEmbeddings, PostNormBlock, SelfAttention
from hfpaddle.layers.recompute import recompute
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.decoder import check_arguments, check_inputs, chosen
from hfpaddle.modeling.encoder_heads import HEADS
from hfpaddle.modeling.outputs import BaseModelOutputWithPoolingAndCrossAttentions
from hfpaddle.modeling.packing import refuse_packing
from hfpaddle.modeling.registry import class_name

# What checkpoints of other ages hold besides, or spell otherwise.
OLD_SPELLINGS = KeyMap(
    (
        Rename(r"LayerNorm\.gamma$", "LayerNorm.weight"),
        Rename(r"LayerNorm\.beta$", "LayerNorm.bias"),
        Drop("*embeddings.position_ids"),
        Drop("*embeddings.token_type_ids"),
    )
)
LABELS = ("labels", "next_sentence_label", "start_positions", "end_positions")


class Blocks(nn.Layer):
    """The checkpoint's ``encoder.layer.*``."""

    def __init__(self, blocks: list[nn.Layer]) -> None:
        super().__init__()
        self.layer = nn.LayerList(blocks)


class Pooler(nn.Layer):
    """``tanh(dense(first token))``, ``[B, S, H]`` to ``[B, H]``."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.dense = Linear(hidden_size, hidden_size)

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return paddle.tanh(self.dense(x_BSH[:, 0]))


class EncoderModel(PreTrainedModel):
    """Embeddings, blocks and an optional pooler.

    A family derives its backbone from this and, last, from its own ``...PreTrainedModel``, which
    holds config class, prefix and key map; its heads derive from the latter too.

    Class attributes that a family may set besides those of `PreTrainedModel`:
        output_class: what `forward` returns.
        has_pooler: whether the constructor takes ``add_pooling_layer``.
        causal_config: whether ``config.is_decoder`` has a meaning.
        embedding_inputs: further arguments of `forward` that go to the embeddings.
        inputs: order of the input arguments, where it is not BERT's; ``...`` marks the labels.
        head_classes: auto class -> bases of the head, where they are not the general ones.
    """

    embedding_path = "embeddings.word_embeddings"
    output_class: type = BaseModelOutputWithPoolingAndCrossAttentions
    has_pooler = True
    causal_config = True
    embedding_inputs: tuple[str, ...] = ()
    inputs: tuple[Any, ...] | None = None
    head_classes: dict[str, tuple[type, ...]] = {}

    def __init__(self, config: Any, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.causal = self.causal_config and config.is_decoder
        if getattr(config, "add_cross_attention", False):
            raise UnsupportedConfigError(
                f"{type(self).__name__}: add_cross_attention=True is not implemented "
                "(works: False). Encoder-decoder families that exist: 't5', 'bart'."
            )
        self.embeddings = self.make_embeddings(config)
        self.layer_types = self.make_layer_types(config)
        self.add_blocks(config)
        self.pooler = None
        if self.has_pooler and add_pooling_layer:
            self.pooler = Pooler(config.hidden_size)

    # What a family describes; BERT's shape by default

    def make_embeddings(self, config: Any) -> nn.Layer:
        return EncoderEmbeddings(
            config.vocab_size,
            config.hidden_size,
            config.max_position_embeddings,
            config.type_vocab_size,
            config.pad_token_id,
            config.layer_norm_eps,
            config.hidden_dropout_prob,
        )

    def make_block(self, config: Any, layer: int) -> nn.Layer:
        kind = getattr(config, "position_embedding_type", None) or "absolute"
        if kind != "absolute":
            # transformers 5 removed it and would read such checkpoints with wrong numbers.
            raise UnsupportedConfigError(
                f"position_embedding_type={kind!r} is not implemented (works: 'absolute')."
            )
        return PostNormBlock(
            SelfAttention(
                config.hidden_size,
                config.num_attention_heads,
                config.attention_probs_dropout_prob,
                layer,
            ),
            config.hidden_size,
            config.intermediate_size,
            config.hidden_act,
            config.layer_norm_eps,
            config.hidden_dropout_prob,
        )

    def add_blocks(self, config: Any) -> None:
        """Create the blocks under the checkpoint's name; `blocks` finds them there."""
        self.encoder = Blocks([self.make_block(config, i) for i in range(len(self.layer_types))])

    @property
    def blocks(self) -> nn.LayerList:
        return self.encoder.layer

    def make_layer_types(self, config: Any) -> list[str]:
        """Return each layer's type; masks are made once a type."""
        return ["full_attention"] * config.num_hidden_layers

    def window(self, kind: str) -> int | None:
        """Return how far layers of type ``kind`` see to either side, None without limit."""
        return None

    def finish(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        """What a family does after the last block."""
        return x_BSH

    @classmethod
    def make_siblings(cls, model_type: str) -> list[type]:
        """Derive every head that this family has upstream."""
        reorder(cls)
        made = []
        for auto, bases in {**HEADS, **cls.head_classes}.items():
            name = class_name(auto, model_type)
            if name is not None:
                attrs = {"model_class": cls, "__doc__": bases[0].__doc__}
                head = type(name, (*bases, cls.__bases__[-1]), attrs)
                reorder(head)
                made.append(head)
        return made

    # Forward

    def forward(
        self,
        input_ids: paddle.Tensor | None = None,
        attention_mask: Any = None,
        token_type_ids: paddle.Tensor | None = None,
        position_ids: paddle.Tensor | None = None,
        inputs_embeds: paddle.Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the backbone.

        Args:
            input_ids: ``[B, S]`` integer; or ``inputs_embeds`` ``[B, S, H]`` floating.
            attention_mask: ``[B, T]`` nonzero where a token is real; or 4-D, boolean (may see) or
                floating (added to the scores).
            token_type_ids: ``[B, S]``, where the family has them.
            position_ids: ``[B or 1, S]``.
            past_key_values: cache of earlier tokens, which all tokens see.
        Returns: ``output_class``, or a tuple with ``return_dict=False``.
        """
        check_inputs(input_ids, inputs_embeds)
        extra = {name: kwargs.pop(name, None) for name in self.embedding_inputs}
        check_arguments(type(self).__name__, kwargs)
        refuse_packing(type(self).__name__, attention_mask, position_ids)
        config = self.config
        use_cache = self.causal and (config.use_cache if use_cache is None else use_cache)
        if self.gradient_checkpointing and self.training and use_cache:
            warn_once("use_cache=True is incompatible with gradient checkpointing: set to False.")
            use_cache, past_key_values = False, None
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=config)
        past = 0 if past_key_values is None else int(past_key_values.get_seq_length())
        ids = None if input_ids is None else input_ids.astype("int64")
        x_BSH = self.embed(
            ids, attention_mask, token_type_ids, position_ids, inputs_embeds, past, **extra
        )
        state = self.make_state(x_BSH, attention_mask, position_ids, past_key_values, past)
        wanted = (output_attentions, config.output_attentions)
        state.attentions = [] if chosen(*wanted) else None
        wanted = (output_hidden_states, config.output_hidden_states)
        hidden = [] if chosen(*wanted) else None
        x_BSH = self.run_blocks(x_BSH, state, hidden)
        output = self.make_output(x_BSH, past_key_values if use_cache else None, hidden, state)
        return output if chosen(return_dict, config.return_dict) else output.to_tuple()

    def make_output(
        self, x_BSH: paddle.Tensor, cache: Any, hidden: list | None, state: ForwardState
    ) -> Any:
        fields = {
            "last_hidden_state": x_BSH,
            "pooler_output": None if self.pooler is None else self.pooler(x_BSH),
            "past_key_values": cache,
            "hidden_states": None if hidden is None else tuple(hidden),
            "attentions": None if state.attentions is None else tuple(state.attentions),
        }
        if state.attentions is not None and self.causal_config:
            fields["cross_attentions"] = ()  # the original's output has the empty tuple, too
        return self.output_class(**{k: v for k, v in fields.items() if v is not None})

    def embed(
        self,
        input_ids: paddle.Tensor | None,
        attention_mask: Any,
        token_type_ids: paddle.Tensor | None,
        position_ids: paddle.Tensor | None,
        inputs_embeds: paddle.Tensor | None,
        past: int,
        **extra: Any,
    ) -> paddle.Tensor:
        """Return ``[B, S, H]``, what enters the first block."""
        return self.embeddings(
            input_ids, token_type_ids, position_ids, inputs_embeds, past, **extra
        )

    def make_state(
        self, x_BSH: paddle.Tensor, attention_mask: Any, position_ids: Any, cache: Any, past: int
    ) -> ForwardState:
        masks = {
            kind: self.make_mask(kind, x_BSH.shape[1], attention_mask, cache, past)
            for kind in dict.fromkeys(self.layer_types)
        }
        return ForwardState(masks=masks, position_ids=position_ids, cache=cache)

    def make_mask(self, kind: str, queries: int, user: Any, cache: Any, past: int) -> AttentionMask:
        """Describe what layers of type ``kind`` may see."""
        user = user.get(kind) if isinstance(user, dict) else user
        if user is not None and user.ndim not in (2, 4):
            raise UnsupportedArgumentError(
                f"{type(self).__name__}: attention_mask has shape {list(user.shape)}; give [batch, "
                "tokens] or [batch, 1 or heads, queries, keys]."
            )
        keys, key_offset = queries, 0
        if cache is not None:
            keys, key_offset = cache.get_mask_sizes(queries, self.layer_types.index(kind))
        if user is not None and user.ndim == 4:
            return AttentionMask(queries, keys, causal=False, bias=bias_from_user(user))
        return AttentionMask(
            queries,
            keys,
            offset=past,
            key_offset=key_offset,
            causal=self.causal,
            window=self.window(kind),
            padding=user,
        )

    def run_blocks(
        self, x_BSH: paddle.Tensor, state: ForwardState, hidden: list | None
    ) -> paddle.Tensor:
        """Apply every block; ``hidden`` collects each one's input, and the result."""
        for block in self.blocks:
            if hidden is not None:
                hidden.append(x_BSH)
            x_BSH = self.run_block(block, x_BSH, state)
        x_BSH = self.finish(x_BSH)
        if hidden is not None:
            hidden.append(x_BSH)
        return x_BSH

    def run_block(self, block: nn.Layer, *inputs: Any) -> paddle.Tensor:
        """Apply one block, recomputed in the backward pass if the user asked for that."""
        if self.gradient_checkpointing and self.training:
            return recompute(block, *inputs)
        return block(*inputs)


def reorder(cls: Any) -> None:
    """Give ``cls.forward`` the argument order that ``cls.inputs`` and ``embedding_inputs`` say.

    The signature is what scripts and trainers look at, so it names the family's own arguments.
    """
    backbone = getattr(cls, "model_class", None) or cls
    extra = backbone.embedding_inputs
    order = getattr(cls, "inputs", None) or backbone.inputs
    if order is None and not extra:
        return
    plain: Callable = cls.forward
    signature = inspect.signature(plain)
    given = dict(signature.parameters)
    slot = given["input_ids"]
    names = order or ("input_ids", "attention_mask", "token_type_ids", *extra)
    front, back = list(names), []
    if ... in front:
        at = front.index(...)
        front, back = front[:at], front[at + 1 :]
    fresh = {name: slot.replace(name=name) for name in (*front, *back)}
    dropped = () if order is None else ("token_type_ids", "position_ids", "inputs_embeds")
    labels = {name: p for name, p in given.items() if name in LABELS}
    parameters = {"self": given["self"], **{name: fresh[name] for name in front}}
    if back:
        parameters |= labels
    parameters |= {name: fresh[name] for name in back}
    for name, p in given.items():
        if name not in dropped:
            parameters.setdefault(name, p)
    signature = signature.replace(parameters=list(parameters.values()))

    def forward(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs).arguments
        rest = bound.pop("kwargs", {})
        return plain(**bound, **rest)

    forward.__signature__ = signature  # type: ignore[attr-defined]
    forward.__doc__, forward.__name__ = plain.__doc__, "forward"
    cls.forward = forward


def base_plan(prefix: str, projections: str = "{query,key,value}") -> dict[str, str]:
    """Tensor-parallel layout of the blocks of BERT's shape under ``prefix``."""
    layer = f"{prefix}.encoder.layer.*"
    return {
        f"{layer}.attention.self.{projections}": "colwise",
        f"{layer}.attention.output.dense": "rowwise",
        f"{layer}.intermediate.dense": "colwise",
        f"{layer}.output.dense": "rowwise",
    }
