"""Adam and its relatives.

Source: arXiv:1412.6980; decoupled decay arXiv:1711.05101; AMSGrad Reddi et al. (2018).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import paddle
from paddle import _C_ops

from hfpaddle import ops
from hfpaddle.torch._dtypes import HALVES
from hfpaddle.torch.optim import _device
from hfpaddle.torch.optim._apply import apply
from hfpaddle.torch.optim.optimizer import (
    Optimizer,
    check_range,
    decays,
    next_step,
    no_differentiable,
    zeros_like,
)

Tensor = paddle.Tensor


class Adam(Optimizer):
    """Steps by the mean of the gradient over the root of the mean of its square.

    ``foreach``, ``fused`` and ``capturable`` are accepted: they choose torch's kernels.
    """

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, amsgrad: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:  # fmt: skip
        check_range("learning rate", float(lr), 0.0)
        check_range("epsilon value", eps, 0.0)
        for index, beta in enumerate(betas):
            check_range(f"beta parameter at index {index}", float(beta), 0.0, 1.0)
        check_range("weight_decay value", weight_decay, 0.0)
        no_differentiable(differentiable)
        if fused and foreach:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        defaults = {
            "lr": lr, "betas": tuple(float(b) for b in betas), "eps": eps,
            "weight_decay": weight_decay, "amsgrad": amsgrad, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _update(self, param: Tensor, grad: Tensor, state: dict, group: dict) -> None:
        if not state:
            state["step"] = paddle.zeros([], "float32")
            state["exp_avg"], state["exp_avg_sq"] = zeros_like(param), zeros_like(param)
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = zeros_like(param)
        step, lr, (beta1, beta2) = next_step(state), float(group["lr"]), group["betas"]
        l2, keep = decays(group, lr)
        rate, root = lr / (1.0 - beta1**step), math.sqrt(1.0 - beta2**step)
        states = [state["exp_avg"], state["exp_avg_sq"]]
        if group["amsgrad"]:
            states.append(state["max_exp_avg_sq"])
        elif not param.place.is_cpu_place() and param.dtype is grad.dtype is states[0].dtype and (
            param.dtype not in HALVES
        ):  # fmt: skip
            _fused(param, grad, states, group, l2, keep, rate, root)
            return
        numbers = {"l2": l2, "keep": keep, "beta1": beta1, "beta2": beta2, "rate": rate,
                   "bias": root, "eps": group["eps"]}  # fmt: skip
        kernel = ops.adam_.choose(param, grad, *states, **numbers)
        if kernel is ops.adam_.reference:  # which rounds otherwise than torch
            apply(_adam, param, grad, *states, **numbers)
        else:
            kernel(param, grad, *states, **numbers)


def _adam(m, p, g, mean, square, *largest, l2, keep, beta1, beta2, rate, bias, eps) -> None:
    if l2:
        g = m.plus(g, p, l2)
    if keep != 1.0:
        m.scale_(p, keep)
    m.lerp_(mean, g, 1.0 - beta1)
    m.scale_(square, beta2)
    m.addcmul_(square, g, g, 1.0 - beta2)
    for top in largest:  # AMSGrad
        m.maximum_(top, square)
        square = top
    scale = m.root(square)
    m.divide_(scale, bias)
    m.shift_(scale, eps)
    m.addcdiv_(p, mean, scale, -rate)


def _fused(param, grad, states, group, l2, keep, rate, root) -> None:
    """Paddle's kernel: one pass where ``_adam`` takes a dozen.

    It rounds the betas to float32 before it takes them from 1, which makes the mean of squares
    smaller than torch's by a constant (1.3e-5 of it for 0.999): the bias correction holds that
    constant. It also corrects the bias in float32, where 1 - 0.999 has four digits: it gets powers
    of zero, and the correction is in the rate and eps.
    """
    (beta1, beta2), eps = group["betas"], group["eps"]
    if l2:
        grad = _device.plus(grad, param.detach(), l2)
    if keep != 1.0:
        _device.scale_(param.detach(), keep)
    kind = param.dtype
    if kind is paddle.float32 and beta2:
        root /= math.sqrt(float(np.float32(1.0 - beta2)) / (1.0 - float(np.float32(beta2))))
    one, two = _powers(str(param.place), kind)
    rate_tensor = paddle.to_tensor([rate * root], dtype=kind, place=param.place)
    _C_ops.adamw_(
        param, grad, rate_tensor, *states, None, one, two, None, None,
        beta1, beta2, eps * root, 1.0, 0.0, False, False, 1000, False, False, False,
    )  # fmt: skip


@functools.lru_cache(None)
def _powers(place: str, dtype: Any) -> tuple[Tensor, Tensor]:
    """Zeros for the kernel's powers of beta. It multiplies them in place, so they stay zeros."""
    return paddle.zeros([1], dtype), paddle.zeros([1], dtype)


class AdamW(Adam):
    """Adam with decoupled weight decay."""

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, *,
        maximize: bool = False, foreach: bool | None = None, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
            capturable=capturable, differentiable=differentiable, fused=fused,
            decoupled_weight_decay=True,
        )  # fmt: skip


class NAdam(Optimizer):
    """Adam with Nesterov's momentum. Source: Dozat (2016)."""

    def __init__(
        self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_range("learning rate", float(lr), 0.0)
        no_differentiable(differentiable)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _update(self, param: Tensor, grad: Tensor, state: dict, group: dict) -> None:
        if not state:
            state["step"], state["mu_product"] = paddle.zeros([]), paddle.ones([])
            state["exp_avg"], state["exp_avg_sq"] = zeros_like(param), zeros_like(param)
        step, lr, (beta1, beta2) = next_step(state), float(group["lr"]), group["betas"]
        psi = group["momentum_decay"]
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (step * psi))
        mu_next = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * psi))
        state["mu_product"] = state["mu_product"] * mu
        product = float(state["mu_product"])
        l2, keep = decays(group, lr)
        apply(_nadam, param, grad, state["exp_avg"], state["exp_avg_sq"], l2=l2, keep=keep,
              beta1=beta1, beta2=beta2, bias=1.0 - beta2**step, eps=group["eps"],
              now=-lr * (1.0 - mu) / (1.0 - product),
              ahead=-lr * mu_next / (1.0 - product * mu_next))  # fmt: skip


def _nadam(m, p, g, mean, square, *, l2, keep, beta1, beta2, bias, eps, now, ahead) -> None:
    if l2:
        g = m.plus(g, p, l2)
    if keep != 1.0:
        m.scale_(p, keep)
    m.lerp_(mean, g, 1.0 - beta1)
    m.scale_(square, beta2)
    m.addcmul_(square, g, g, 1.0 - beta2)
    scale = m.copied(square)
    m.divide_(scale, bias)
    scale = m.root(scale)
    m.shift_(scale, eps)
    m.addcdiv_(p, g, scale, now)
    m.addcdiv_(p, mean, scale, ahead)


class RAdam(Optimizer):
    """Adam whose early steps are rectified. Source: arXiv:1908.03265."""

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, decoupled_weight_decay: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
        differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_range("learning rate", float(lr), 0.0)
        no_differentiable(differentiable)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _update(self, param: Tensor, grad: Tensor, state: dict, group: dict) -> None:
        if not state:
            state["step"] = paddle.zeros([], "float32")
            state["exp_avg"], state["exp_avg_sq"] = zeros_like(param), zeros_like(param)
        step, lr, (beta1, beta2) = next_step(state), float(group["lr"]), group["betas"]
        bias2 = 1.0 - beta2**step
        limit = 2.0 / (1.0 - beta2) - 1.0
        length = limit - 2.0 * step * beta2**step / bias2
        rect = None
        if length > 5.0:
            rect = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
            rect = math.sqrt(rect)
        l2, keep = decays(group, lr)
        apply(_radam, param, grad, state["exp_avg"], state["exp_avg_sq"], l2=l2, keep=keep,
              beta1=beta1, beta2=beta2, bias=1.0 - beta1**step, root=math.sqrt(bias2), rect=rect,
              lr=lr, eps=group["eps"])  # fmt: skip


def _radam(m, p, g, mean, square, *, l2, keep, beta1, beta2, bias, root, rect, lr, eps) -> None:
    if l2:
        g = m.plus(g, p, l2)
    if keep != 1.0:
        m.scale_(p, keep)
    m.lerp_(mean, g, 1.0 - beta1)
    m.scale_(square, beta2)
    m.addcmul_(square, g, g, 1.0 - beta2)
    update = m.copied(mean)
    m.divide_(update, bias)
    m.scale_(update, lr)
    if rect is not None:
        scale = m.root(square)
        m.shift_(scale, eps)
        m.multiply_(update, m.quotient(root, scale))
        m.scale_(update, rect)
    m.add_(p, update, -1.0)


class Adamax(Optimizer):
    """Adam with the largest gradient in place of the mean square. Source: arXiv:1412.6980."""

    def __init__(
        self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, foreach: bool | None = None, *,
        maximize: bool = False, differentiable: bool = False, capturable: bool = False,
    ) -> None:  # fmt: skip
        check_range("learning rate", float(lr), 0.0)
        check_range("epsilon value", eps, 0.0)
        for index, beta in enumerate(betas):
            check_range(f"beta parameter at index {index}", beta, 0.0, 1.0)
        check_range("weight_decay value", weight_decay, 0.0)
        no_differentiable(differentiable)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _update(self, param: Tensor, grad: Tensor, state: dict, group: dict) -> None:
        if not state:
            state["step"] = paddle.zeros([], "float32")
            state["exp_avg"], state["exp_inf"] = zeros_like(param), zeros_like(param)
        step, (beta1, beta2) = next_step(state), group["betas"]
        apply(_adamax, param, grad, state["exp_avg"], state["exp_inf"], eps=group["eps"],
              beta1=beta1, beta2=beta2, l2=float(group["weight_decay"]),
              rate=float(group["lr"]) / (1.0 - beta1**step))  # fmt: skip


def _adamax(m, p, g, mean, top, *, l2, beta1, beta2, rate, eps) -> None:
    if l2:
        g = m.plus(g, p, l2)
    m.lerp_(mean, g, 1.0 - beta1)
    size = m.magnitude(g)
    m.shift_(size, eps)
    m.scale_(top, beta2)
    m.maximum_(top, size)
    m.addcdiv_(p, mean, top, -rate)
