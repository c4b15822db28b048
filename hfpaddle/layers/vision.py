"""Images as sequences: patches with a class token and positions, and the block that reads them.

Source: arXiv:2010.11929; the mask token arXiv:2111.09886.
Shape letters: B batch, C channels, X height and Y width in pixels, P patches, S = P + 1 sequence
(the class token first), H hidden, O output channels.
"""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from hfpaddle import ops
from hfpaddle.layers.activations import activation
from hfpaddle.layers.basic import Dropout, LayerNorm, Linear
from hfpaddle.layers.parameter import normal, parameter
from hfpaddle.layers.post_norm import Intermediate, SelfAttention
from hfpaddle.layers.state import ForwardState


def pair(size: Any) -> tuple[int, int]:
    """Return ``(height, width)``; a single number is both."""
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return height, width


class PatchConv(nn.Layer):
    """A convolution whose windows touch and do not overlap: one linear map of each patch.

    Args:
        in_channels, out_channels: C, O.
        patch: height and width of a window in pixels. Pixels beyond the last whole one are left
            out.
    """

    first_draws = {"weight": "uniform", "bias": "uniform"}

    def __init__(self, in_channels: int, out_channels: int, patch: tuple[int, int]) -> None:
        super().__init__()
        self.patch = patch
        self.weight = parameter([out_channels, in_channels, *patch], normal(0.02))
        self.bias = parameter([out_channels])

    def forward(self, pixels_BCXY: paddle.Tensor) -> paddle.Tensor:
        """Return ``[B, rows, columns, O]``."""
        B, C, X, Y = pixels_BCXY.shape
        height, width = self.patch
        rows, columns = X // height, Y // width
        x = pixels_BCXY[:, :, : rows * height, : columns * width]
        x = x.reshape([B, C, rows, height, columns, width]).transpose([0, 2, 4, 1, 3, 5])
        return ops.linear(x.flatten(3), self.weight.flatten(1), self.bias)


class PatchEmbeddings(nn.Layer):
    """Pixels ``[B, C, X, Y]`` to patches ``[B, P, H]``."""

    def __init__(self, channels: int, hidden_size: int, patch: tuple[int, int]) -> None:
        super().__init__()
        self.num_channels = channels
        self.projection = PatchConv(channels, hidden_size, patch)

    def forward(self, pixels_BCXY: paddle.Tensor) -> paddle.Tensor:
        channels = pixels_BCXY.shape[1]
        if channels != self.num_channels:
            raise ValueError(
                "Make sure that the channel dimension of the pixel values match with the one set "
                f"in the configuration. Expected {self.num_channels} but got {channels}."
            )
        return self.projection(pixels_BCXY).flatten(1, 2)


class ViTEmbeddings(nn.Layer):
    """Class token and patches, plus their positions.

    Args:
        channels, hidden_size: C, H.
        image, patch: height and width in pixels.
        dropout: while training.

    ``mask_token`` ``[1, 1, H]`` stands for masked patches; None in models without it.
    """

    first_draws = {"cls_token": "normal", "position_embeddings": "normal"}

    def __init__(
        self,
        channels: int,
        hidden_size: int,
        image: tuple[int, int],
        patch: tuple[int, int],
        dropout: float,
    ) -> None:
        super().__init__()
        self.image_size, self.patch_size = image, patch
        self.grid = (image[0] // patch[0], image[1] // patch[1])
        self.cls_token = parameter([1, 1, hidden_size])
        self.mask_token: paddle.Tensor | None = None
        self.patch_embeddings = PatchEmbeddings(channels, hidden_size, patch)
        positions = self.grid[0] * self.grid[1] + 1
        self.position_embeddings = parameter([1, positions, hidden_size])
        self.dropout = Dropout(dropout)

    def positions(self, X: int, Y: int, dtype: Any) -> paddle.Tensor:
        """Return the position table ``[1, S, H]`` for an image of this size.

        Another size than the model's gets a bicubic interpolation of the table's grid.
        """
        table_1SH = self.position_embeddings.astype(dtype)
        rows, columns = X // self.patch_size[0], Y // self.patch_size[1]
        if (rows, columns) == self.grid:
            return table_1SH
        H = table_1SH.shape[-1]
        grid = table_1SH[:, 1:].reshape([1, *self.grid, H]).transpose([0, 3, 1, 2])
        grid = F.interpolate(grid, size=[rows, columns], mode="bicubic", align_corners=False)
        patches_1PH = grid.transpose([0, 2, 3, 1]).reshape([1, rows * columns, H])
        return paddle.concat([table_1SH[:, :1], patches_1PH], axis=1)

    def forward(
        self,
        pixels_BCXY: paddle.Tensor,
        bool_masked_pos_BP: paddle.Tensor | None = None,
        interpolate_pos_encoding: bool | None = None,
    ) -> paddle.Tensor:
        """Return ``[B, S, H]``."""
        B, _, X, Y = pixels_BCXY.shape
        if not interpolate_pos_encoding and (X, Y) != self.image_size:
            raise ValueError(
                f"Input image size ({X}*{Y}) doesn't match model ({self.image_size[0]}*"
                f"{self.image_size[1]}). Resize the image, or pass interpolate_pos_encoding=True."
            )
        x_BPH = self.patch_embeddings(pixels_BCXY)
        if bool_masked_pos_BP is not None:
            if self.mask_token is None:
                raise ValueError(
                    "bool_masked_pos needs a model with a mask token: use "
                    "ViTForMaskedImageModeling, or ViTModel(config, use_mask_token=True)."
                )
            mask_BP1 = bool_masked_pos_BP.unsqueeze(-1).astype(x_BPH.dtype)
            x_BPH = x_BPH * (1.0 - mask_BP1) + self.mask_token.astype(x_BPH.dtype) * mask_BP1
        cls_B1H = self.cls_token.astype(x_BPH.dtype).expand([B, 1, x_BPH.shape[-1]])
        x_BSH = paddle.concat([cls_B1H, x_BPH], axis=1)
        return self.dropout(x_BSH + self.positions(X, Y, x_BSH.dtype))


class Projection(nn.Layer):
    """The checkpoint's ``output.dense``, with dropout while training."""

    def __init__(self, in_size: int, out_size: int, dropout: float) -> None:
        super().__init__()
        self.dense = Linear(in_size, out_size)
        self.dropout = Dropout(dropout)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.dropout(self.dense(x))


class ViTAttention(nn.Layer):
    """The checkpoint's ``attention.attention`` and ``attention.output``."""

    def __init__(self, attention: nn.Layer, output: nn.Layer) -> None:
        super().__init__()
        self.attention = attention
        self.output = output

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        return self.output(self.attention(x_BSH, state))


class ViTBlock(nn.Layer):
    """Attention and MLP, each behind a norm."""

    def __init__(
        self,
        attention: SelfAttention,
        hidden_size: int,
        intermediate_size: int,
        act: str,
        eps: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention = ViTAttention(attention, Projection(hidden_size, hidden_size, dropout))
        self.intermediate = Intermediate(hidden_size, intermediate_size, act)
        self.output = Projection(intermediate_size, hidden_size, dropout)
        self.layernorm_before = LayerNorm(hidden_size, eps)
        self.layernorm_after = LayerNorm(hidden_size, eps)

    def forward(self, x_BSH: paddle.Tensor, state: ForwardState) -> paddle.Tensor:
        x_BSH = x_BSH + self.attention(self.layernorm_before(x_BSH), state)
        return x_BSH + self.output(self.intermediate(self.layernorm_after(x_BSH)))


class ViTPooler(nn.Layer):
    """``act(dense(class token))``."""

    def __init__(self, hidden_size: int, out_size: int, act: str) -> None:
        super().__init__()
        self.dense = Linear(hidden_size, out_size)
        self.activation = activation(act)

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        return self.activation(self.dense(x_BSH[:, 0]))
