"""Gradient descent and the optimizers that scale it by past gradients."""

from __future__ import annotations

import math
from typing import Any

import paddle

from hfpaddle.torch._dtypes import NAMES
from hfpaddle.torch.optim._apply import apply
from hfpaddle.torch.optim.optimizer import (
    Optimizer,
    check_range,
    lerp,
    next_step,
    no_differentiable,
    store,
    wide,
    zeros_like,
)

Tensor = paddle.Tensor

_EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


class SGD(Optimizer):
    """Gradient descent with momentum."""

    def __init__(
        self, params: Any, lr: Any = 1e-3, momentum: float = 0, dampening: float = 0,
        weight_decay: float = 0, nesterov: bool = False, *, maximize: bool = False,
        foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        check_range("learning rate", float(lr), 0.0)
        check_range("momentum value", momentum, 0.0)
        check_range("weight_decay value", weight_decay, 0.0)
        no_differentiable(differentiable)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _update(self, param: Tensor, grad: Tensor, state: dict, group: dict) -> None:
        momentum, buffers, first = float(group["momentum"]), [], False
        if momentum:
            first = state.get("momentum_buffer") is None
            if first:
                state["momentum_buffer"] = zeros_like(param)
            buffers = [state["momentum_buffer"]]
        apply(_sgd, param, grad, *buffers, first=first, momentum=momentum, lr=float(group["lr"]),
              keep=1.0 - group["dampening"], l2=float(group["weight_decay"]),
              nesterov=group["nesterov"])  # fmt: skip


def _sgd(m, p, g, *buffers, first, momentum, lr, keep, l2, nesterov) -> None:
    if l2:
        g = m.plus(g, p, l2)
    for buffer in buffers:
        if first:
            m.copy_(buffer, g)
        else:
            m.scale_(buffer, momentum)
            m.add_(buffer, g, keep)
        g = m.plus(g, buffer, momentum) if nesterov else buffer
    m.add_(p, g, -lr)


class Adagrad(Optimizer):
    """Scales by the root of the sum of squared gradients. Source: Duchi et al. (2011)."""

    def __init__(
        self, params: Any, lr: Any = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
        initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *,
        maximize: bool = False, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        check_range("learning rate", float(lr), 0.0)
        no_differentiable(differentiable)
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param] = _adagrad_state(param, group)

    def _update(self, param: Tensor, grad: Tensor, state: dict, group: dict) -> None:
        if not state:
            state.update(_adagrad_state(param, group))
        step = next_step(state)
        apply(_adagrad, param, grad, state["sum"], l2=float(group["weight_decay"]),
              rate=float(group["lr"]) / (1.0 + (step - 1) * group["lr_decay"]),
              eps=group["eps"])  # fmt: skip


def _adagrad(m, p, g, total, *, l2, rate, eps) -> None:
    if l2:
        g = m.plus(g, p, l2)
    m.addcmul_(total, g, g, 1.0)
    scale = m.root(total)
    m.shift_(scale, eps)
    m.addcdiv_(p, g, scale, -rate)


def _adagrad_state(param: Tensor, group: dict) -> dict[str, Tensor]:
    start = paddle.full_like(param.detach(), group["initial_accumulator_value"])
    return {"step": paddle.zeros([], "float32"), "sum": start}


class RMSprop(Optimizer):
    """Scales by the root of the moving mean of squared gradients. Source: Hinton (2012)."""

    def __init__(
        self, params: Any, lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0, momentum: float = 0, centered: bool = False,
        capturable: bool = False, foreach: bool | None = None, maximize: bool = False,
        differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_range("learning rate", float(lr), 0.0)
        no_differentiable(differentiable)
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _update(self, param: Tensor, grad: Tensor, state: dict, group: dict) -> None:
        if not state:
            state["step"] = paddle.zeros([], "float32")
            state["square_avg"] = zeros_like(param)
            if group["momentum"] > 0:
                state["momentum_buffer"] = zeros_like(param)
            if group["centered"]:
                state["grad_avg"] = zeros_like(param)
        next_step(state)
        states = [state["square_avg"]]
        states += [state["grad_avg"]] if group["centered"] else []
        states += [state["momentum_buffer"]] if group["momentum"] > 0 else []
        apply(_rmsprop, param, grad, *states, centered=group["centered"], alpha=group["alpha"],
              momentum=group["momentum"], lr=float(group["lr"]), eps=group["eps"],
              l2=float(group["weight_decay"]))  # fmt: skip


def _rmsprop(m, p, g, square, *states, centered, alpha, momentum, lr, eps, l2) -> None:
    if l2:
        g = m.plus(g, p, l2)
    m.scale_(square, alpha)
    m.addcmul_(square, g, g, 1.0 - alpha)
    if centered:
        mean, *states = states
        m.lerp_(mean, g, 1.0 - alpha)
        square = m.copied(square)
        m.addcmul_(square, mean, mean, -1.0)
    scale = m.root(square)
    m.shift_(scale, eps)
    for buffer in states:  # momentum
        m.scale_(buffer, momentum)
        m.addcdiv_(buffer, g, scale, 1.0)
        m.add_(p, buffer, -lr)
    if not states:
        m.addcdiv_(p, g, scale, -lr)


class Adafactor(Optimizer):
    """Keeps only row and column means of squared gradients. Source: arXiv:1804.04235.

    This is torch.optim's rule; the one of transformers has other defaults and another clipping.
    """

    def __init__(
        self, params: Any, lr: Any = 1e-2, beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0.0,
        *, foreach: bool | None = None, maximize: bool = False,
    ) -> None:  # fmt: skip
        if not 0.0 <= float(lr):
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if not d >= 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        defaults = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _update(self, param: Tensor, grad: Tensor, state: dict, group: dict) -> None:
        shape = list(param.shape)
        if not state:
            state["step"] = paddle.zeros([], "float32")
            if len(shape) > 1:
                state["row_var"] = paddle.zeros([*shape[:-1], 1], grad.dtype)
                state["col_var"] = paddle.zeros([*shape[:-2], 1, shape[-1]], grad.dtype)
            else:
                state["variance"] = zeros_like(grad)
        step, lr = next_step(state), float(group["lr"])
        p, g, (eps1, eps2) = wide(param), wide(grad), group["eps"]
        eps1 = _EPS[NAMES[param.dtype]] if eps1 is None else eps1
        items = math.sqrt(math.prod(shape))
        rate = max(eps2, _length(p) / items) * min(lr, 1 / math.sqrt(step))
        if group["weight_decay"]:
            p = p * (1.0 - lr * group["weight_decay"])
        fresh = float(step) ** group["beta2_decay"]
        squares = paddle.multiply(g, g)
        if len(shape) > 1:
            row = _moved(state["row_var"], paddle.mean(squares, axis=-1, keepdim=True), fresh)
            column = _moved(state["col_var"], paddle.mean(squares, axis=-2, keepdim=True), fresh)
            scale = paddle.clip(paddle.mean(row, axis=-2, keepdim=True), min=eps1)
            estimate = paddle.divide(paddle.multiply(row, column), scale)
        else:
            estimate = _moved(state["variance"], squares, fresh)
        update = paddle.multiply(paddle.rsqrt(paddle.clip(estimate, min=eps1 * eps1)), g)
        store(param, p - update * (rate / max(1.0, _length(update) / (items * group["d"]))))


def _moved(average: Tensor, value: Tensor, weight: float) -> Tensor:
    moved = lerp(wide(average), value, weight)
    store(average, moved)
    return moved


def _length(x: Tensor) -> float:
    return math.sqrt(float(paddle.sum(paddle.square(x))))
