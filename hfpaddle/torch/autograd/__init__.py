"""Gradients: backward, grad, Function, and the switches that record them or not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import paddle
from paddle.autograd import PyLayer
from paddle.autograd.py_layer import PyLayerContext

from hfpaddle.torch._dtypes import category
from hfpaddle.torch._switch import added, by_caller, property_by_caller

Tensor = paddle.Tensor
_TWICE = (
    "Trying to backward through the graph a second time (or directly access saved tensors after "
    "they have already been freed). Saved intermediate values of the graph are freed when you call "
    ".backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the "
    "graph a second time or if you need to access saved tensors after calling backward."
)


class _GradMode:
    """A context, and a decorator with or without parentheses, in which recording is on or off."""

    mode = False

    def __new__(cls, function: Callable | None = None, *_args, **_kwargs):
        made = super().__new__(cls)
        return made(function) if callable(function) else made

    def __enter__(self) -> None:
        self._before = paddle.is_grad_enabled()
        paddle.base.framework._dygraph_tracer()._has_grad = self.mode

    def __exit__(self, *exc) -> None:
        paddle.base.framework._dygraph_tracer()._has_grad = self._before

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def inside(*args, **kwargs):
            with type(self).clone(self):
                return function(*args, **kwargs)

        return inside

    def clone(self) -> _GradMode:
        """A fresh context of the same mode, so that a decorated function may call itself."""
        made = object.__new__(type(self))
        made.mode = self.mode
        return made


class no_grad(_GradMode):
    """Do not record."""


class enable_grad(_GradMode):
    """Record."""

    mode = True


class inference_mode(_GradMode):
    """As ``no_grad``; ``inference_mode(False)`` leaves recording on."""

    def __init__(self, mode: Any = True):
        self.mode = mode is False


class set_grad_enabled(_GradMode):
    """Record or not: at once, and as a context until its end."""

    def __init__(self, mode: bool):
        self.mode = bool(mode)
        self._before = paddle.is_grad_enabled()
        paddle.base.framework._dygraph_tracer()._has_grad = self.mode

    def __enter__(self) -> None:
        paddle.base.framework._dygraph_tracer()._has_grad = self.mode


def is_grad_enabled() -> bool:
    """Whether gradients are recorded."""
    return paddle.is_grad_enabled()


def is_inference_mode_enabled() -> bool:
    """Inference mode is ``no_grad`` here."""
    return False


def _checked(function: Callable) -> Any:
    try:
        return function()
    except (SystemError, RuntimeError) as error:
        if "TensorWrapper" in str(error):
            raise RuntimeError(_TWICE) from error
        raise
    except ValueError as error:
        raise RuntimeError(str(error)) from error


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, inputs=None):
    """Add the gradients of ``tensors`` to the ``grad`` of every leaf."""
    many = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    grads = [grad_tensors] if isinstance(grad_tensors, Tensor) else grad_tensors
    for i, item in enumerate(many):
        if item.stop_gradient:
            raise RuntimeError(
                "element 0 of tensors does not require grad and does not have a grad_fn"
            )
        if item._numel() != 1 and (grads is None or grads[i] is None):
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
    if create_graph or inputs is not None:
        if inputs is None:
            raise RuntimeError(
                "backward(create_graph=True) needs inputs here. Use torch.autograd.grad."
            )
        _into_inputs(many, grads, retain_graph, create_graph, inputs)
        return
    keep = bool(retain_graph)
    _checked(lambda: paddle.autograd.backward(many, grads, keep))


def _into_inputs(many, grads, retain_graph, create_graph, inputs) -> None:
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    found = grad(many, inputs, grads, retain_graph, create_graph, allow_unused=True)
    for leaf, value in zip(inputs, found, strict=True):
        if value is not None:
            leaf.grad = value if leaf.grad is None else leaf.grad + value


def grad(
    outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, only_inputs=True,
    allow_unused=None, is_grads_batched=False, materialize_grads=False,
) -> tuple:  # fmt: skip
    """Gradients of ``outputs`` with respect to each of ``inputs``, which stay as they are."""
    if is_grads_batched:
        raise RuntimeError("autograd.grad(is_grads_batched=True) is not implemented. Loop.")
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if isinstance(grad_outputs, Tensor):
        grad_outputs = [grad_outputs]
    keep = create_graph if retain_graph is None else retain_graph
    unused = materialize_grads or bool(allow_unused)
    found = _checked(
        lambda: paddle.grad(outputs, inputs, grad_outputs, keep, create_graph, allow_unused=unused)
    )
    if materialize_grads:
        pairs = zip(found, inputs, strict=True)
        found = [paddle.zeros_like(x) if g is None else g for g, x in pairs]
    if not create_graph:
        for value in found:
            if value is not None:
                value.stop_gradient = True
    return tuple(found)


class Function(PyLayer):
    """A function with a backward of its own: static ``forward`` and ``backward``, then ``apply``.

    ``forward(ctx, *args)``, or ``forward(*args)`` with ``setup_context(ctx, inputs, output)``.
    """

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if "forward" in own:
            cls.forward = staticmethod(_forward(own["forward"].__func__, own.get("setup_context")))
        if "backward" in own:
            cls.backward = staticmethod(_backward(own["backward"].__func__))


def _forward(function: Callable, setup: Any) -> Callable:
    @functools.wraps(function)
    def forward(ctx, *args, **kwargs):
        tensors = [isinstance(a, Tensor) for a in args]
        ctx._tensor_arguments = tensors
        ctx.needs_input_grad = tuple(
            is_one and not a.stop_gradient for is_one, a in zip(tensors, args, strict=True)
        )
        if setup is None:
            return function(ctx, *args, **kwargs)
        output = function(*args, **kwargs)
        setup.__func__(ctx, args, output)
        return output

    return forward


def _backward(function: Callable) -> Callable:
    @functools.wraps(function)
    def backward(ctx, *grads):
        """Paddle expects a gradient for each tensor argument, torch one for each argument."""
        found = function(ctx, *grads)
        if not isinstance(found, tuple) or len(found) != len(ctx._tensor_arguments):
            return found
        kept = [g for g, is_one in zip(found, ctx._tensor_arguments, strict=True) if is_one]
        return kept[0] if len(kept) == 1 else tuple(kept)

    return backward


added(PyLayerContext, "saved_tensors", property(lambda self: tuple(self.saved_tensor())))

Variable = Tensor
NestedIOFunction = None


def variable_hook(*_: Any) -> None:
    """Nothing."""


def _backward_method(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
    backward([self], None if gradient is None else [gradient], retain_graph, create_graph, inputs)


def _grad_of(self: Tensor) -> Any:
    value = self.grad
    if value is not None and value.is_leaf:
        value.stop_gradient = True  # Paddle marks accumulated gradients as if they needed some
    return value


def _set_grad(self: Tensor, value: Any) -> None:
    if value is None:
        self.clear_gradient(False)
    else:
        self.grad = value


def _requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    _set_requires(self, requires_grad)
    return self


def _set_requires(self: Tensor, value: bool) -> None:
    if value and category(self.dtype) < 2:
        raise RuntimeError("only Tensors of floating point dtype can require gradients")
    if not value and not self.is_leaf:
        raise RuntimeError(
            "you can only change requires_grad flags of leaf variables. If you want to use a "
            "computed variable in a subgraph that doesn't require differentiation use var_no_grad "
            "= var.detach()."
        )
    self.stop_gradient = not value


def _retain_grad(self: Tensor) -> None:
    if self.stop_gradient:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if not self.is_leaf:
        self.retain_grads()


def _detach_(self: Tensor) -> Tensor:
    self.detach_()
    self.stop_gradient = True
    return self


_NOTE = "torch's arguments and errors"
by_caller(Tensor, "backward", _backward_method, _NOTE)
by_caller(Tensor, "requires_grad_", _requires_grad_, _NOTE)
by_caller(Tensor, "detach_", _detach_, _NOTE)
added(Tensor, "retain_grad", _retain_grad)
added(Tensor, "output_nr", 0)
property_by_caller(Tensor, "grad", _grad_of, _set_grad, "a gradient that needs none itself")
property_by_caller(
    Tensor, "grad_fn", lambda self: None if self.is_leaf else self.grad_fn, note="None for leaves"
)
property_by_caller(
    Tensor, "requires_grad", lambda self: not self.stop_gradient, _set_requires, "torch's checks"
)
