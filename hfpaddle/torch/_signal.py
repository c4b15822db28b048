"""Windows, short-time Fourier transforms, sparse tensors: names of the top module."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.torch._create import tensor
from hfpaddle.torch._dtypes import get_default_dtype

Tensor = paddle.Tensor


def _cosine(length: int, periodic: bool, dtype: Any, a: float, b: float, c: float = 0.0) -> Tensor:
    turns = np.arange(length) * (2 * np.pi / max(length - (not periodic), 1))
    window = a - b * np.cos(turns) + c * np.cos(2 * turns)
    window = np.ones(length) if length == 1 else window
    return tensor(window, dtype=dtype or get_default_dtype())


def hann_window(window_length, periodic=True, *, dtype=None, **_) -> Tensor:
    """Hann window."""
    return _cosine(window_length, periodic, dtype, 0.5, 0.5)


def hamming_window(window_length, periodic=True, alpha=0.54, beta=0.46, *, dtype=None, **_):
    """Hamming window."""
    return _cosine(window_length, periodic, dtype, alpha, beta)


def blackman_window(window_length, periodic=True, *, dtype=None, **_) -> Tensor:
    """Blackman window."""
    return _cosine(window_length, periodic, dtype, 0.42, 0.5, 0.08)


def stft(
    input, n_fft, hop_length=None, win_length=None, window=None, center=True, pad_mode="reflect",
    normalized=False, onesided=None, return_complex=None,
) -> Tensor:  # fmt: skip
    """Complex spectra of windows, ``[..., frequencies, frames]``."""
    if return_complex is False:
        raise UnsupportedArgumentError("stft(return_complex=False): use view_as_real(stft(...)).")
    onesided = True if onesided is None else onesided
    if window is None:
        window = paddle.ones([win_length or n_fft], input.dtype)
    return paddle.signal.stft(
        input, n_fft, hop_length or n_fft // 4, win_length, window, center, pad_mode, normalized,
        onesided,
    )  # fmt: skip


def istft(
    input, n_fft, hop_length=None, win_length=None, window=None, center=True, normalized=False,
    onesided=None, length=None, return_complex=False,
) -> Tensor:  # fmt: skip
    """The signal of ``stft``."""
    onesided = True if onesided is None else onesided
    if window is None:
        window = paddle.ones([win_length or n_fft], "float32")
    return paddle.signal.istft(
        input, n_fft, hop_length or n_fft // 4, win_length, window, center, normalized, onesided,
        length, return_complex,
    )  # fmt: skip


def sparse_coo_tensor(indices, values, size=None, *, dtype=None, device=None, **_) -> Tensor:
    """A sparse tensor of coordinates ``[ndim, N]`` and values; equal coordinates add up."""
    indices, values = (v if isinstance(v, Tensor) else tensor(v) for v in (indices, values))
    made = paddle.sparse.sparse_coo_tensor(indices, values, None if size is None else list(size))
    return made.coalesce()


def tril_indices(row, col, offset=0, *, dtype=None, device=None, **_) -> Tensor:
    """Coordinates of the lower triangle, ``[2, N]``."""
    return tensor(np.stack(np.tril_indices(row, offset, col)), dtype=dtype, device=device)


def triu_indices(row, col, offset=0, *, dtype=None, device=None, **_) -> Tensor:
    """Coordinates of the upper triangle, ``[2, N]``."""
    return tensor(np.stack(np.triu_indices(row, offset, col)), dtype=dtype, device=device)


def cartesian_prod(*tensors) -> Tensor:
    """All combinations of one item from each."""
    return paddle.cartesian_prod(list(tensors))


def combinations(input, r=2, with_replacement=False) -> Tensor:
    """Combinations of ``r`` items."""
    return paddle.combinations(input, r, with_replacement)


def block_diag(*tensors) -> Tensor:
    """Matrices along the diagonal."""
    return paddle.block_diag(list(tensors))


__all__ = [
    "blackman_window", "block_diag", "cartesian_prod", "combinations", "hamming_window",
    "hann_window", "istft", "sparse_coo_tensor", "stft", "tril_indices", "triu_indices",
]  # fmt: skip
