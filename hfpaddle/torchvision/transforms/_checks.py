"""Arguments of the transforms, as the original accepts and refuses them."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from typing import Any

TWO_SIZES = "Please provide only two dimensions (h, w) for size."


def two_sizes(size: Any, message: str = TWO_SIZES) -> Any:
    """(height, width) of a number, of one in a sequence, or of two."""
    if isinstance(size, numbers.Number):
        return (int(size), int(size))
    if isinstance(size, Sequence) and len(size) == 1:
        return (size[0], size[0])
    if len(size) != 2:
        raise ValueError(message)
    return size


def sequence_of(value: Any, name: str, lengths: tuple[int, ...]) -> None:
    """Raise TypeError or ValueError unless ``value`` is a sequence of one of ``lengths``."""
    wanted = " or ".join(str(n) for n in lengths)
    if not isinstance(value, Sequence):
        raise TypeError(f"{name} should be a sequence of length {wanted}.")
    if len(value) not in lengths:
        raise ValueError(f"{name} should be a sequence of length {wanted}.")


def angles(value: Any, name: str, lengths: tuple[int, ...] = (2,)) -> list[float]:
    """[-value, value] of a number; two or four numbers as they are."""
    if isinstance(value, numbers.Number):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        value = [-value, value]
    else:
        sequence_of(value, name, lengths)
    return [float(v) for v in value]


def scale_and_ratio(scale: Any, ratio: Any) -> None:
    """Two sequences (low, high); the wrong order warns."""
    if not isinstance(scale, Sequence):
        raise TypeError("Scale should be a sequence")
    if not isinstance(ratio, Sequence):
        raise TypeError("Ratio should be a sequence")
    if scale[0] > scale[1] or ratio[0] > ratio[1]:
        warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=3)


def affine_ranges(translate: Any, scale: Any, center: Any) -> None:
    """Ranges of RandomAffine."""
    if translate is not None:
        sequence_of(translate, "translate", (2,))
        if not all(0.0 <= t <= 1.0 for t in translate):
            raise ValueError("translation values should be between 0 and 1")
    if scale is not None:
        sequence_of(scale, "scale", (2,))
        if any(s <= 0 for s in scale):
            raise ValueError("scale values should be positive")
    if center is not None:
        sequence_of(center, "center", (2,))


def jitter(
    value: Any,
    name: str,
    center: float = 1,
    bound: tuple[float, float] = (0, float("inf")),
    clip: bool = True,
) -> tuple[float, float] | None:
    """The range of a factor of ColorJitter, or None if it changes nothing."""
    if isinstance(value, numbers.Number):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be non negative.")
        low, high = center - float(value), center + float(value)
        low = max(low, 0.0) if clip else low
    elif isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        low, high = float(value[0]), float(value[1])
    else:
        raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
    if not bound[0] <= low <= high <= bound[1]:
        raise ValueError(f"{name} values should be between {bound}, but got {[low, high]}.")
    return None if low == high == center else (low, high)


def erasing(value: Any, scale: Any, ratio: Any, p: float) -> None:
    """Arguments of RandomErasing."""
    if not isinstance(value, (numbers.Number, str, tuple, list)):
        raise TypeError("Argument value should be either a number or str or a sequence")
    if isinstance(value, str) and value != "random":
        raise ValueError("If value is str, it should be 'random'")
    scale_and_ratio(scale, ratio)
    if scale[0] < 0 or scale[1] > 1:
        raise ValueError("Scale should be between 0 and 1")
    if p < 0 or p > 1:
        raise ValueError("Random erasing probability should be between 0 and 1")


def erasing_value(value: Any) -> list[float] | None:
    """One number, or one a channel; None for random ones."""
    if isinstance(value, str):
        return None
    return [float(value)] if isinstance(value, numbers.Number) else [float(v) for v in value]


def blur_sigma(sigma: Any) -> tuple[float, float]:
    """(low, high) of GaussianBlur."""
    if isinstance(sigma, numbers.Number):
        if sigma <= 0:
            raise ValueError("If sigma is a single number, it must be positive.")
        return (sigma, sigma)
    if isinstance(sigma, Sequence) and len(sigma) == 2:
        if not 0.0 < sigma[0] <= sigma[1]:
            raise ValueError("sigma values should be positive and of the form (min, max).")
        return sigma
    raise ValueError("sigma should be a single number or a list/tuple with length 2.")


def odd_sizes(kernel_size: Any) -> Any:
    """Two odd sizes of a kernel."""
    sizes = two_sizes(kernel_size, "Kernel size should be a tuple/list of two integers")
    if any(n <= 0 or n % 2 == 0 for n in sizes):
        raise ValueError("Kernel size value should be an odd and positive number.")
    return sizes


def two_floats(value: Any, name: str) -> list[float]:
    """[x, x] of a number or of one in a sequence; two numbers as they are."""
    if not isinstance(value, (int, float, Sequence)):
        raise TypeError(f"{name} should be a number or a sequence of numbers. Got {type(value)}")
    values = [value] if isinstance(value, (int, float)) else list(value)
    if len(values) not in (1, 2):
        raise ValueError(f"If {name} is a sequence its length should be 1 or 2. Got {len(values)}")
    return [float(values[0]), float(values[-1])]
