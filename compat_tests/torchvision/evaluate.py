"""Run the cases with one side: ``evaluate.py torchvision|hfpaddle OUT``.

OUT is a pickle: case -> list of leaves, each ("tensor" or "image" or "value", kind, array), or
("error", class name, message). The original lives in a folder of its own, so that transformers in
the same environment does not find it and choose other image processors.
"""

from __future__ import annotations

import pickle
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))


def original() -> SimpleNamespace:
    import torch

    folder = Path(sys.prefix) / "torchvision"
    if not folder.is_dir():
        sys.exit(f"{folder} is missing: `make environments` installs the original there")
    sys.path.insert(0, str(folder))
    try:
        torch.ops.load_library(folder / "torchvision" / "_C.so")
    except OSError:
        # Built for CUDA, and torch here is not. The transforms are Python and need none of the
        # operations; the package only wants these two to be declared.
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision
    from torchvision import datasets, tv_tensors, utils
    from torchvision.transforms import v2

    return SimpleNamespace(
        torch=torch,
        T=torchvision.transforms,
        F=torchvision.transforms.functional,
        v2=v2,
        F2=v2.functional,
        utils=utils,
        datasets=datasets,
        tv_tensors=tv_tensors,
    )


def ours() -> SimpleNamespace:
    from hfpaddle import torch
    from hfpaddle.torchvision import datasets, transforms, tv_tensors, utils
    from hfpaddle.torchvision.transforms import v2

    return SimpleNamespace(
        torch=torch,
        T=transforms,
        F=transforms.functional,
        v2=v2,
        F2=v2.functional,
        utils=utils,
        datasets=datasets,
        tv_tensors=tv_tensors,
    )


def leaves(value, tv) -> list[tuple]:
    from PIL import Image

    if isinstance(value, tv.torch.Tensor):
        kind = str(value.dtype).rpartition(".")[2]
        kind += " Image" if isinstance(value, tv.tv_tensors.Image) else ""
        return [("tensor", kind, np.array(value.detach().tolist()).reshape(tuple(value.shape)))]
    if isinstance(value, Image.Image):
        return [("image", value.mode, np.asarray(value))]
    if isinstance(value, dict):
        value = list(value.items())
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in leaves(item, tv)]
    return [("value", type(value).__name__, value)]


def main(side: str, out: str) -> None:
    tv = original() if side == "torchvision" else ours()
    import vision_cases

    results = {}
    for name, function in vision_cases.CASES.items():
        tv.torch.manual_seed(1234)
        random.seed(1234)
        try:
            results[name] = leaves(function(tv), tv)
        except Exception as error:
            kinds = [kind.__name__ for kind in type(error).__mro__]
            results[name] = [("error", kinds, str(error)[:300])]
    Path(out).write_bytes(pickle.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
