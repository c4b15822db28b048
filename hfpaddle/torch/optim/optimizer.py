"""Base of the optimizers: groups, state, hooks, saving, as ``torch.optim.Optimizer``."""

from __future__ import annotations

import copy
import functools
import itertools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import paddle
from paddle import _C_ops

from hfpaddle.core.errors import MissingFeatureError
from hfpaddle.torch._dtypes import FLOATING, HALVES

Tensor = paddle.Tensor


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class _Handle:
    count = itertools.count()

    def __init__(self, hooks: dict[int, Callable], hook: Callable) -> None:
        self.hooks, self.id = hooks, next(self.count)
        hooks[self.id] = hook

    def remove(self) -> None:
        """Take the hook away."""
        self.hooks.pop(self.id, None)


def _with_hooks(step: Callable) -> Callable:
    """``step`` between the pre and post hooks of its optimizer."""

    @functools.wraps(step)
    def wrapper(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        for hook in self._optimizer_step_pre_hooks.values():
            changed = hook(self, args, kwargs)
            if changed is not None:
                args, kwargs = changed
        result = step(self, *args, **kwargs)
        for hook in self._optimizer_step_post_hooks.values():
            hook(self, args, kwargs)
        return result

    wrapper.hooked = True  # type: ignore[attr-defined]
    return wrapper


class Optimizer:
    """Keeps parameters in groups; a subclass says how one parameter is updated.

    Subclasses of this package write ``_update(param, grad, state, group)``; those of a script write
    ``step``, as with torch.
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or "
                f"dicts, but got {type(params).__name__}"
            )
        self.defaults = defaults
        self.state: defaultdict[Any, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._optimizer_step_pre_hooks: dict[int, Callable] = OrderedDict()
        self._optimizer_step_post_hooks: dict[int, Callable] = OrderedDict()
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(dict(group))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__ and not hasattr(cls.__dict__["step"], "hooked"):
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for number, group in enumerate(self.param_groups):
            text += f"\nParameter Group {number}\n"
            text += "".join(
                f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params"
            )
        return text + ")"

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; missing options come from the defaults.

        Raises: TypeError or ValueError for what is no parameter, or is one already.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError("optimizer parameters need to be organized in ordered collections")
        params = [params] if isinstance(params, Tensor) else list(params)
        if params and isinstance(params[0], tuple):
            param_group["param_names"] = [name for name, _ in params]
            params = [param for _, param in params]
        if self.param_groups and ("param_names" in param_group) != (
            "param_names" in self.param_groups[0]
        ):
            raise ValueError("all optimizer param groups should be with/without names.")
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is "
                                f"{type(param).__name__}")  # fmt: skip
            if not param.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    f"parameter group didn't specify a value of required optimization parameter "
                    f"{name}"
                )
            param_group.setdefault(name, default)
        own = {id(param) for param in params}
        if len(own) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters", stacklevel=3
            )
        if own & {id(p) for group in self.param_groups for p in group["params"]}:
            raise ValueError("some parameters appear in more than one parameter group")
        param_group["params"] = params
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to zero."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    param.clear_gradient(not set_to_none)

    # Step

    def step(self, closure: Callable | None = None) -> Any:
        """Update every parameter that has a gradient; returns what ``closure`` returns."""
        loss = None
        if closure is not None:
            with paddle.enable_grad():
                loss = closure()
        with paddle.no_grad():
            for group in self.param_groups:
                for param in group["params"]:
                    grad = param.grad
                    if grad is not None:
                        grad = paddle.neg(grad) if group.get("maximize") else grad
                        state = self.state[param]
                        self._update(param, grad, state, group)
                        if not state:  # a rule without state leaves no trace, as in torch
                            del self.state[param]
        return loss

    step = _with_hooks(step)

    def _update(self, param: Tensor, grad: Tensor, state: dict, group: dict) -> None:
        raise NotImplementedError

    def register_step_pre_hook(self, hook: Callable) -> _Handle:
        """Call ``hook(optimizer, args, kwargs)`` before each step."""
        return _Handle(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> _Handle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return _Handle(self._optimizer_step_post_hooks, hook)

    # Saving

    def state_dict(self) -> dict[str, Any]:
        """State by position of the parameter, and the groups with positions for parameters."""
        number: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            packed = {key: value for key, value in group.items() if key != "params"}
            for param in group["params"]:
                number.setdefault(id(param), len(number))
            packed["params"] = [number[id(param)] for param in group["params"]]
            groups.append(packed)
        state = {
            number[id(key)] if isinstance(key, Tensor) else key: value
            for key, value in self.state.items()
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what :meth:`state_dict` gave; floating state takes the dtype of its parameter.

        Raises: ValueError if the groups have other sizes.
        """
        saved = copy.copy(state_dict["param_groups"])
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        sizes = ([len(g["params"]) for g in groups] for groups in (self.param_groups, saved))
        if any(a != b for a, b in zip(*sizes, strict=True)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                "optimizer's group"
            )
        own = [param for group in self.param_groups for param in group["params"]]
        ids = [number for group in saved for number in group["params"]]
        params = dict(zip(ids, own, strict=True))
        self.state = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in params:
                self.state[params[key]] = _placed(value, params[key])
            else:
                self.state[key] = value
        for group, loaded in zip(self.param_groups, saved, strict=True):
            kept = {"params": group["params"]}
            if "param_names" in group:
                kept["param_names"] = group["param_names"]
            fresh = {k: copy.deepcopy(v) for k, v in loaded.items() if k not in kept}
            group.clear()
            group.update(fresh | kept)


def _placed(value: Any, param: Tensor, key: str | None = None) -> Any:
    """A copy of saved state on the parameter's device; ``step`` stays as it is."""
    if isinstance(value, Tensor):
        value = paddle.assign(value.detach())
        if key == "step":
            return value._copy_to(paddle.CPUPlace(), True)
        if value.dtype in FLOATING and param.dtype in FLOATING:
            value = value if value.dtype is param.dtype else paddle.cast(value, param.dtype)
        return value if value.place == param.place else value._copy_to(param.place, True)
    if isinstance(value, dict):
        return {k: _placed(v, param, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_placed(v, param) for v in value)
    return copy.deepcopy(value)


# What the update rules share


def check_range(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Raise ValueError in torch's words unless low <= value < high."""
    if not low <= value < high:
        raise ValueError(f"Invalid {name}: {value}")


def no_differentiable(differentiable: bool) -> None:
    """``differentiable=True`` changes numbers and is not implemented."""
    if differentiable:
        raise MissingFeatureError(
            "differentiable=True has no implementation here: a step is not recorded by autograd."
        )


def next_step(state: dict[str, Any]) -> int:
    """Count a step in ``state["step"]``, a float32 scalar on the CPU, and return it."""
    step = int(state["step"]) + 1
    state["step"] = paddle.full([], step, "float32") if paddle.device.get_device() == "cpu" else (
        paddle.to_tensor(float(step), dtype="float32", place=paddle.CPUPlace())
    )  # fmt: skip
    return step


def zeros_like(param: Tensor) -> Tensor:
    """State of the shape and dtype of ``param``."""
    return paddle.zeros_like(param.detach())


def wide(x: Tensor) -> Tensor:
    """Half types are updated in float32 and rounded when stored."""
    return paddle.cast(x, "float32") if x.dtype in HALVES else x


def store(target: Tensor, value: Tensor) -> None:
    """Write ``value`` into the memory of ``target``."""
    if value.dtype is not target.dtype:
        value = paddle.cast(value, target.dtype)
    _C_ops.assign_out_(value, target)


def lerp(start: Tensor, end: Tensor, weight: float) -> Tensor:
    """``start + weight * (end - start)`` in torch's two forms."""
    gap = paddle.subtract(end, start)
    return start + gap * weight if weight < 0.5 else end - gap * (1.0 - weight)


def decays(group: dict[str, Any], lr: float) -> tuple[float, float]:
    """What of the parameter goes into the gradient, and what of the parameter stays."""
    decay = float(group["weight_decay"])
    if group.get("decoupled_weight_decay", False):
        return 0.0, 1.0 - lr * decay
    return decay, 1.0
