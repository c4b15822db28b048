"""Vision Transformer: an image cut into patches, read by a pre-norm encoder.

Source: arXiv:2010.11929, masked images arXiv:2111.09886; checkpoints `google/vit-*`.
Shape letters: B batch, C channels, X height and Y width in pixels, P patches, S = P + 1 sequence
(the class token first), H hidden, O output channels, L labels.
"""

from __future__ import annotations

import math
from typing import Any

import paddle
import paddle.nn.functional as F
import transformers
from paddle import nn

from hfpaddle.backends import compute_dtype
from hfpaddle.converters.keymap import KeyMap, Rename
from hfpaddle.layers import LayerNorm, Linear
from hfpaddle.layers.parameter import fill, initialized, parameter, truncated_normal
from hfpaddle.layers.post_norm import SelfAttention
from hfpaddle.layers.vision import PatchConv, ViTBlock, ViTEmbeddings, ViTPooler, pair
from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.decoder import check_arguments, chosen
from hfpaddle.modeling.encoder import EncoderModel
from hfpaddle.modeling.losses import sequence_classification_loss, token_loss
from hfpaddle.modeling.outputs import (
    BaseModelOutputWithPooling,
    ImageClassifierOutput,
    MaskedImageModelingOutput,
)
from hfpaddle.modeling.registry import register_model


class ViTPreTrainedModel(PreTrainedModel):
    """What all ViT classes share; derive from it to write a head of your own."""

    config_class = transformers.ViTConfig
    base_model_prefix = "vit"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    embedding_path = "embeddings.patch_embeddings"
    # The names that the original has in memory; it writes, and we have, the Hub's older ones.
    key_map = KeyMap(
        (
            Rename(r"^(vit\.)?layers\.(\d+)\.", r"\1encoder.layer.\2."),
            Rename(r"\.attention\.q_proj\.", ".attention.attention.query."),
            Rename(r"\.attention\.k_proj\.", ".attention.attention.key."),
            Rename(r"\.attention\.v_proj\.", ".attention.attention.value."),
            Rename(r"\.attention\.o_proj\.", ".attention.output.dense."),
            Rename(r"\.mlp\.fc1\.", ".intermediate.dense."),
            Rename(r"\.mlp\.fc2\.", ".output.dense."),
        )
    )
    # Read by the classes that have what they describe: the pooler, the decoder of pixels.
    neutral_config_keys = frozenset({"pooler_output_size", "pooler_act", "encoder_stride"})
    plan = {
        "vit.encoder.layer.*.attention.attention.{query,key,value}": "colwise",
        "vit.encoder.layer.*.attention.output.dense": "rowwise",
        "vit.encoder.layer.*.intermediate.dense": "colwise",
        "vit.encoder.layer.*.output.dense": "rowwise",
    }

    def _init_weights(self, layer: nn.Layer) -> None:
        if isinstance(layer, ViTEmbeddings):
            # In the original's order, so that its seed gives its numbers; it truncates at 2.0.
            std = self.initializer_std()
            for table in (layer.position_embeddings, layer.cls_token):
                if not initialized(table):
                    fill(table, truncated_normal(std, 2.0 / std))
            if layer.mask_token is not None and not initialized(layer.mask_token):
                fill(layer.mask_token, 0.0)
        super()._init_weights(layer)


@register_model("vit")
class ViTModel(EncoderModel, ViTPreTrainedModel):
    """Patches, pre-norm blocks, a final norm and an optional pooler.

    Args:
        add_pooling_layer: whether there is a pooler.
        use_mask_token: whether there is an embedding for masked patches.
    """

    embedding_path = ViTPreTrainedModel.embedding_path
    output_class: type = BaseModelOutputWithPooling
    causal_config = False
    has_pooler = False

    def __init__(
        self, config: Any, add_pooling_layer: bool = True, use_mask_token: bool = False
    ) -> None:
        super().__init__(config)
        if use_mask_token:
            self.embeddings.mask_token = parameter([1, 1, config.hidden_size])
        self.layernorm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        if add_pooling_layer:
            out_size = config.pooler_output_size
            self.pooler = ViTPooler(config.hidden_size, out_size, config.pooler_act)

    def make_embeddings(self, config: Any) -> nn.Layer:
        return ViTEmbeddings(
            config.num_channels,
            config.hidden_size,
            pair(config.image_size),
            pair(config.patch_size),
            config.hidden_dropout_prob,
        )

    def make_block(self, config: Any, layer: int) -> nn.Layer:
        attention = SelfAttention(
            config.hidden_size,
            config.num_attention_heads,
            config.attention_probs_dropout_prob,
            layer,
            config.qkv_bias,
        )
        return ViTBlock(
            attention,
            config.hidden_size,
            config.intermediate_size,
            config.hidden_act,
            config.layer_norm_eps,
            config.hidden_dropout_prob,
        )

    def forward(  # type: ignore[override]
        self,
        pixel_values: paddle.Tensor | None = None,
        bool_masked_pos: paddle.Tensor | None = None,
        interpolate_pos_encoding: bool | None = None,
        attention_mask: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the backbone.

        Args:
            pixel_values: ``[B, C, X, Y]``, floating.
            bool_masked_pos: ``[B, P]``, true where a patch is replaced by the mask token.
            interpolate_pos_encoding: take images of another size than the model's.
            attention_mask: ``[B, S]`` nonzero where a patch may be seen; or 4-D.
        Returns: BaseModelOutputWithPooling; the last hidden state is normed, the last of
            ``hidden_states`` is not. A tuple with ``return_dict=False``.
        Raises: ValueError for another number of channels, or another size without interpolation.
        """
        if pixel_values is None:
            raise ValueError("You have to specify pixel_values")
        check_arguments(type(self).__name__, kwargs)
        config, weight = self.config, self.embeddings.patch_embeddings.projection.weight
        pixels_BCXY = pixel_values.astype(compute_dtype(weight.dtype, weight.place))
        x_BSH = self.embeddings(pixels_BCXY, bool_masked_pos, interpolate_pos_encoding)
        state = self.make_state(x_BSH, attention_mask, None, None, 0)
        state.attentions = [] if chosen(output_attentions, config.output_attentions) else None
        hidden = [] if chosen(output_hidden_states, config.output_hidden_states) else None
        x_BSH = self.layernorm(self.run_blocks(x_BSH, state, hidden))
        output = self.make_output(x_BSH, None, hidden, state)
        return output if chosen(return_dict, config.return_dict) else output.to_tuple()


class ViTForImageClassification(ViTPreTrainedModel):
    """Scores an image from its class token."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.vit = ViTModel(config, add_pooling_layer=False)
        self.classifier = nn.Identity()
        if config.num_labels > 0:
            self.classifier = Linear(config.hidden_size, config.num_labels)

    def forward(
        self,
        pixel_values=None,
        labels=None,
        interpolate_pos_encoding=None,
        attention_mask=None,
        return_dict=None,
        **kwargs,
    ) -> Any:
        """Return ImageClassifierOutput with logits ``[B, L]``.

        The loss follows ``config.problem_type``; with ``num_items_in_batch`` cross entropy is a
        sum over that many items.
        """
        count = kwargs.pop("num_items_in_batch", None)
        outputs = self.vit(
            pixel_values,
            interpolate_pos_encoding=interpolate_pos_encoding,
            attention_mask=attention_mask,
            return_dict=True,
            **kwargs,
        )
        logits_BL = self.classifier(outputs.last_hidden_state[:, 0])
        loss = None
        if labels is not None:
            loss = sequence_classification_loss(logits_BL, labels, self.config)
            if count is not None and self.config.problem_type == "single_label_classification":
                loss = token_loss(logits_BL, labels, count)
        output = ImageClassifierOutput(
            loss=loss,
            logits=logits_BL,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
        return output if chosen(return_dict, self.config.return_dict) else output.to_tuple()


class ViTForMaskedImageModeling(ViTPreTrainedModel):
    """Draws the image again from patches of which some were masked."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.vit = ViTModel(config, add_pooling_layer=False, use_mask_token=True)
        self.stride, self.num_channels = config.encoder_stride, config.num_channels
        pixels = config.encoder_stride**2 * config.num_channels
        self.decoder = nn.LayerList([PatchConv(config.hidden_size, pixels, (1, 1))])

    def reconstruct(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        """Return ``[B, C, X, Y]``: each patch's state becomes ``encoder_stride`` squared pixels."""
        B, S, H = x_BSH.shape
        side = math.isqrt(S - 1)
        if side * side != S - 1:
            raise ValueError(
                f"The image has {S - 1} patches, which is no square number: "
                "ViTForMaskedImageModeling reconstructs square images."
            )
        grid = x_BSH[:, 1:].transpose([0, 2, 1]).reshape([B, H, side, side])
        return F.pixel_shuffle(self.decoder[0](grid).transpose([0, 3, 1, 2]), self.stride)

    def loss(
        self, pixels_BCXY: paddle.Tensor, drawn_BCXY: paddle.Tensor, masked_BP: paddle.Tensor
    ) -> paddle.Tensor:
        """Mean absolute difference over the masked patches."""
        height, width = self.vit.embeddings.patch_size
        rows, columns = pixels_BCXY.shape[2] // height, pixels_BCXY.shape[3] // width
        masked = masked_BP.astype(drawn_BCXY.dtype).reshape([-1, 1, rows, columns])
        masked = masked.repeat_interleave(height, 2).repeat_interleave(width, 3)
        difference = (pixels_BCXY.astype(drawn_BCXY.dtype) - drawn_BCXY).abs()
        return (difference * masked).sum() / (masked.sum() + 1e-5) / self.num_channels

    def forward(
        self,
        pixel_values=None,
        bool_masked_pos=None,
        interpolate_pos_encoding=None,
        attention_mask=None,
        return_dict=None,
        **kwargs,
    ) -> Any:
        """Return MaskedImageModelingOutput; it has a loss if ``bool_masked_pos`` was given."""
        patch = self.vit.embeddings.patch_size
        if bool_masked_pos is not None and patch != (self.stride, self.stride):
            raise ValueError(
                "When `bool_masked_pos` is provided, `patch_size` must be equal to "
                "`encoder_stride` to ensure that the reconstructed image has the same dimensions "
                f"as the input. Got `patch_size` = {patch} and `encoder_stride` = {self.stride}."
            )
        outputs = self.vit(
            pixel_values,
            bool_masked_pos=bool_masked_pos,
            interpolate_pos_encoding=interpolate_pos_encoding,
            attention_mask=attention_mask,
            return_dict=True,
            **kwargs,
        )
        drawn_BCXY = self.reconstruct(outputs.last_hidden_state)
        loss = None
        if bool_masked_pos is not None:
            assert pixel_values is not None
            loss = self.loss(pixel_values, drawn_BCXY, bool_masked_pos)
        output = MaskedImageModelingOutput(
            loss=loss,
            reconstruction=drawn_BCXY,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
        return output if chosen(return_dict, self.config.return_dict) else output.to_tuple()
