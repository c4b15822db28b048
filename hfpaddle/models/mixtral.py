"""Mixtral decoder: Mistral with a sparse mixture of experts in the MLP's place.

Source: arXiv:2401.04088; checkpoints `mistralai/Mixtral-8x7B-*`, `mistralai/Mixtral-8x22B-*`.
Shape letters: B batch, S sequence, H hidden, E experts, V vocabulary.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import paddle
import transformers
from paddle import nn

from hfpaddle.layers import GatedMLP, RMSNorm
from hfpaddle.layers.moe import (
    SparseMoe,
    TopKRouter,
    load_balancing_loss,
    recorded_router_logits,
)
from hfpaddle.layers.state import ForwardState
from hfpaddle.modeling.decoder import DecoderModel
from hfpaddle.modeling.outputs import MoeCausalLMOutputWithPast, MoeModelOutputWithPast
from hfpaddle.modeling.registry import register_model
from hfpaddle.models.mistral import MistralForCausalLM


class MixtralBlock(nn.Layer):
    """`DecoderBlock` with the checkpoint's name for the experts."""

    def __init__(self, self_attn: nn.Layer, moe: nn.Layer, norm: partial) -> None:
        super().__init__()
        self.self_attn, self.block_sparse_moe = self_attn, moe
        self.input_layernorm, self.post_attention_layernorm = norm(), norm()

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        x_BSH = x_BSH + self.self_attn(self.input_layernorm(x_BSH), state)
        return x_BSH + self.block_sparse_moe(self.post_attention_layernorm(x_BSH))


class MixtralModel(DecoderModel):
    """A backbone whose sparse layers can tell their router logits."""

    key_map = MistralForCausalLM.key_map

    def forward(
        self,
        input_ids: paddle.Tensor | None = None,
        attention_mask: Any = None,
        position_ids: paddle.Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: paddle.Tensor | None = None,
        use_cache: bool | None = None,
        output_router_logits: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """As `DecoderModel.forward`.

        Returns: MoeModelOutputWithPast; ``router_logits`` is ``[B * S, E]`` of each sparse layer if
        ``output_router_logits`` (default: the config's) asks for it.
        """
        wants = self.config.output_router_logits
        wants = wants if output_router_logits is None else output_router_logits
        with recorded_router_logits(wants) as router_logits:
            output = super().forward(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                inputs_embeds=inputs_embeds,
                use_cache=use_cache,
                **kwargs,
            )
        output = MoeModelOutputWithPast(
            **output, router_logits=tuple(router_logits) if router_logits else None
        )
        return output.to_tuple() if return_dict is False else output


@register_model("mixtral")
class MixtralForCausalLM(MistralForCausalLM):
    """Adds the balancing loss of the routers to the language-model loss where asked for.

    A family that derives from it sets `model_class` to a class derived from `MixtralModel`.
    """

    config_class = transformers.MixtralConfig
    model_class: Any = MixtralModel
    # output_router_logits is read at each call. The aux loss belongs to the causal LM alone, which
    # reads its coefficient; the other heads have none upstream.
    neutral_config_keys = frozenset({"output_router_logits", "router_aux_loss_coef"})
    plan = {
        "model.layers.*.self_attn.{q,k,v}_proj": "colwise",
        "model.layers.*.self_attn.o_proj": "rowwise",
        "model.layers.*.block_sparse_moe.experts.*.{w1,w3}": "colwise",
        "model.layers.*.block_sparse_moe.experts.*.w2": "rowwise",
    }

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.router_aux_loss_coef = config.router_aux_loss_coef
        self.num_experts = config.num_experts
        self.num_experts_per_tok = config.num_experts_per_tok

    @classmethod
    def make_block(cls, config: Any, layer: int) -> Any:
        H, E = config.hidden_size, config.num_local_experts
        expert = partial(
            GatedMLP, H, config.intermediate_size, config.hidden_act, names=("w1", "w3", "w2")
        )
        return MixtralBlock(
            self_attn=cls.make_attention(config, layer),
            moe=SparseMoe(
                TopKRouter(H, E, config.num_experts_per_tok),
                E,
                expert,
                jitter=config.router_jitter_noise,
            ),
            norm=partial(RMSNorm, H, config.rms_norm_eps),
        )

    def forward(
        self,
        input_ids: paddle.Tensor | None = None,
        attention_mask: Any = None,
        position_ids: paddle.Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: paddle.Tensor | None = None,
        labels: paddle.Tensor | None = None,
        use_cache: bool | None = None,
        output_router_logits: bool | None = None,
        logits_to_keep: int | paddle.Tensor = 0,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """As `DecoderForCausalLM.forward`.

        Args:
            output_router_logits: return them and ``aux_loss``, and add ``router_aux_loss_coef``
                times the latter to the loss; default: the config's.
        Returns: MoeCausalLMOutputWithPast with logits ``[B, S, V]``.
        Raises: ValueError for router logits with an attention mask that is not 2-D.
        """
        wants = self.config.output_router_logits
        wants = wants if output_router_logits is None else output_router_logits
        output = super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            labels=labels,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            output_router_logits=wants,
            **kwargs,
        )
        if wants:
            aux_loss = load_balancing_loss(
                output.router_logits, self.num_experts, self.num_experts_per_tok, attention_mask
            )
            loss = output.loss
            if loss is not None:
                loss = loss + self.router_aux_loss_coef * aux_loss
            output = dataclasses.replace(output, loss=loss, aux_loss=aux_loss)
        return output.to_tuple() if return_dict is False else output

    def make_output(self, loss: Any, logits_BSV: paddle.Tensor, outputs: Any) -> Any:
        return MoeCausalLMOutputWithPast(
            loss=loss,
            logits=logits_BSV,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            router_logits=outputs.router_logits,
        )
