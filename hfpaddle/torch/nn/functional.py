"""``torch.nn.functional``: torch's signatures and meaning over Paddle's kernels.

Half types are computed in float32 where the device has no kernel for them.
"""

from __future__ import annotations

from typing import NoReturn

from hfpaddle.core.errors import nearest
from hfpaddle.torch.nn._activation import *  # noqa: F403
from hfpaddle.torch.nn._activation import __all__ as _activations
from hfpaddle.torch.nn._attention import *  # noqa: F403
from hfpaddle.torch.nn._attention import __all__ as _attention
from hfpaddle.torch.nn._conv import *  # noqa: F403
from hfpaddle.torch.nn._conv import __all__ as _convolutions
from hfpaddle.torch.nn._loss import *  # noqa: F403
from hfpaddle.torch.nn._loss import __all__ as _losses
from hfpaddle.torch.nn._loss_more import *  # noqa: F403
from hfpaddle.torch.nn._loss_more import __all__ as _more_losses
from hfpaddle.torch.nn._norm import *  # noqa: F403
from hfpaddle.torch.nn._norm import __all__ as _norms
from hfpaddle.torch.nn._resample import *  # noqa: F403
from hfpaddle.torch.nn._resample import __all__ as _resampling

__all__ = [
    *_activations,
    *_attention,
    *_convolutions,
    *_losses,
    *_more_losses,
    *_norms,
    *_resampling,
]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"hfpaddle's torch.nn.functional has no attribute {name!r}{nearest(name, __all__)}"
    )
