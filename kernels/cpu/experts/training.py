"""The experts of a layer as one node of the graph, forward and backward.

The products are Paddle's own. What is saved: a slice's gradient is zeros as large as the whole with
a part filled in, once an expert, which together cost more than the products.

Shape letters: T tokens, H hidden, k experts a token, P pairs (T * k) sorted by expert, n pairs of
one expert, I intermediate.
"""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.kernels.cpu import gated
from hfpaddle.layers.recipe import MLPRecipe

NAMES = ("gate", "up", "down")


class Pairs:
    """Tokens and their experts, sorted by expert."""

    def __init__(self, index_Tk: paddle.Tensor, num_experts: int) -> None:
        self.T, self.k = index_Tk.shape
        choices = index_Tk.flatten()
        self.order = paddle.argsort(choices, stable=True)
        self.back = paddle.argsort(self.order)
        self.token = self.order // self.k
        counts: Any = paddle.bincount(choices, minlength=num_experts).tolist()
        self.chosen = [e for e, count in enumerate(counts) if count]
        self.sizes = [count for count in counts if count]

    def split(self, x_P: paddle.Tensor) -> list[paddle.Tensor]:
        """Return the rows of each chosen expert."""
        return [x_P] if len(self.sizes) == 1 else paddle.split(x_P, self.sizes)

    def each(
        self, x_P: paddle.Tensor, weights: list[paddle.Tensor], transpose: bool
    ) -> paddle.Tensor:
        """Return the rows of each expert times its weight, or times that transposed."""
        parts = zip(self.split(x_P), weights, strict=True)
        out = [paddle.matmul(x, w.astype(x.dtype), transpose_y=transpose) for x, w in parts]
        return out[0] if len(out) == 1 else paddle.concat(out)

    def weight_grads(
        self, grad_P: paddle.Tensor, x_P: paddle.Tensor, dtypes: list[Any]
    ) -> list[paddle.Tensor | None]:
        """Return the gradient of each expert's weight ``[O, I]``, None where its dtype is None."""
        parts = zip(self.split(grad_P), self.split(x_P), dtypes, strict=True)
        return [
            None if dtype is None else paddle.matmul(g, x, transpose_x=True).astype(dtype)
            for g, x, dtype in parts
        ]

    def add_up(self, x_PH: paddle.Tensor) -> paddle.Tensor:
        """Return the sums over each token's pairs, ``[T, H]``."""
        return paddle.index_select(x_PH, self.back).reshape([self.T, self.k, -1]).sum(axis=1)


class ExpertsNode(paddle.autograd.PyLayer):
    """`ops.experts` for gated experts without biases; ``act`` is a number of `gated`."""

    @staticmethod
    def forward(
        ctx: Any,
        x_TH: paddle.Tensor,
        weights_Tk: paddle.Tensor,
        pairs: Pairs,
        act: int,
        *params: paddle.Tensor,
    ) -> paddle.Tensor:
        """``params``: gate of each chosen expert, then the ups, then the downs."""
        count = len(pairs.chosen)
        gates, ups, downs = (list(params[i * count : (i + 1) * count]) for i in range(3))
        x_PH = paddle.index_select(x_TH, pairs.token)
        gate_PI, up_PI = pairs.each(x_PH, gates, True), pairs.each(x_PH, ups, True)
        y_PH = pairs.each(gated.apply(gate_PI, up_PI, act), downs, True)
        ctx.save_for_backward(x_TH, x_PH, weights_Tk, gate_PI, up_PI, *params)
        ctx.pairs, ctx.act = pairs, act
        # Recomputation gives saved tensors back without their `stop_gradient`.
        ctx.wanted = (not x_TH.stop_gradient, not weights_Tk.stop_gradient)
        ctx.dtypes = [None if p.stop_gradient else p.dtype for p in params]
        y_TkH = paddle.index_select(y_PH, pairs.back).reshape([pairs.T, pairs.k, -1])
        return (y_TkH * weights_Tk.astype(y_PH.dtype).unsqueeze(-1)).sum(axis=1)

    @staticmethod
    def backward(ctx: Any, grad_TH: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:
        x_TH, x_PH, weights_Tk, gate_PI, up_PI, *params = ctx.saved_tensor()
        pairs, count = ctx.pairs, len(ctx.pairs.chosen)
        gates, ups, downs = (params[i * count : (i + 1) * count] for i in range(3))
        again = paddle.is_grad_enabled()  # a second derivative is wanted
        if again:
            x_PH = paddle.index_select(x_TH, pairs.token)
            gate_PI, up_PI = pairs.each(x_PH, gates, True), pairs.each(x_PH, ups, True)
        weight_P1 = paddle.index_select(weights_Tk.flatten(), pairs.order).unsqueeze(-1)
        weight_P1 = weight_P1.astype(grad_TH.dtype)
        grad_PH = paddle.index_select(grad_TH, pairs.token)
        unweighted_PI = pairs.each(grad_PH, downs, False)
        hidden_PI, *grads = _gated(gate_PI, up_PI, unweighted_PI * weight_P1, ctx.act, again)
        grad_gate_PI, grad_up_PI = grads
        grad_weights = None
        if ctx.wanted[1]:
            grad_P = (unweighted_PI * hidden_PI).sum(axis=-1)
            grad_weights = paddle.index_select(grad_P, pairs.back).reshape(weights_Tk.shape)
            grad_weights = grad_weights.astype(weights_Tk.dtype)
        grad_x = None
        if ctx.wanted[0]:
            grad_x_PH = pairs.each(grad_gate_PI, gates, False) + pairs.each(grad_up_PI, ups, False)
            grad_x = pairs.add_up(grad_x_PH)
        dtypes = [ctx.dtypes[i * count : (i + 1) * count] for i in range(3)]
        grads = [
            *pairs.weight_grads(grad_gate_PI, x_PH, dtypes[0]),
            *pairs.weight_grads(grad_up_PI, x_PH, dtypes[1]),
            *pairs.weight_grads(grad_PH * weight_P1, hidden_PI, dtypes[2]),
        ]
        return grad_x, grad_weights, *grads


def _gated(
    gate_PI: paddle.Tensor, up_PI: paddle.Tensor, g_PI: paddle.Tensor, act: int, again: bool
) -> tuple[paddle.Tensor, ...]:
    """Return ``act(gate) * up``, computed again, and gradients of gate and up, all differentiable
    if ``again``."""
    if again:
        value_PI, slope_PI = gated.VALUES[act](gate_PI)
        return value_PI * up_PI, g_PI * up_PI * slope_PI, g_PI * value_PI
    return gated.apply(gate_PI, up_PI, act), *gated.gradients(gate_PI, up_PI, g_PI, act)


def trainable(recipe: MLPRecipe) -> bool:
    """Whether `ExpertsNode` computes this expert: gated, without biases, of floating weights."""
    parts = (recipe.gate, recipe.up, recipe.down)
    return recipe.act in gated.NUMBERS and all(
        part is not None
        and part.layer.bias is None
        and paddle.is_floating_point(part.layer.weight)
        and (part.begin, part.end) == (0, part.layer.weight.shape[0])
        for part in parts
    )


def train(
    x_TH: paddle.Tensor,
    weights_Tk: paddle.Tensor,
    index_Tk: paddle.Tensor,
    recipes: list[MLPRecipe],
) -> paddle.Tensor:
    """`ops.experts` of experts that are `trainable`, with gradients."""
    pairs = Pairs(index_Tk, len(recipes))
    params = [getattr(recipes[e], name).layer.weight for name in NAMES for e in pairs.chosen]
    return ExpertsNode.apply(x_TH, weights_Tk, pairs, gated.NUMBERS[recipes[0].act], *params)
