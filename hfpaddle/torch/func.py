"""``torch.func``: calling a module with other parameters, and functions over a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hfpaddle.torch import autograd
from hfpaddle.torch._missing import missing
from hfpaddle.torch._shape import select, stack

vjp = missing("func.vjp", "Use torch.autograd.grad.")
jvp = missing("func.jvp", "Use torch.autograd.grad.")
jacrev = missing("func.jacrev", "Use torch.autograd.grad, one output at a time.")
jacfwd = missing("func.jacfwd", "Use torch.autograd.grad, one output at a time.")
hessian = missing("func.hessian", "Use torch.autograd.grad with create_graph=True.")


def functional_call(module, parameter_and_buffer_dicts, args=None, kwargs=None, **_) -> Any:
    """``module(*args, **kwargs)`` with the named tensors in place of its own."""
    dicts = parameter_and_buffer_dicts
    named = dict(dicts) if isinstance(dicts, dict) else {k: v for d in dicts for k, v in d.items()}
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    kept = []
    try:
        for name, value in named.items():
            path, _, last = name.rpartition(".")
            owner = module
            for part in path.split(".") if path else ():
                owner = getattr(owner, part)
            table = owner._parameters if last in owner._parameters else owner._buffers
            if last not in table:
                raise KeyError(f"functional_call: {name!r} is no parameter or buffer")
            kept.append((table, last, table[last]))
            table[last] = value
        return module(*args, **(kwargs or {}))
    finally:
        for table, last, value in reversed(kept):
            table[last] = value


def vmap(func: Callable, in_dims: Any = 0, out_dims: Any = 0, **_: Any) -> Callable:
    """``func`` over each index of a dimension, one call at a time."""

    def over_batch(*args: Any) -> Any:
        dims = in_dims if isinstance(in_dims, tuple) else (in_dims,) * len(args)
        sizes = {a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None}
        if len(sizes) != 1:
            raise ValueError(f"vmap: the mapped dimensions have sizes {sorted(sizes)}, not one.")
        found = []
        for i in range(sizes.pop()):
            parts = (a if d is None else select(a, d, i) for a, d in zip(args, dims, strict=True))
            found.append(func(*parts))
        if isinstance(found[0], tuple):
            outs = out_dims if isinstance(out_dims, tuple) else (out_dims,) * len(found[0])
            columns = zip(*found, strict=True)
            return tuple(stack(list(c), d) for c, d in zip(columns, outs, strict=True))
        return stack(found, out_dims)

    return over_batch


def grad(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """The gradient of a scalar function with respect to one argument or several."""
    return _gradient(func, argnums, has_aux, value=False)


def grad_and_value(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """``(gradient, value)``."""
    return _gradient(func, argnums, has_aux, value=True)


def _gradient(func: Callable, argnums: Any, has_aux: bool, value: bool) -> Callable:
    def call(*args: Any, **kwargs: Any) -> Any:
        which = argnums if isinstance(argnums, tuple) else (argnums,)
        inputs = list(args)
        for i in which:
            inputs[i] = inputs[i].detach()
            inputs[i].stop_gradient = False
        with autograd.enable_grad():
            out = func(*inputs, **kwargs)
            loss, aux = out if has_aux else (out, None)
            found = autograd.grad(loss, [inputs[i] for i in which])
        result: Any = found if isinstance(argnums, tuple) else found[0]
        if value:
            return (result, (loss.detach(), aux)) if has_aux else (result, loss.detach())
        return (result, aux) if has_aux else result

    return call
