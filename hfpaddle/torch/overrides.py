"""``torch.overrides``: no type overrides functions here."""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.torch._missing import missing

__emulated__ = True

handle_torch_function = missing("overrides.handle_torch_function", "Call the function itself.")


def has_torch_function(*_: Any) -> bool:
    """Never."""
    return False


has_torch_function_unary = has_torch_function_variadic = has_torch_function


def is_tensor_like(inp: Any) -> bool:
    """Whether it is a tensor."""
    return isinstance(inp, paddle.Tensor)


class TorchFunctionMode:
    """A mode cannot be entered: calls do not pass through one place here."""

    __enter__ = missing("overrides.TorchFunctionMode", "Wrap the functions that you call.")

    def __exit__(self, *exc: Any) -> None:
        """Nothing."""
