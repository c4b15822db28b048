"""Limited-memory BFGS, with torch's stopping rules and its line search.

Source: Nocedal and Wright, "Numerical Optimization" (2006), algorithms 7.4, 3.5 and 3.6.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import paddle
from paddle import _C_ops

from hfpaddle.torch.optim.optimizer import Optimizer, check_range

Tensor = paddle.Tensor


def _dot(a: Tensor, b: Tensor) -> float:
    return float(paddle.dot(a, b))


def _largest(x: Tensor) -> float:
    return float(paddle.max(paddle.abs(x)))


class LBFGS(Optimizer):
    """Follows the inverse Hessian that the last ``history_size`` steps tell of.

    ``step(closure)`` evaluates the closure several times. One group of parameters only.
    """

    def __init__(
        self, params: Any, lr: Any = 1, max_iter: int = 20, max_eval: int | None = None,
        tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:  # fmt: skip
        check_range("learning rate", float(lr), 0.0)
        defaults = {
            "lr": lr, "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change,
            "history_size": history_size, "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    # The parameters as one vector

    def _gradient(self) -> Tensor:
        parts = [
            paddle.zeros([p._numel()], p.dtype) if p.grad is None else paddle.reshape(p.grad, [-1])
            for p in self._params
        ]
        return paddle.concat(parts).detach()

    def _move(self, length: float, direction: Tensor) -> None:
        at = 0
        for p in self._params:
            part = paddle.reshape(direction[at : at + p._numel()], list(p.shape))
            _C_ops.assign_out_(p.detach() + part * length, p)
            at += p._numel()

    def _probe(self, closure: Callable, start: list[Tensor], t: float, d: Tensor) -> tuple:
        """Loss and gradient at ``start + t * d``; the parameters stay at ``start``."""
        self._move(t, d)
        with paddle.enable_grad():
            loss = float(closure())
        gradient = self._gradient()
        for p, value in zip(self._params, start, strict=True):
            _C_ops.assign_out_(value, p)
        return loss, gradient

    def step(self, closure: Callable) -> Any:  # type: ignore[override]
        """Up to ``max_iter`` iterations; returns the loss at the beginning."""
        group, state = self.param_groups[0], self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        with paddle.enable_grad():
            first = closure()
        state["func_evals"] += 1
        with paddle.no_grad():
            self._iterate(closure, float(first), group, state)
        return first

    def _iterate(self, closure: Callable, loss: float, group: dict, state: dict) -> None:
        lr, change = float(group["lr"]), group["tolerance_change"]
        grad, evaluations = self._gradient(), 1
        if _largest(grad) <= group["tolerance_grad"]:
            return
        for turn in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            _direction(state, grad, group["history_size"])
            d = state["d"]
            state["prev_flat_grad"], before = grad, loss
            state["prev_loss"] = loss
            beginning = state["n_iter"] == 1
            t = min(1.0, 1.0 / float(paddle.sum(paddle.abs(grad)))) * lr if beginning else lr
            slope = _dot(grad, d)
            state["t"] = t
            if slope > -change:
                break
            spent = 0
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                start = [paddle.assign(p.detach()) for p in self._params]
                search = _Search(lambda t: self._probe(closure, start, t, d), d, loss, grad, slope)  # noqa: B023
                loss, grad, t, spent = search.run(t, group["max_eval"] - evaluations)
                self._move(t, d)
            else:
                self._move(t, d)
                if turn != group["max_iter"]:  # the last point is not evaluated
                    with paddle.enable_grad():
                        loss = float(closure())
                    grad, spent = self._gradient(), 1
            state["t"] = t
            evaluations += spent
            state["func_evals"] += spent
            if (
                evaluations >= group["max_eval"]
                or _largest(grad) <= group["tolerance_grad"]
                or _largest(d) * t <= change
                or abs(loss - before) < change
            ):
                break


def _direction(state: dict, grad: Tensor, history: int) -> None:
    """The next direction, into ``state["d"]``: two loops over the remembered steps."""
    if state["n_iter"] == 1:
        state |= {"d": paddle.neg(grad), "old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1}
        return
    y, s = grad - state["prev_flat_grad"], state["d"] * state["t"]
    ys = _dot(y, s)
    ys_list, steps, inverse = state["old_dirs"], state["old_stps"], state["ro"]
    if ys > 1e-10:
        if len(ys_list) == history:
            for remembered in (ys_list, steps, inverse):
                remembered.pop(0)
        ys_list.append(y)
        steps.append(s)
        inverse.append(1.0 / ys)
        state["H_diag"] = ys / _dot(y, y)
    weights = [0.0] * len(ys_list)
    q = paddle.neg(grad)
    for i in reversed(range(len(ys_list))):
        weights[i] = _dot(steps[i], q) * inverse[i]
        q = q - ys_list[i] * weights[i]
    q = q * state["H_diag"]
    for i in range(len(ys_list)):
        q = q + steps[i] * (weights[i] - _dot(ys_list[i], q) * inverse[i])
    state["d"] = q


class _Search:
    """A step length that meets the strong Wolfe conditions."""

    c1, c2, least = 1e-4, 0.9, 1e-9

    def __init__(self, probe: Callable, d: Tensor, loss: float, grad: Tensor, slope: float) -> None:
        self.probe, self.d, self.size = probe, d, _largest(d)
        self.loss, self.grad, self.slope, self.spent = loss, grad, slope, 0

    def _at(self, t: float) -> tuple:
        """(t, loss, gradient, slope) at step length ``t``."""
        loss, grad = self.probe(t)
        self.spent += 1
        return t, loss, grad, _dot(grad, self.d)

    def _too_high(self, point: tuple) -> bool:
        return point[1] > self.loss + self.c1 * point[0] * self.slope

    def run(self, t: float, most: int) -> tuple:
        """Loss, gradient, step length and the number of evaluations."""
        last, here = (0.0, self.loss, self.grad, self.slope), self._at(t)
        turn, bracket, done = 0, None, False
        while turn < most:
            if self._too_high(here) or (turn > 1 and here[1] >= last[1]):
                bracket = [last, here]
            elif abs(here[3]) <= -self.c2 * self.slope:
                bracket, done = [here], True
            elif here[3] >= 0:
                bracket = [last, here]
            if bracket is not None:
                break
            low, high = here[0] + 0.01 * (here[0] - last[0]), here[0] * 10
            t = _cubic(last, here, low, high)
            last, here = here, self._at(t)
            turn += 1
        if bracket is None:
            bracket = [(0.0, self.loss, self.grad, self.slope), here]
        return self._zoom(bracket, done, turn, most)

    def _zoom(self, bracket: list[tuple], done: bool, turn: int, most: int) -> tuple:
        stuck = False
        low = 0 if bracket[0][1] <= bracket[-1][1] else 1
        while not done and turn < most:
            ends = sorted(point[0] for point in bracket)
            if (ends[1] - ends[0]) * self.size < self.least:
                break
            t, stuck = self._inside(_cubic(*bracket, *ends), *ends, stuck)
            here = self._at(t)
            turn += 1
            if self._too_high(here) or here[1] >= bracket[low][1]:
                bracket[1 - low] = here
                low = 0 if bracket[0][1] <= bracket[1][1] else 1
                continue
            if abs(here[3]) <= -self.c2 * self.slope:
                done = True
            elif here[3] * (bracket[1 - low][0] - bracket[low][0]) >= 0:
                bracket[1 - low] = bracket[low]
            bracket[low] = here
        t, loss, grad, _ = bracket[low if len(bracket) > 1 else 0]
        return loss, grad, t, self.spent

    @staticmethod
    def _inside(t: float, first: float, last: float, stuck: bool) -> tuple[float, bool]:
        """Keep the trial a tenth away from the ends once it has come too close twice."""
        margin = 0.1 * (last - first)
        if min(last - t, t - first) >= margin:
            return t, False
        if stuck or t >= last or t <= first:
            return (last - margin if abs(t - last) < abs(t - first) else first + margin), False
        return t, True


def _cubic(one: tuple, two: tuple, low: float, high: float) -> float:
    """The minimum of the cubic through two points with slopes, cut to [low, high]."""
    (x1, f1, _, g1), (x2, f2, _, g2) = one, two
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1 * d1 - g1 * g2
    if square < 0:
        return (low + high) / 2.0
    d2 = math.sqrt(square)
    if x1 <= x2:
        found = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
    else:
        found = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    return min(max(found, low), high)
