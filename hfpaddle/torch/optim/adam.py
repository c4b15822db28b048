"""Adam, by one fused Paddle kernel for float32 and float64, and by its formula otherwise.

Source: arXiv:1412.6980; decoupled decay arXiv:1711.05101; AMSGrad Reddi et al. (2018).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import paddle
from paddle import _C_ops

from hfpaddle.torch._dtypes import HALVES
from hfpaddle.torch.optim.optimizer import (
    Optimizer,
    check_range,
    lerp,
    moving_square,
    next_step,
    no_differentiable,
    store,
    wide,
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
        step, lr, decay = next_step(state), float(group["lr"]), float(group["weight_decay"])
        decoupled = group.get("decoupled_weight_decay", False)
        if decay and not decoupled:
            grad, decay = paddle.add(grad, param * decay), 0.0
        fits = param.dtype is grad.dtype and param.dtype not in HALVES
        update = _fused if fits and not group["amsgrad"] else _plain
        update(param, grad, state, group, step, lr, decay)


def _fused(param, grad, state, group, step, lr, decay) -> None:
    (beta1, beta2), eps = group["betas"], group["eps"]
    # The kernel corrects the bias in float32, where 1 - 0.999 has four digits: give it powers of
    # zero, and put the correction into the rate and eps.
    root = math.sqrt(1.0 - beta2**step)
    rate = lr * root / (1.0 - beta1**step)
    coeff = decay * lr / rate if rate else 0.0
    place = param.place
    kind = param.dtype if param.dtype is paddle.float64 else paddle.float32
    rate_tensor = paddle.to_tensor([rate], dtype=kind, place=place)
    one, two = _powers(str(place), kind)
    _C_ops.adamw_(
        param, grad, rate_tensor, state["exp_avg"], state["exp_avg_sq"], None, one, two, None, None,
        beta1, beta2, eps * root, 1.0, coeff, coeff != 0.0, False, 1000, False, False, False,
    )  # fmt: skip


@functools.lru_cache(None)
def _powers(place: str, dtype: Any) -> tuple[Tensor, Tensor]:
    """Zeros for the kernel's powers of beta. It multiplies them in place, so they stay zeros."""
    return paddle.zeros([1], dtype), paddle.zeros([1], dtype)


def _plain(param, grad, state, group, step, lr, decay) -> None:
    (beta1, beta2), eps = group["betas"], group["eps"]
    p, g = wide(param), wide(grad)
    if decay:
        p = p * (1.0 - lr * decay)
    mean = lerp(wide(state["exp_avg"]), g, 1.0 - beta1)
    square = moving_square(wide(state["exp_avg_sq"]), g, beta2)
    largest = square
    if group["amsgrad"]:
        largest = paddle.maximum(wide(state["max_exp_avg_sq"]), square)
        store(state["max_exp_avg_sq"], largest)
    root = paddle.sqrt(largest) / math.sqrt(1.0 - beta2**step) + eps
    store(param, p - paddle.divide(mean, root) * (lr / (1.0 - beta1**step)))
    store(state["exp_avg"], mean)
    store(state["exp_avg_sq"], square)


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
        p, g = _decayed(param, grad, lr, group)
        psi = group["momentum_decay"]
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (step * psi))
        mu_next = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * psi))
        state["mu_product"] = state["mu_product"] * mu
        product = float(state["mu_product"])
        mean = lerp(wide(state["exp_avg"]), g, 1.0 - beta1)
        square = moving_square(wide(state["exp_avg_sq"]), g, beta2)
        root = paddle.sqrt(square / (1.0 - beta2**step)) + group["eps"]
        p = p - paddle.divide(g, root) * (lr * (1.0 - mu) / (1.0 - product))
        p = p - paddle.divide(mean, root) * (lr * mu_next / (1.0 - product * mu_next))
        store(param, p)
        store(state["exp_avg"], mean)
        store(state["exp_avg_sq"], square)


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
        p, g = _decayed(param, grad, lr, group)
        mean = lerp(wide(state["exp_avg"]), g, 1.0 - beta1)
        square = moving_square(wide(state["exp_avg_sq"]), g, beta2)
        bias2 = 1.0 - beta2**step
        limit = 2.0 / (1.0 - beta2) - 1.0
        length = limit - 2.0 * step * beta2**step / bias2
        update = mean / (1.0 - beta1**step)
        if length > 5.0:
            rect = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
            root = paddle.sqrt(square) + group["eps"]
            update = paddle.divide(update * math.sqrt(rect) * math.sqrt(bias2), root)
        store(param, p - update * lr)
        store(state["exp_avg"], mean)
        store(state["exp_avg_sq"], square)


def _decayed(param: Tensor, grad: Tensor, lr: float, group: dict) -> tuple[Tensor, Tensor]:
    p, g, decay = wide(param), wide(grad), group["weight_decay"]
    if not decay:
        return p, g
    if group["decoupled_weight_decay"]:
        return p * (1.0 - lr * decay), g
    return p, g + p * decay
