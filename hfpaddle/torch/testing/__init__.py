"""``torch.testing``: comparing tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle

from hfpaddle.torch._dtypes import NAMES

# (rtol, atol) as torch chooses them.
_TOLERANCES = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5),
               "float64": (1e-7, 1e-7), "complex64": (1.3e-6, 1e-5)}  # fmt: skip


def assert_close(
    actual: Any, expected: Any, *, rtol: float | None = None, atol: float | None = None,
    equal_nan: bool = False, check_dtype: bool = True, msg: Any = None, **_: Any,
) -> None:  # fmt: skip
    """Raise AssertionError where values, shapes or dtypes differ."""
    if isinstance(actual, (list, tuple)):
        assert len(actual) == len(expected), f"lengths differ: {len(actual)}, {len(expected)}"
        for one, other in zip(actual, expected, strict=True):
            assert_close(one, other, rtol=rtol, atol=atol, equal_nan=equal_nan, msg=msg)
        return
    pair = [paddle.to_tensor(v) if not isinstance(v, paddle.Tensor) else v
            for v in (actual, expected)]  # fmt: skip
    names = [NAMES[v.dtype] for v in pair]
    if check_dtype and names[0] != names[1]:
        raise AssertionError(f"The values for attribute 'dtype' do not match: {names}")
    found = [_TOLERANCES.get(name, (0.0, 0.0)) for name in names]
    rtol = max(f[0] for f in found) if rtol is None else rtol
    atol = max(f[1] for f in found) if atol is None else atol
    arrays = [np.asarray(paddle.cast(v.detach(), "float32") if "16" in n else v.detach())
              for v, n in zip(pair, names, strict=True)]  # fmt: skip
    assert arrays[0].shape == arrays[1].shape, f"shapes differ: {[a.shape for a in arrays]}"
    np.testing.assert_allclose(
        *arrays, rtol=rtol, atol=atol, equal_nan=equal_nan, err_msg=str(msg or "")
    )
