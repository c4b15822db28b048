"""``torch.optim``: torch's update rules in float32 on Paddle's parameters."""

from __future__ import annotations

from typing import NoReturn

from hfpaddle.core.errors import nearest as _nearest
from hfpaddle.torch.optim import lr_scheduler
from hfpaddle.torch.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from hfpaddle.torch.optim.lbfgs import LBFGS
from hfpaddle.torch.optim.optimizer import Optimizer
from hfpaddle.torch.optim.others import ASGD, Adadelta, Rprop
from hfpaddle.torch.optim.sgd import SGD, Adafactor, Adagrad, RMSprop

__all__ = [
    "ASGD", "LBFGS", "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam",
    "Optimizer", "RAdam", "RMSprop", "Rprop", "lr_scheduler",
]  # fmt: skip


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"hfpaddle's torch.optim has no attribute {name!r}{_nearest(name, __all__)}"
    )
