"""The causal decoder that most families share: backbone, block, and language-model head.

A family gives `make_block`; what else differs, it overrides by name: `make_norm`, `make_rotary`,
`layer_types`, `embed`. Everything that a user may pass or ask for is handled here once.

Shape letters: B batch, S queries, T keys, H hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import paddle
from paddle import nn

from hfpaddle import ops
from hfpaddle.core.errors import UnsupportedArgumentError, UnsupportedConfigError
from hfpaddle.core.logging import warn_once
from hfpaddle.generation import GenerationMixin
from hfpaddle.layers import AttentionMask, Embedding, Linear, RMSNorm, RotaryEmbedding
from hfpaddle.layers.cache import DynamicCache
from hfpaddle.layers.masks import bias_from_user
from hfpaddle.layers.packing import Packing
from hfpaddle.layers.recipe import BlockRecipe, block_recipe
from hfpaddle.layers.recompute import recompute
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.heads import decoder_heads
from hfpaddle.modeling.losses import causal_lm_loss
from hfpaddle.modeling.outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from hfpaddle.modeling.packing import ARGUMENTS as PACKING_ARGUMENTS
from hfpaddle.modeling.packing import find_packing
from hfpaddle.modeling.registry import class_name

# Arguments of older scripts that change no number; anything else unknown raises.
IGNORED = frozenset(("cache_position", "num_items_in_batch", "labels", "token_type_ids"))


class DecoderBlock(nn.Layer):
    """Attention and MLP, each behind a norm and added to the residual stream."""

    def __init__(self, self_attn: nn.Layer, mlp: nn.Layer, norm: Callable[[], nn.Layer]) -> None:
        super().__init__()
        self.self_attn, self.mlp = self_attn, mlp
        self.input_layernorm, self.post_attention_layernorm = norm(), norm()

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        x_BSH = x_BSH + self.self_attn(self.input_layernorm(x_BSH), state)
        return x_BSH + self.mlp(self.post_attention_layernorm(x_BSH))

    def recipe(self) -> BlockRecipe | None:
        """Return what a kernel needs to run the block; None for subclasses."""
        return self._recipe() if type(self) is DecoderBlock else None

    def _recipe(self, residual: float = 1.0) -> BlockRecipe | None:
        norms = {
            "before_attention": self.input_layernorm,
            "before_mlp": self.post_attention_layernorm,
        }
        parts = {"attention": self.self_attn, "mlp": self.mlp}
        return block_recipe(self, norms, **parts, residual=residual)


def chosen(argument: bool | None, default: bool) -> bool:
    """Return the caller's choice, the config's if there is none."""
    return default if argument is None else argument


def check_inputs(input_ids: Any, inputs_embeds: Any) -> None:
    if (input_ids is None) == (inputs_embeds is None):
        raise ValueError("You must specify exactly one of input_ids or inputs_embeds")


def check_arguments(owner: str, kwargs: dict[str, Any]) -> None:
    """Refuse arguments that this forward pass does not know, unless None or known to be inert."""
    for key, value in kwargs.items():
        if value is None or key in IGNORED:
            continue
        why = ""
        if key in PACKING_ARGUMENTS:
            why = (
                " It marks packed samples, which decoder families alone keep apart: pad the batch."
            )
        raise UnsupportedArgumentError(
            f"{owner}.forward() does not support {key}={str(value)[:60]!r}.{why}"
        )


class DecoderModel(PreTrainedModel):
    """Token embedding, blocks and a final norm; the family's main class says how each is made."""

    layers_name = "layers"
    norm_name: str | None = "norm"
    family: Any = None

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        family = self.family
        setattr(self, self.embedding_path, family.make_embedding(config))
        types = family.layer_types(config)
        self.layer_types = types
        self.sliding_window = getattr(config, "sliding_window", None)
        if "sliding_attention" in types and not self.sliding_window:
            # Without a window such a layer would see all keys, and only without a cache.
            raise UnsupportedConfigError(
                f"{type(config).__name__}: layer_types holds 'sliding_attention', but "
                f"sliding_window = {self.sliding_window!r} (works: 1 or more). Set sliding_window "
                "(and use_sliding_window=True where the config has it), or call these layers "
                "'full_attention'."
            )
        blocks = [family.make_block(config, i) for i in range(len(types))]
        setattr(self, self.layers_name, nn.LayerList(blocks))
        if self.norm_name:
            setattr(self, self.norm_name, family.make_norm(config))
        self.rotary = family.make_rotary(config)
        for layer in self.rotary.values():
            layer.eval()

    def forward(
        self,
        input_ids: paddle.Tensor | None = None,
        attention_mask: Any = None,
        position_ids: paddle.Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: paddle.Tensor | None = None,
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
                floating (added to the scores); or a dict of these by layer type.
            position_ids: ``[B, S]``; default counts on from the cache. Without cache and mask,
                positions that restart mark packed samples, which do not see each other.
            past_key_values: cache of earlier tokens.
            cu_seq_lens_q, cu_seq_lens_k, max_length_q, max_length_k, seq_idx: other marks of
                packed samples; see `hfpaddle.modeling.packing`.
        Returns: BaseModelOutputWithPast, or a tuple with ``return_dict=False``.
        """
        check_inputs(input_ids, inputs_embeds)
        marks = {key: kwargs.pop(key) for key in PACKING_ARGUMENTS if key in kwargs}
        check_arguments(type(self).__name__, kwargs)
        x_BSH = self.embed(input_ids) if inputs_embeds is None else inputs_embeds
        packing = find_packing(
            *(type(self).__name__, x_BSH.shape[:2], marks, position_ids, attention_mask),
            *(past_key_values, use_cache, self.config.use_cache),
        )
        if packing is not None:
            use_cache, attention_mask = False, None
        use_cache = chosen(use_cache, self.config.use_cache)
        if self.gradient_checkpointing and self.training and use_cache:
            warn_once("use_cache=True is incompatible with gradient checkpointing: set to False.")
            use_cache, past_key_values = False, None
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        past = 0 if past_key_values is None else int(past_key_values.get_seq_length())
        if position_ids is None and packing is not None:
            position_ids = packing.position_ids(x_BSH.place)
        elif position_ids is None:
            position_ids = self.count_positions(x_BSH, attention_mask, past)
        state = self.make_state(x_BSH, attention_mask, position_ids, past_key_values, past, packing)
        config = self.config
        state.attentions = [] if chosen(output_attentions, config.output_attentions) else None
        hidden = [] if chosen(output_hidden_states, config.output_hidden_states) else None
        x_BSH = self.run_blocks(self.before_blocks(x_BSH, state), state, hidden)
        output = BaseModelOutputWithPast(
            last_hidden_state=x_BSH,
            past_key_values=past_key_values if use_cache else None,
            hidden_states=None if hidden is None else tuple(hidden),
            attentions=None if state.attentions is None else tuple(state.attentions),
        )
        return output.to_tuple() if return_dict is False else output

    def embed(self, input_ids_BS: paddle.Tensor) -> paddle.Tensor:
        ids_BS = (
            input_ids_BS if input_ids_BS.dtype == paddle.int64 else input_ids_BS.astype("int64")
        )
        return getattr(self, self.embedding_path)(ids_BS)

    def count_positions(
        self, x_BSH: paddle.Tensor, attention_mask: Any, past: int
    ) -> paddle.Tensor:
        """Return the positions of tokens whose caller gave none, int64 ``[B or 1, S]``."""
        end = past + x_BSH.shape[1]
        return paddle.arange(past, end).unsqueeze(0).to(x_BSH.place)

    def before_blocks(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        """What a family does to the embeddings first (position tables, norms)."""
        return x_BSH

    def make_state(
        self,
        x_BSH: paddle.Tensor,
        attention_mask: Any,
        position_ids: paddle.Tensor,
        cache: Any,
        past: int,
        packing: Packing | None,
    ) -> ForwardState:
        """Build the masks and rotary angles of each layer type that occurs."""
        if position_ids.dtype != paddle.int64:
            position_ids = position_ids.astype("int64")
        masks = {}
        for i, kind in enumerate(self.layer_types):
            if kind not in masks:
                masks[kind] = self.make_mask(
                    kind, i, x_BSH.shape[1], attention_mask, cache, past, packing
                )
        rope = {kind: rotary(position_ids) for kind, rotary in self.rotary.items()}
        return ForwardState(masks=masks, rope=rope, position_ids=position_ids, cache=cache)

    def make_mask(
        self,
        kind: str,
        layer: int,
        queries: int,
        user: Any,
        cache: Any,
        past: int,
        packing: Packing | None,
    ) -> AttentionMask:
        """Describe what layers of type ``kind`` may see."""
        user = user.get(kind) if isinstance(user, dict) else user
        keys, key_offset = queries, 0
        if cache is not None:
            keys, key_offset = cache.get_mask_sizes(queries, layer)
        if user is not None and user.ndim == 4:
            return AttentionMask(queries, keys, bias=bias_from_user(user))
        return AttentionMask(
            queries,
            keys,
            offset=past,
            key_offset=key_offset,
            window=self.sliding_window if kind == "sliding_attention" else None,
            padding=user,
            packing=packing,
        )

    def run_blocks(
        self, x_BSH: paddle.Tensor, state: ForwardState, hidden: list | None
    ) -> paddle.Tensor:
        """Apply every block and the final norm; ``hidden`` collects each block's input."""
        blocks = getattr(self, self.layers_name)
        norm = getattr(self, self.norm_name) if self.norm_name else None
        recomputing = self.gradient_checkpointing and self.training
        if hidden is None and not recomputing:
            return ops.run_blocks(x_BSH, blocks, state, norm)
        for block in blocks:
            if hidden is not None:
                hidden.append(x_BSH)
            x_BSH = recompute(block, x_BSH, state) if recomputing else block(x_BSH, state)
        if norm is not None:
            x_BSH = norm(x_BSH)
        if hidden is not None:
            hidden.append(x_BSH)
        return x_BSH


class DecoderForCausalLM(PreTrainedModel, GenerationMixin):
    """A decoder with a vocabulary projection, and the family's description.

    Class attributes that a family may set besides those of `PreTrainedModel`:
        model_class: the backbone class; by default one is derived from `DecoderModel`.
        model_attrs: attributes of the derived backbone (``layers_name``, ``embedding_path`` ...).
    """

    output_embedding_path: str | None = "lm_head"
    model_class: Any = None
    model_attrs: dict[str, Any] = {}

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        setattr(self, self.base_model_prefix, self.model_class(config))
        self.vocab_size = config.vocab_size
        setattr(self, self.output_embedding_path, self.make_head(config))

    # What a family describes

    @staticmethod
    def make_block(config: Any, layer: int) -> nn.Layer:
        raise NotImplementedError("a family's main class defines make_block")

    @staticmethod
    def make_embedding(config: Any) -> nn.Layer:
        return Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)

    @staticmethod
    def make_norm(config: Any) -> nn.Layer:
        return RMSNorm(config.hidden_size, config.rms_norm_eps)

    @staticmethod
    def make_head(config: Any) -> nn.Layer:
        return Linear(config.hidden_size, config.vocab_size, bias=False)

    @staticmethod
    def layer_types(config: Any) -> list[str]:
        """Return each layer's type; by default from ``layer_types`` or ``sliding_window``."""
        types = getattr(config, "layer_types", None)
        if types is not None:
            return list(types)[: config.num_hidden_layers]
        windowed = getattr(config, "sliding_window", None) is not None
        return ["sliding_attention" if windowed else "full_attention"] * config.num_hidden_layers

    @classmethod
    def make_rotary(cls, config: Any) -> dict[str, RotaryEmbedding]:
        """Return the rotary embedding of each layer type."""
        head_dim = getattr(config, "head_dim", None)
        head_dim = head_dim or config.hidden_size // config.num_attention_heads
        parameters = config.rope_parameters
        build = partial(RotaryEmbedding, max_position_embeddings=config.max_position_embeddings)
        kinds = sorted(set(cls.layer_types(config)))
        if "rope_theta" not in parameters:
            return {kind: build(head_dim, parameters[kind]) for kind in kinds}
        shared = build(head_dim, parameters)
        return dict.fromkeys(kinds, shared)

    @classmethod
    def make_siblings(cls, model_type: str) -> list[type]:
        """Derive the backbone, and every head that this family has upstream."""
        siblings: list[type] = []
        if cls.__dict__.get("model_class") is None:
            name = class_name("AutoModel", model_type) or cls.__name__.replace(
                "ForCausalLM", "Model"
            )
            attrs = {"config_class": cls.config_class, "key_map": cls.key_map, **cls.model_attrs}
            cls.model_class = type(name, (DecoderModel,), attrs)
            siblings.append(cls.model_class)
        backbone = cls.model_class
        backbone.family = cls
        backbone.base_model_prefix = cls.base_model_prefix
        backbone.config_class, backbone.neutral_config_keys = (
            cls.config_class,
            cls.neutral_config_keys,
        )
        return siblings + decoder_heads(cls, model_type)

    # Forward

    def scale_logits(self, logits_BSV: paddle.Tensor) -> paddle.Tensor:
        """What a family does to its logits last (scaling, softcap)."""
        return logits_BSV

    def forward(
        self,
        input_ids: paddle.Tensor | None = None,
        attention_mask: Any = None,
        position_ids: paddle.Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: paddle.Tensor | None = None,
        labels: paddle.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | paddle.Tensor = 0,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Score the next token at each position; arguments as for the backbone.

        Args:
            labels: ``[B, S]``; -100 does not count. The loss is shifted inside.
            logits_to_keep: only the last so many positions (0: all), or a 1-D index tensor.
        Returns: CausalLMOutputWithPast with logits ``[B, S, V]``.
        """
        loss_kwargs = {
            key: kwargs.pop(key) for key in ("num_items_in_batch", "shift_labels") if key in kwargs
        }
        outputs = getattr(self, self.base_model_prefix)(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        h_BSH = keep_positions(outputs.last_hidden_state, logits_to_keep)
        logits_BSV = self.scale_logits(self.get_output_embeddings()(h_BSH))
        loss = None
        if labels is not None or loss_kwargs.get("shift_labels") is not None:
            loss = causal_lm_loss(logits_BSV, labels, **loss_kwargs)
        output = self.make_output(loss, logits_BSV, outputs)
        return output.to_tuple() if return_dict is False else output

    def make_output(self, loss: Any, logits_BSV: paddle.Tensor, outputs: Any) -> Any:
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits_BSV,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


def keep_positions(h_BSH: paddle.Tensor, keep: int | paddle.Tensor) -> paddle.Tensor:
    """Return the last ``keep`` positions (all for 0), or those that an index tensor names."""
    if isinstance(keep, paddle.Tensor):
        return h_BSH.index_select(keep, axis=1)
    return h_BSH[:, -keep:] if keep else h_BSH
