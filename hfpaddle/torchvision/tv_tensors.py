"""``torchvision.tv_tensors``: the tensors that transforms.v2 takes for images.

A tensor here is ``paddle.Tensor``, which is not subclassed: an Image is a tensor with a mark, that
``isinstance(x, tv_tensors.Image)`` sees and that the functions of transforms.v2 pass on. Every
other operation gives an unmarked tensor, as with the original.
"""

from __future__ import annotations

from typing import Any

import paddle

from hfpaddle.torch import as_tensor
from hfpaddle.torchvision._lazy import missing_names
from hfpaddle.torchvision._pillow import is_pil

_MARK = "_is_tv_image"
_REMEDY = "Transform the image alone, or move masks and boxes with your own code."


class _Marked(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return getattr(instance, _MARK, False) is True

    def __call__(
        cls, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool | None = None
    ) -> paddle.Tensor:
        if is_pil(data):
            from hfpaddle.torchvision.transforms.functional import pil_to_tensor

            data = pil_to_tensor(data)
        tensor = as_tensor(data, dtype=dtype, device=device)
        if tensor.ndim < 2:
            raise ValueError(f"Tensor must be 2D or higher, got {tensor.ndim}D tensor.")
        if tensor.ndim == 2:
            tensor = paddle.unsqueeze(tensor, 0)
        if requires_grad is not None:
            tensor = tensor.detach()
            tensor.stop_gradient = not requires_grad
        return marked(tensor)


class TVTensor(metaclass=_Marked):
    """Base of the kinds of tensors; images are the only kind here."""


class Image(TVTensor):
    """``Image(data)``: a tensor ``[..., C, H, W]`` of an image."""


def marked(tensor: paddle.Tensor) -> paddle.Tensor:
    """Another tensor of the same values that is an Image."""
    own = tensor.detach() if tensor.stop_gradient else paddle.assign(tensor)
    setattr(own, _MARK, True)
    return own


def pure(tensor: paddle.Tensor) -> paddle.Tensor:
    """Another tensor of the same values without the mark."""
    return tensor.detach() if tensor.stop_gradient else paddle.assign(tensor)


def wrap(wrappee: paddle.Tensor, *, like: Any, **_: Any) -> paddle.Tensor:
    """``wrappee`` as an Image if ``like`` is one."""
    return marked(wrappee) if isinstance(like, Image) else wrappee


__getattr__ = missing_names(
    __name__,
    globals(),
    dict.fromkeys(("BoundingBoxFormat", "BoundingBoxes", "KeyPoints", "Mask", "Video"), _REMEDY),
)
