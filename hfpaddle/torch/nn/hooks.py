"""Backward hooks of modules and tensors.

A module with backward hooks passes its inputs and outputs through a :class:`_Gate`: an identity
whose backward sees all gradients of one side together and may replace them.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import paddle
from paddle.autograd import PyLayer

from hfpaddle.torch._switch import added, by_caller
from hfpaddle.torch.nn.modules.module import Module
from hfpaddle.torch.nn.parameter import Parameter

Tensor = paddle.Tensor


class _Gate(PyLayer):
    """Identity of several tensors; ``change(gradients)`` gives the gradients to go on with."""

    @staticmethod
    def forward(ctx, change: Callable, *tensors: Tensor) -> Any:
        ctx.set_materialize_grads(False)
        ctx.change = change
        return tuple(paddle.assign(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx, *grads: Any) -> Any:
        found = ctx.change(grads)
        return found[0] if len(found) == 1 else tuple(found)


class _Handle:
    count = itertools.count()

    def __init__(self, hooks: dict[int, Callable], hook: Callable, prepend: bool = False) -> None:
        self.hooks, self.id = hooks, next(self.count)
        hooks[self.id] = hook
        if prepend:
            hooks.move_to_end(self.id, last=False)  # type: ignore[attr-defined]

    def remove(self) -> None:
        """Take the hook away."""
        self.hooks.pop(self.id, None)


class _Pass:
    """One call of a module with backward hooks: where its gradients meet the hooks."""

    def __init__(self, module: Module) -> None:
        self.module, self.grad_output = module, ()
        self.places: list[int] | None = None
        self.others: dict[int, list[int]] = {}
        self.inputs = 0

    def enter(self, args: tuple) -> tuple:
        self.inputs = len(args)
        places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        if not paddle.is_grad_enabled() or all(args[i].stop_gradient for i in places):
            return args
        # Those that need no gradient stay outside; hooks see zeros for them, as in torch.
        self.others = {i: list(args[i].shape) for i in places if args[i].stop_gradient}
        self.places = [i for i in places if not args[i].stop_gradient]
        made = _Gate.apply(self._at_input, *(args[i] for i in self.places))
        made = list(made) if isinstance(made, (tuple, list)) else [made]
        args = list(args)
        for i, tensor in zip(self.places, made, strict=True):
            args[i] = tensor
        return tuple(args)

    def leave(self, result: Any) -> Any:
        if isinstance(result, Tensor):
            return result if result.stop_gradient else self._gated([result])[0]
        if not isinstance(result, (tuple, list)):
            return result  # torch leaves other outputs alone too
        where = [i for i, t in enumerate(result) if isinstance(t, Tensor) and not t.stop_gradient]
        if not where:
            return result
        parts = list(result)
        for i, tensor in zip(where, self._gated([parts[i] for i in where]), strict=True):
            parts[i] = tensor
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)

    def _gated(self, tensors: list[Tensor]) -> list[Tensor]:
        made = _Gate.apply(self._at_output, *tensors)
        return list(made) if isinstance(made, (tuple, list)) else [made]

    def _at_output(self, grads: tuple) -> tuple:
        for hook in list(_hooks(self.module, "backward_pre").values()):
            found = hook(self.module, grads)
            if found is not None:
                grads = _as_tuple(found, len(grads))
        self.grad_output = grads
        if self.places is None:
            nothing = (None,) * self.inputs
            for hook in list(_hooks(self.module, "backward").values()):
                found = hook(self.module, nothing, grads)
                if found is not None and any(g is not None for g in found):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always "
                        "return None or None for all gradients."
                    )
        return grads

    def _at_input(self, grads: tuple) -> tuple:
        found: list[Any] = [None] * self.inputs
        for place, grad in zip(self.places or (), grads, strict=True):
            found[place] = grad
        for place, shape in self.others.items():
            found[place] = paddle.zeros(shape)
        for hook in list(_hooks(self.module, "backward").values()):
            changed = hook(self.module, tuple(found), self.grad_output)
            if changed is not None:
                found = list(_as_tuple(changed, len(found)))
        return tuple(found[place] for place in self.places or ())


def _as_tuple(found: Any, length: int) -> tuple:
    found = found if isinstance(found, (tuple, list)) else (found,)
    if len(found) != length:
        raise RuntimeError(
            f"Backward hook returned an invalid number of grad_input, got {len(found)}, but "
            f"expected {length}"
        )
    return tuple(found)


def _hooks(module: Module, kind: str) -> dict[int, Callable]:
    return module.__dict__.setdefault(f"_torch_{kind}", OrderedDict())


def _before(module: Module, args: tuple) -> Any:
    if not _hooks(module, "backward") and not _hooks(module, "backward_pre"):
        return None
    one = _Pass(module)
    module.__dict__.setdefault("_torch_passes", []).append(one)
    return one.enter(args)


def _after(module: Module, args: tuple, result: Any) -> Any:
    passes = module.__dict__.get("_torch_passes")
    return passes.pop().leave(result) if passes else None


def _gate(module: Module) -> None:
    if not module.__dict__.get("_torch_gated"):
        module.__dict__["_torch_gated"] = True
        module.register_forward_pre_hook(_before)
        module.register_forward_post_hook(_after)


def register_full_backward_hook(self: Module, hook: Callable, prepend: bool = False) -> _Handle:
    """Call ``hook(module, grad_input, grad_output)`` with the gradients of each call.

    What it returns takes the place of ``grad_input``. Keyword inputs are not seen, as in torch.
    """
    _gate(self)
    return _Handle(_hooks(self, "backward"), hook, prepend)


def register_full_backward_pre_hook(self: Module, hook: Callable, prepend: bool = False) -> _Handle:
    """Call ``hook(module, grad_output)`` first; what it returns takes the place of these."""
    _gate(self)
    return _Handle(_hooks(self, "backward_pre"), hook, prepend)


# Tensors


class _TensorHandle:
    def __init__(self) -> None:
        self.on = True

    def remove(self) -> None:
        """Take the hook away."""
        self.on = False


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable) -> _TensorHandle:
    """Call ``hook(tensor)`` each time a backward pass has added to the gradient of this leaf."""
    if self.stop_gradient:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if not self.is_leaf:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    handle = _TensorHandle()

    def accumulated(*_: Any) -> None:
        if handle.on:
            hook(self)

    self._register_backward_hook(accumulated)
    return handle


def _rebuilt(data: Tensor, requires_grad: bool) -> Tensor:
    return Parameter(data, requires_grad=requires_grad)


def _reduced_parameter(self: Tensor, protocol: Any) -> tuple:
    """A pickled parameter is one again."""
    return _rebuilt, (self.detach(), not self.stop_gradient)


added(Tensor, "register_post_accumulate_grad_hook", register_post_accumulate_grad_hook)
by_caller(
    Parameter, "__reduce_ex__", _reduced_parameter, "a parameter again, where Paddle's is not"
)
