"""Run a script on the original libraries: ``python original.py SCRIPT [ARGUMENTS]``.

Two things that a script could expect of its environment are added here, and nothing else is done.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import accelerate
import torch


def offer_torchvision() -> None:
    """Make torchvision importable from its own folder in this environment.

    Its wheel is built for CUDA, and this torch is not. The transforms are Python and need none of
    its operations; the package only wants these two to be declared.
    """
    sys.path.append(str(Path(sys.prefix) / "torchvision"))
    try:
        torch.ops.load_library(Path(sys.prefix) / "torchvision" / "torchvision" / "_C.so")
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        offer_torchvision.library = library  # the declarations end with the object


def offer_tpu() -> None:
    """Give run_clm_no_trainer.py the ``DistributedType.TPU`` that accelerate 1.x calls XLA."""
    if not hasattr(accelerate.DistributedType, "TPU"):
        accelerate.DistributedType.TPU = accelerate.DistributedType.XLA


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    offer_tpu()
    if "torchvision" in Path(sys.argv[0]).read_text():
        offer_torchvision()
    runpy.run_path(sys.argv[0], run_name="__main__")
