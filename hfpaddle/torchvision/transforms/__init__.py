# ruff: noqa: F403 - this file is the table of torchvision.transforms' names
"""``torchvision.transforms``."""

from __future__ import annotations

from hfpaddle.torchvision._lazy import missing_names
from hfpaddle.torchvision.transforms import functional as functional
from hfpaddle.torchvision.transforms.autoaugment import *
from hfpaddle.torchvision.transforms.autoaugment import LACKING as _LACKING
from hfpaddle.torchvision.transforms.transforms import *

__getattr__ = missing_names(__name__, globals(), _LACKING, ("autoaugment", "transforms", "v2"))
