"""Sparse mixture of experts: a router picks a few experts for each token.

Source: arXiv:1701.06538; the balancing loss is arXiv:2101.03961, equations 4 to 6.
Shape letters: B batch, S sequence, H hidden, T tokens (B * S), E experts, k experts a token.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import paddle
import paddle.nn.functional as F
from paddle import nn

from hfpaddle import ops
from hfpaddle.layers.basic import Linear
from hfpaddle.layers.parameter import fill, initialized, normal

_recorder: ContextVar[list[paddle.Tensor] | None] = ContextVar("router_logits", default=None)

# Logits ``[T, E]``, weights ``[T, k]`` and indices ``[T, k]`` int64 of the chosen experts.
Routing = tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]


@contextlib.contextmanager
def recorded_router_logits(wanted: bool = True) -> Iterator[list[paddle.Tensor]]:
    """Collect the router logits ``[T, E]`` of every `SparseMoe` that runs within the block.

    Here and not in the blocks' state, because an MLP takes no state. With ``wanted=False`` the list
    stays empty.
    """
    found: list[paddle.Tensor] = []
    token = _recorder.set(found if wanted else None)
    try:
        yield found
    finally:
        _recorder.reset(token)


class Router(Linear):
    """Scores of each expert; on construction the original draws nothing for it."""

    first_draws = {}


class TopKRouter(Router):
    """Softmax over all experts, then the ``top_k`` most probable ones.

    Args:
        hidden_size, num_experts, top_k: H, E, k.
        normalize: the chosen weights of a token are divided by their sum.
    """

    def __init__(
        self, hidden_size: int, num_experts: int, top_k: int, normalize: bool = True
    ) -> None:
        super().__init__(hidden_size, num_experts, bias=False)
        self.top_k, self.normalize = top_k, normalize

    def forward(self, x_TH: paddle.Tensor) -> Routing:
        """Return logits in the dtype of ``x``, weights in float32, and indices."""
        logits_TE = super().forward(x_TH)
        probabilities_TE = F.softmax(logits_TE.astype("float32"), axis=-1)
        weights_Tk, index_Tk = paddle.topk(probabilities_TE, self.top_k, axis=-1)
        if self.normalize:
            weights_Tk = weights_Tk / weights_Tk.sum(axis=-1, keepdim=True)
        return logits_TE, weights_Tk, index_Tk


class Experts(nn.LayerList):
    """The experts of a layer, each a `GatedMLP` without biases.

    The original holds all experts' gate and up projections as one parameter ``[E, 2 I, H]``, and
    the down projections as another; new weights are dealt out from stacks drawn like these.
    """

    def draw_weights(self, std: float) -> None:
        """Fill what is empty, normally with standard deviation ``std``."""
        for first, end in ((0, 2), (2, 3)):
            self.draw_stack([[getattr(e, n).weight for n in e.names[first:end]] for e in self], std)

    def draw_stack(self, weights: list[list[paddle.Tensor]], std: float) -> None:
        params = [param for row in weights for param in row]
        if all(initialized(param) for param in params):
            return
        # torch draws in blocks of 16: whole ones need no stack.
        if params[0].size % 16 == 0 and not any(initialized(param) for param in params):
            for param in params:
                fill(param, normal(std))
            return
        stack = normal(std)([sum(param.size for param in params)])
        start = 0
        for param in params:
            part = stack[start : start + param.size].reshape(param.shape)
            start += param.size
            if not initialized(param):
                fill(param, lambda shape, part=part: part)


class SparseMoe(nn.Layer):
    """Sends each token to the experts that the router chose and adds up their weighted results.

    A family with shared experts or its own way of routing derives from it and overrides `forward`
    (calling ``super().forward``) or `route`.

    Args:
        gate: maps ``[T, H]`` to a `Routing`.
        num_experts: E.
        make_expert: builds one expert, a map from ``[n, H]`` to ``[n, H]``.
        jitter: while training, the input is multiplied by noise within ``1 - jitter, 1 + jitter``.
    """

    def __init__(
        self,
        gate: nn.Layer,
        num_experts: int,
        make_expert: Callable[[], nn.Layer],
        jitter: float = 0.0,
    ) -> None:
        super().__init__()
        self.jitter = jitter
        self.gate = gate
        self.experts = Experts([make_expert() for _ in range(num_experts)])

    def route(self, x_TH: paddle.Tensor) -> Routing:
        return self.gate(x_TH)

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        if self.training and self.jitter > 0:
            low, high = 1.0 - self.jitter, 1.0 + self.jitter
            noise = paddle.uniform(x_BSH.shape, "float32", low, high).to(x_BSH.place)
            x_BSH = x_BSH * noise.astype(x_BSH.dtype)
        x_TH = x_BSH.reshape([-1, x_BSH.shape[-1]])
        logits_TE, weights_Tk, index_Tk = self.route(x_TH)
        found = _recorder.get()
        if found is not None:
            found.append(logits_TE)
        return ops.experts(x_TH, weights_Tk, index_Tk, self.experts).reshape(x_BSH.shape)


def load_balancing_loss(
    router_logits: tuple[paddle.Tensor, ...],
    num_experts: int,
    top_k: int,
    attention_mask: paddle.Tensor | None = None,
) -> paddle.Tensor:
    """Penalise experts that get more than their share; float32 scalar, ``top_k`` when balanced.

    Args:
        router_logits: ``[B * S, E]`` of each sparse layer.
        num_experts, top_k: E, k.
        attention_mask: ``[B, >= S]``, nonzero where a token is real; the last S columns count.
    Raises: ValueError if there is no layer, or if the mask has another number of axes.
    """
    if not router_logits:
        raise ValueError("load_balancing_loss: no layer of this model has a router.")
    T = router_logits[0].shape[0]
    real_T1 = paddle.ones([T, 1], dtype="float32").to(router_logits[0].place)
    if attention_mask is not None:
        if attention_mask.ndim != 2:
            raise ValueError(
                "load_balancing_loss: attention_mask must be [batch, sequence], but has shape "
                f"{list(attention_mask.shape)}. Pass a 2-D mask or output_router_logits=False."
            )
        S = T // attention_mask.shape[0]
        real_T1 = (attention_mask[:, -S:] != 0).astype("float32").reshape([T, 1])
    chosen_E, probability_E = 0.0, 0.0
    for logits_TE in router_logits:
        probabilities_TE = F.softmax(logits_TE.astype("float32"), axis=-1)
        index_Tk = paddle.topk(probabilities_TE, top_k, axis=-1)[1]
        one_hot_TkE = F.one_hot(index_Tk, num_experts)
        chosen_E = chosen_E + (one_hot_TkE.sum(axis=1) * real_T1).sum(axis=0)
        probability_E = probability_E + (probabilities_TE * real_T1).sum(axis=0)
    rows = real_T1.sum() * len(router_logits)
    return ((chosen_E / rows) * (probability_E / rows)).sum() * num_experts
