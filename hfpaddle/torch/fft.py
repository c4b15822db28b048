"""``torch.fft`` over ``paddle.fft``."""

from __future__ import annotations

from collections.abc import Callable

import paddle

_ONE = "fft ifft rfft irfft hfft ihfft".split()
_MANY = "fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn".split()


def _one(name: str) -> Callable:
    function = getattr(paddle.fft, name)

    def call(input, n=None, dim=-1, norm=None):
        return function(input, n, dim, norm or "backward")

    call.__name__ = name
    return call


def _many(name: str) -> Callable:
    function = getattr(paddle.fft, name)
    last_two = name.endswith("2")

    def call(input, s=None, dim=None, norm=None):
        dim = (-2, -1) if dim is None and last_two else dim
        return function(input, s, dim, norm or "backward")

    call.__name__ = name
    return call


globals().update({name: _one(name) for name in _ONE})
globals().update({name: _many(name) for name in _MANY})


def fftshift(input, dim=None):
    """Zero frequency to the middle."""
    return paddle.fft.fftshift(input, dim)


def ifftshift(input, dim=None):
    """Undo ``fftshift``."""
    return paddle.fft.ifftshift(input, dim)


def fftfreq(n, d=1.0, *, dtype=None, device=None):
    """Frequencies of ``fft``."""
    return paddle.fft.fftfreq(n, d, dtype)


def rfftfreq(n, d=1.0, *, dtype=None, device=None):
    """Frequencies of ``rfft``."""
    return paddle.fft.rfftfreq(n, d, dtype)
