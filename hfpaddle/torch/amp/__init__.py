"""``torch.amp``: autocast and loss scaling.

On the CPU, ``autocast`` computes in float32: Paddle's CPU kernels know neither float16 nor
bfloat16. Results are then those without autocast, more exact than torch's, and float32 comes out
where torch gives bfloat16. A log line says so once. On processors with AMX, linear layers round
what they multiply to bfloat16, and float32 comes out of them, too. On other devices it is Paddle's
autocast (O1).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import paddle
from paddle import _C_ops

from hfpaddle.core.logging import warn_once
from hfpaddle.ops.precision import gains_by_half_products, products
from hfpaddle.torch._dtypes import NAMES, as_dtype

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]

_dtypes: dict[str, Any] = {"cpu": paddle.bfloat16}
_enabled: list[tuple[str, Any]] = []  # the autocasts that the code is in


def _type(device_type: Any) -> str:
    return str(getattr(device_type, "type", device_type)).partition(":")[0]


def get_autocast_dtype(device_type: str) -> Any:
    """What ``autocast`` without a dtype computes in."""
    return _dtypes.get(_type(device_type), paddle.float16)


def set_autocast_dtype(device_type: str, dtype: Any) -> None:
    """Set it."""
    _dtypes[_type(device_type)] = as_dtype(dtype)


def is_autocast_available(device_type: str) -> bool:
    """Whether ``autocast`` takes this type of device."""
    return _type(device_type) in ("cpu", "cuda", "xpu", "npu")


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether the code is within an enabled autocast of this type of device."""
    innermost = dict(_enabled)
    return innermost.get("cuda" if device_type is None else _type(device_type), False)


class autocast:
    """A context or decorator in which matrix products run in ``dtype``.

    Raises: RuntimeError for an unknown device type or dtype.
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        if not is_autocast_available(device_type):
            raise RuntimeError(
                f"User specified an unsupported autocast device_type '{device_type}'"
            )
        self.device = _type(device_type)
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else as_dtype(dtype)
        half = self.fast_dtype in (paddle.float16, paddle.bfloat16)
        if enabled and not half and self.fast_dtype is not paddle.float32:
            raise RuntimeError(f"autocast: dtype {self.fast_dtype} is not supported.")
        self._enabled = enabled and half
        self._contexts: list[Any] = []

    def __enter__(self) -> autocast:
        context: Any = None
        on_cpu = paddle.get_device() == "cpu"
        if on_cpu and not self._enabled:
            context = products("float32")
        elif on_cpu and self.fast_dtype is paddle.bfloat16 and gains_by_half_products("cpu"):
            context = products("bfloat16")
        elif on_cpu:
            warn_once(
                "autocast has no effect on the CPU: Paddle has no float16 or bfloat16 kernels "
                "there, so everything is computed in float32."
            )
        elif self.device != "cpu":
            context = paddle.amp.auto_cast(self._enabled, level="O1", dtype=NAMES[self.fast_dtype])
        if context is not None:
            context.__enter__()
        self._contexts.append(context)
        _enabled.append((self.device, self._enabled))
        return self

    def __exit__(self, *exc: Any) -> None:
        _enabled.pop()
        context = self._contexts.pop()
        if context is not None:
            context.__exit__(*exc)

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return within


def custom_fwd(fwd: Callable | None = None, *, device_type: str = "cuda", cast_inputs: Any = None):
    """Decorator of ``Function.forward``; ``cast_inputs`` is honoured within autocast."""
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(*args: Any, **kwargs: Any) -> Any:
        if cast_inputs is None or not is_autocast_enabled(device_type):
            return fwd(*args, **kwargs)
        cast = [_cast(arg, as_dtype(cast_inputs)) for arg in args]
        with autocast(device_type, enabled=False):
            return fwd(*cast, **{key: _cast(v, as_dtype(cast_inputs)) for key, v in kwargs.items()})

    return forward


def _cast(value: Any, dtype: Any) -> Any:
    floating = isinstance(value, paddle.Tensor) and "float" in NAMES[value.dtype]
    return paddle.cast(value, dtype) if floating else value


def custom_bwd(bwd: Callable | None = None, *, device_type: str = "cuda") -> Any:
    """Decorator of ``Function.backward``."""
    return functools.partial(custom_bwd, device_type=device_type) if bwd is None else bwd


class GradScaler:
    """Scales the loss so that float16 gradients do not vanish, and skips steps that overflow."""

    def __init__(
        self, device: str = "cuda", init_scale: float = 2.0**16, growth_factor: float = 2.0,
        backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        if enabled and not growth_factor > 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if enabled and not backoff_factor < 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        no_cuda = _type(device) == "cuda" and not paddle.device.is_compiled_with_cuda()
        if enabled and no_cuda:
            warn_once("GradScaler is enabled, but CUDA is not available. Disabling.")
        self._enabled = enabled and not no_cuda
        self._scale, self._growth_tracker = float(init_scale), 0
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._found: dict[int, bool] = {}  # id of an optimizer -> whether it overflowed
        self._stepped: set[int] = set()

    def is_enabled(self) -> bool:
        """Whether it scales."""
        return self._enabled

    def get_scale(self) -> float:
        """The factor; 1 if disabled."""
        return self._scale if self._enabled else 1.0

    def scale(self, outputs: Any) -> Any:
        """A tensor, or nested tuples and lists of tensors, times the factor."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, paddle.Tensor):
            return outputs * self._scale
        return type(outputs)(self.scale(item) for item in outputs)

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients by the factor, to clip them before :meth:`step`.

        Raises: RuntimeError at the second call before an update.
        """
        if not self._enabled:
            return
        if id(optimizer) in self._found:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        found = False
        with paddle.no_grad():
            for group in optimizer.param_groups:
                for param in group["params"]:
                    grad = param.grad
                    if grad is None:
                        continue
                    value = paddle.cast(grad, "float32") / self._scale
                    found = found or not bool(paddle.all(paddle.isfinite(value)))
                    _C_ops.assign_out_(paddle.cast(value, grad.dtype), grad)
        self._found[id(optimizer)] = found

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step()`` unless a gradient is infinite or NaN."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        if id(optimizer) in self._stepped:
            raise RuntimeError("step() has already been called since the last update().")
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        self._stepped.add(id(optimizer))
        return None if self._found[id(optimizer)] else optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | None = None) -> None:
        """Shrink the factor after an overflow, grow it after ``growth_interval`` steps without."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._found:
            raise AssertionError("No inf checks were recorded prior to update.")
        elif any(self._found.values()):
            self._scale, self._growth_tracker = self._scale * self._backoff_factor, 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                self._scale, self._growth_tracker = self._scale * self._growth_factor, 0
        self._found.clear()
        self._stepped.clear()

    def state_dict(self) -> dict[str, Any]:
        """torch's names; empty if disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale, "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor, "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what :meth:`state_dict` gave."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled "
                "instance of GradScaler."
            )
        self._scale, self._growth_tracker = state_dict["scale"], state_dict["_growth_tracker"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
