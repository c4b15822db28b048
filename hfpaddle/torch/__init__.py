# ruff: noqa: F401, F403 - this file is the table of torch's names
"""What scripts see as torch: torch's names and meanings over Paddle's tensors.

``Tensor`` is ``paddle.Tensor`` and ``float32`` is ``paddle.float32``. Importing this package
switches torch's methods on (``_switch``): ``uninstall_methods()`` puts Paddle's classes back. It is
small: what scripts use. A name that it lacks raises AttributeError with the nearest one.
"""

from __future__ import annotations

import importlib
import math as _math
from typing import Any

import paddle as _paddle

from hfpaddle.core.errors import nearest as _nearest
from hfpaddle.torch import _random, autograd
from hfpaddle.torch import _repr as _repr
from hfpaddle.torch import return_types as return_types
from hfpaddle.torch._convert import *
from hfpaddle.torch._create import *
from hfpaddle.torch._create import range_ as range
from hfpaddle.torch._device import device, get_default_device, set_default_device
from hfpaddle.torch._dtypes import ALIASES as _ALIASES
from hfpaddle.torch._dtypes import BY_NAME as _BY_NAME
from hfpaddle.torch._dtypes import (
    can_cast,
    dtype,
    finfo,
    get_default_dtype,
    iinfo,
    promote_types,
    set_default_dtype,
)
from hfpaddle.torch._index import *
from hfpaddle.torch._linalg import *
from hfpaddle.torch._more import *
from hfpaddle.torch._numpy_names import native_functions as _native_functions
from hfpaddle.torch._pointwise import *
from hfpaddle.torch._pointwise import FUNCTIONS as _FUNCTIONS
from hfpaddle.torch._promote import matmul, result_type
from hfpaddle.torch._random import *
from hfpaddle.torch._reduce import *
from hfpaddle.torch._repr import set_printoptions
from hfpaddle.torch._settings import *
from hfpaddle.torch._shape import *
from hfpaddle.torch._signal import *
from hfpaddle.torch._switch import install_methods, switched_methods, uninstall_methods
from hfpaddle.torch.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from hfpaddle.torch.serialization import load, save

Tensor = _paddle.Tensor
__version__ = "2.13.0+hfpaddle"
pi, e, inf, nan = _math.pi, _math.e, _math.inf, _math.nan
newaxis = None

globals().update(_FUNCTIONS)
globals().update(_native_functions(globals(), __name__))
globals().update(_BY_NAME)
globals().update({alias: _BY_NAME[name] for alias, name in _ALIASES.items()})


_ELSEWHERE = {"autocast": "amp", "vmap": "func"}
# Named alike in torch.nn.functional, with the same order of arguments.
_FUNCTIONAL = (
    "layer_norm group_norm rms_norm conv1d conv2d conv3d conv_transpose1d conv_transpose2d "
    "conv_transpose3d dropout pixel_shuffle pixel_unshuffle avg_pool1d max_pool1d max_pool2d "
    "prelu selu celu hardshrink threshold pairwise_distance"
).split()


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        return getattr(importlib.import_module(f"{__name__}.{_ELSEWHERE[name]}"), name)
    if name in _FUNCTIONAL:
        return getattr(importlib.import_module(f"{__name__}.nn.functional"), name)
    if name.endswith("_") and not name.startswith("_") and hasattr(Tensor, name):
        method = getattr(Tensor, name)  # torch.relu_(x) is x.relu_()
        return getattr(method, "__wrapped__", method)
    if not name.startswith("__"):
        try:
            return importlib.import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(
        f"module 'torch' (hfpaddle.torch) has no attribute {name!r}{_nearest(name, globals())}"
    )


importlib.import_module("hfpaddle.torch.nn")  # declares the methods of modules
install_methods()
