"""Adafactor: second moments kept as a row and a column. Source: arXiv:1804.04235."""

from __future__ import annotations

import math
from typing import Any

import paddle
from paddle import _C_ops

from hfpaddle.torch._reduce import mean
from hfpaddle.torch.optim import Optimizer
from hfpaddle.torch.optim.lr_scheduler import LambdaLR


def _rms(tensor: paddle.Tensor) -> paddle.Tensor:
    # Not paddle.linalg.norm: on 15 million items it is 1.3 % too small.
    return paddle.sqrt(_C_ops.squared_l2_norm(tensor).reshape([])) / math.sqrt(
        math.prod(tensor.shape)
    )


class Adafactor(Optimizer):
    """Upstream's Adafactor.

    Args:
        lr: rate; None with ``relative_step``.
        eps: added to the squared gradient; least root mean square of a parameter.
        clip_threshold: greatest root mean square of an update.
        decay_rate: power of the step that weights old second moments.
        beta1: weight of old updates; None keeps none.
        scale_parameter: multiply the rate by the parameter's root mean square.
        relative_step: let the rate fall with the step.
        warmup_init: let it rise first; needs ``relative_step``.
    """

    def __init__(
        self,
        params: Any,
        lr: float | None = None,
        eps: tuple[float, float] = (1e-30, 1e-3),
        clip_threshold: float = 1.0,
        decay_rate: float = -0.8,
        beta1: float | None = None,
        weight_decay: float = 0.0,
        scale_parameter: bool = True,
        relative_step: bool = True,
        warmup_init: bool = False,
    ) -> None:
        if lr is not None and relative_step:
            raise ValueError("Cannot combine manual `lr` and `relative_step=True` options")
        if warmup_init and not relative_step:
            raise ValueError("`warmup_init=True` requires `relative_step=True`")
        defaults = {
            **{"lr": lr, "eps": eps, "clip_threshold": clip_threshold, "decay_rate": decay_rate},
            **{"beta1": beta1, "weight_decay": weight_decay, "scale_parameter": scale_parameter},
            **{"relative_step": relative_step, "warmup_init": warmup_init},
        }
        super().__init__(params, defaults)

    @staticmethod
    def _get_lr(group: dict[str, Any], state: dict[str, Any]) -> Any:
        rate: Any = group["lr"]
        if group["relative_step"]:
            least = 1e-6 * state["step"] if group["warmup_init"] else 1e-2
            rate = min(least, 1.0 / math.sqrt(state["step"]))
        if group["scale_parameter"]:
            rate = rate * max(group["eps"][1], float(state["RMS"]))
        return rate

    @paddle.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every parameter that has a gradient. Returns what ``closure`` does."""
        loss = None
        if closure is not None:
            with paddle.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Any, group: dict[str, Any]) -> None:
        gradient = parameter.grad.astype("float32")
        value = parameter.astype("float32")
        state = self.state[parameter]
        if not state:
            state["step"] = 0
        state["step"] += 1
        state["RMS"] = float(_rms(value))
        rate = self._get_lr(group, state)
        kept = 1.0 - state["step"] ** group["decay_rate"]
        update = gradient * self._inverse_root(gradient, state, kept, group["eps"][0])
        update = update / paddle.clip(_rms(update) / group["clip_threshold"], min=1.0) * rate
        if group["beta1"] is not None:
            mean = state.get("exp_avg", paddle.zeros_like(gradient)) * group["beta1"]
            update = state["exp_avg"] = mean + update * (1 - group["beta1"])
        if group["weight_decay"]:
            value = value - value * (group["weight_decay"] * rate)
        paddle.assign((value - update).astype(parameter.dtype), output=parameter)

    @staticmethod
    def _inverse_root(
        gradient: paddle.Tensor, state: dict[str, Any], kept: float, eps: float
    ) -> paddle.Tensor:
        """Move the second moments and return one over their root, for ``gradient``'s shape."""
        square = gradient * gradient + eps

        def moved(name: str, new: paddle.Tensor) -> paddle.Tensor:
            old = state.get(name)
            new = new * (1.0 - kept)
            state[name] = new if old is None else old * kept + new
            return state[name]

        if gradient.ndim < 2:
            return paddle.rsqrt(moved("exp_avg_sq", square))
        row = moved("exp_avg_sq_row", mean(square, -1))
        column = moved("exp_avg_sq_col", mean(square, -2))
        row = paddle.rsqrt(row / mean(row, -1, keepdim=True))
        return row.unsqueeze(-1) * paddle.rsqrt(column).unsqueeze(-2)


class AdafactorSchedule(LambdaLR):
    """Reports the rates that `Adafactor` sets itself, and ``initial_lr`` before the first step."""

    def __init__(self, optimizer: Adafactor, initial_lr: float = 0.0) -> None:
        for group in optimizer.param_groups:
            group["initial_lr"] = initial_lr
        super().__init__(optimizer, lambda _: initial_lr)
        for group in optimizer.param_groups:
            del group["initial_lr"]

    def get_lr(self) -> list[Any]:
        optimizer = self.optimizer
        firsts = [(group, group["params"][0]) for group in optimizer.param_groups]
        rates = [optimizer._get_lr(g, optimizer.state[p]) for g, p in firsts if p.grad is not None]
        return rates or self.base_lrs
