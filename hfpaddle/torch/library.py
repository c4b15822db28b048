"""``torch.library``: a custom op is the Python function that defines it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hfpaddle.torch._missing import decorator, missing

__emulated__ = True

Library = missing("library.Library", "Decorate the function with torch.library.custom_op.")
impl = register_kernel = missing("library.impl", "Call the function itself.")
triton_op = missing("library.triton_op", "Use hfpaddle.kernels for Triton kernels.")
opcheck = missing("library.opcheck", "Test the function itself.")
wrap_triton = decorator


class CustomOp:
    """The function, with the registrations that torch offers."""

    def __init__(self, name: str, function: Callable):
        self._qualname, self._function = name, function
        self.__name__, self.__doc__ = function.__name__, function.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def register_fake(self, function: Callable) -> Callable:
        """Nothing is traced, so no fake is needed."""
        return function

    register_autograd = missing("library.register_autograd", "Write a torch.autograd.Function.")

    def register_kernel(self, device_types: Any, function: Any = None) -> Any:
        """A kernel of its own cannot be chosen by device."""
        return missing("library.register_kernel", "Branch on x.device inside the function.")()


def custom_op(name: str, fn: Any = None, /, *, mutates_args: Any = (), **_: Any) -> Any:
    """The decorated function as a custom op."""
    return CustomOp(name, fn) if fn is not None else lambda function: CustomOp(name, function)


def register_fake(op: Any, func: Any = None, /, **_: Any) -> Any:
    """Nothing is traced, so no fake is needed."""
    return decorator if func is None else func
