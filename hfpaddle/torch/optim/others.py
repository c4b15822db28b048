"""Adadelta, averaged gradient descent and resilient propagation."""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.torch.optim._apply import apply
from hfpaddle.torch.optim.optimizer import (
    Optimizer,
    check_range,
    next_step,
    no_differentiable,
    zeros_like,
)

Tensor = paddle.Tensor


class Adadelta(Optimizer):
    """Scales by the ratio of past updates to past gradients. Source: arXiv:1212.5701."""

    def __init__(
        self, params: Any, lr: Any = 1.0, rho: float = 0.9, eps: float = 1e-6,
        weight_decay: float = 0, foreach: bool | None = None, *, capturable: bool = False,
        maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_range("learning rate", float(lr), 0.0)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_range("epsilon value", eps, 0.0)
        check_range("weight_decay value", weight_decay, 0.0)
        no_differentiable(differentiable)
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _update(self, param: Tensor, grad: Tensor, state: dict, group: dict) -> None:
        if not state:
            state["step"] = paddle.zeros([], "float32")
            state["square_avg"], state["acc_delta"] = zeros_like(param), zeros_like(param)
        next_step(state)
        apply(_adadelta, param, grad, state["square_avg"], state["acc_delta"],
              l2=float(group["weight_decay"]), rho=group["rho"], eps=group["eps"],
              lr=float(group["lr"]))  # fmt: skip


def _adadelta(m, p, g, square, deltas, *, l2, rho, eps, lr) -> None:
    if l2:
        g = m.plus(g, p, l2)
    m.scale_(square, rho)
    m.addcmul_(square, g, g, 1.0 - rho)
    delta = m.root(m.shifted(deltas, eps))
    m.divide_(delta, m.root(m.shifted(square, eps)))
    m.multiply_(delta, g)
    m.scale_(deltas, rho)
    m.addcmul_(deltas, delta, delta, 1.0 - rho)
    m.add_(p, delta, -lr)


class ASGD(Optimizer):
    """Gradient descent that keeps the average of its parameters. Source: Polyak (1992)."""

    def __init__(
        self, params: Any, lr: Any = 1e-2, lambd: float = 1e-4, alpha: float = 0.75,
        t0: float = 1e6, weight_decay: float = 0, foreach: bool | None = None,
        maximize: bool = False, differentiable: bool = False, capturable: bool = False,
    ) -> None:  # fmt: skip
        check_range("learning rate", float(lr), 0.0)
        check_range("weight_decay value", weight_decay, 0.0)
        no_differentiable(differentiable)
        defaults = {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
            "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _update(self, param: Tensor, grad: Tensor, state: dict, group: dict) -> None:
        lr, lambd = float(group["lr"]), group["lambd"]
        if not state:
            state["step"], state["eta"] = paddle.zeros([]), paddle.full([], lr, "float32")
            state["mu"], state["ax"] = paddle.ones([]), zeros_like(param)
        step, mu = next_step(state), float(state["mu"])
        apply(_asgd, param, grad, state["ax"], l2=float(group["weight_decay"]), lambd=lambd,
              eta=float(state["eta"]), mu=mu)  # fmt: skip
        eta = lr / ((1 + lambd * lr * step) ** group["alpha"])
        state["eta"] = paddle.full([], eta, "float32")
        state["mu"] = paddle.full([], 1 / max(1, step - group["t0"]), "float32")


def _asgd(m, p, g, average, *, l2, lambd, eta, mu) -> None:
    if l2:
        g = m.plus(g, p, l2)
    m.scale_(p, 1.0 - lambd * eta)
    m.add_(p, g, -eta)
    if mu == 1:
        m.copy_(average, p)
    else:
        gap = m.plus(p, average, -1.0)
        m.scale_(gap, mu)
        m.add_(average, gap, 1.0)


class Rprop(Optimizer):
    """Steps by the gradient's sign, longer while it stays. Source: Riedmiller, Braun (1993)."""

    def __init__(
        self, params: Any, lr: Any = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50), *, capturable: bool = False,
        foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_range("learning rate", float(lr), 0.0)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        no_differentiable(differentiable)
        defaults = {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _update(self, param: Tensor, grad: Tensor, state: dict, group: dict) -> None:
        if not state:
            state["step"], state["prev"] = paddle.zeros([], "float32"), zeros_like(param)
            state["step_size"] = paddle.full_like(grad, float(group["lr"]))
        next_step(state)
        apply(_rprop, param, grad, state["prev"], state["step_size"], etas=group["etas"],
              limits=group["step_sizes"])  # fmt: skip


def _rprop(m, p, g, previous, size, *, etas, limits) -> None:
    turn = m.copied(g)
    m.multiply_(turn, previous)
    turned = turn < 0
    m.multiply_(size, m.where(turned, etas[0], m.where(turn > 0, etas[1], m.scaled(turn, 0.0) + 1)))
    m.clip_(size, *limits)
    m.copy_(previous, m.where(turned, 0.0, g))
    m.addcmul_(p, m.sign(previous), size, -1.0)
