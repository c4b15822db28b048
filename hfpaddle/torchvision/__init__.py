"""What scripts see as torchvision: transforms, image folders, grids, over Pillow and our tensors.

A subset: what training scripts use. The random transforms draw from the stream that
``torch.manual_seed`` of :mod:`hfpaddle.torch` seeds, in the original's order, so a seeded script
crops and flips as it does with the original. Models and detection ops are not here.
"""

from __future__ import annotations

from hfpaddle.torchvision import datasets, io, transforms, utils
from hfpaddle.torchvision._lazy import missing_names

__version__ = "0.28.0+hfpaddle"
__all__ = ["datasets", "get_image_backend", "io", "set_image_backend", "transforms", "utils"]


def set_image_backend(backend: str) -> None:
    """Images are loaded by Pillow; any other back end is refused."""
    if backend != "PIL":
        raise ValueError(f"Invalid backend '{backend}'. Options are 'PIL'")


def get_image_backend() -> str:
    """``"PIL"``."""
    return "PIL"


def disable_beta_transforms_warning() -> None:
    """Nothing to disable; scripts call it."""


__getattr__ = missing_names(
    __name__,
    globals(),
    {
        "models": "Use the models of transformers, such as ViT.",
        "ops": "Write the operation with torch's functions.",
    },
    ("tv_tensors",),
)
