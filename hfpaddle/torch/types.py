"""``torch.types``: names for annotations."""

from __future__ import annotations

import os
from typing import Any

import paddle

from hfpaddle.torch._create import Size as _Size
from hfpaddle.torch._device import device as _device

Number = int | float | bool
Device = _device | str | int | None
Tensor = paddle.Tensor
FileLike = str | os.PathLike | Any
_size = _Size | list | tuple
_int, _float, _bool, _dtype = int, float, bool, paddle.dtype
