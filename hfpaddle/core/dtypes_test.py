"""Every spelling of a dtype means the same."""

import numpy as np
import paddle
import pytest

from hfpaddle.core.dtypes import DTYPES, as_dtype, dtype_name, floating_dtype, is_dtype
from hfpaddle.core.errors import UnsupportedArgumentError

pytestmark = pytest.mark.unit


class Foreign:
    """As torch's dtypes print."""

    def __str__(self):
        return "torch.bfloat16"


SPELLINGS = {
    "float32": ["float32", "float", "fp32", "torch.float32", "paddle.float32", paddle.float32,
                np.float32, np.dtype("float32"), float],
    "bfloat16": ["bf16", "bfloat16", paddle.bfloat16, Foreign()],
    "float16": ["half", "fp16", np.float16, paddle.float16],
    "int64": ["long", "int64", np.int64, paddle.int64],
    "bool": ["bool", bool, np.bool_, paddle.bool],
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings(name):
    for spelling in SPELLINGS[name]:
        assert dtype_name(spelling) == name and as_dtype(spelling) == DTYPES[name]


def test_unknown():
    for value in ("float23", None, {}, "auto", 3):
        with pytest.raises(UnsupportedArgumentError, match="dtype"):
            as_dtype(value)
    with pytest.raises(UnsupportedArgumentError, match="nearest: 'float32'"):
        as_dtype("float33")


def test_weights_are_floating():
    assert floating_dtype("double") == paddle.float64
    for value in ("int8", paddle.bool, np.int64, "complex64"):
        with pytest.raises(UnsupportedArgumentError, match="no dtype for weights"):
            floating_dtype(value)


def test_dtype_or_device():
    assert all(map(is_dtype, ["float32", "half", paddle.int8, np.dtype("int8"), Foreign()]))
    assert not any(map(is_dtype, ["cpu", "cuda:0", 0, paddle.CPUPlace(), None]))
