"""``torchvision.transforms.v2``: transforms of samples of any structure."""

from __future__ import annotations

from hfpaddle.torchvision._lazy import missing_names
from hfpaddle.torchvision.transforms.autoaugment import LACKING, AutoAugmentPolicy
from hfpaddle.torchvision.transforms.v2 import functional
from hfpaddle.torchvision.transforms.v2._auto import AutoAugment, RandAugment, TrivialAugmentWide
from hfpaddle.torchvision.transforms.v2._base import (
    Transform,
    check_type,
    has_all,
    has_any,
    query_chw,
    query_size,
)
from hfpaddle.torchvision.transforms.v2._geometry import (
    CenterCrop,
    ElasticTransform,
    FiveCrop,
    Pad,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomPerspective,
    RandomResize,
    RandomResizedCrop,
    RandomRotation,
    RandomShortestSize,
    RandomVerticalFlip,
    RandomZoomOut,
    Resize,
    ScaleJitter,
    TenCrop,
)
from hfpaddle.torchvision.transforms.v2._values import (
    RGB,
    ColorJitter,
    Compose,
    ConvertImageDtype,
    GaussianBlur,
    GaussianNoise,
    Grayscale,
    Identity,
    Lambda,
    LinearTransformation,
    Normalize,
    PILToTensor,
    RandomAdjustSharpness,
    RandomApply,
    RandomAutocontrast,
    RandomChannelPermutation,
    RandomChoice,
    RandomEqualize,
    RandomGrayscale,
    RandomInvert,
    RandomOrder,
    RandomPosterize,
    RandomSolarize,
    ToDtype,
    ToImage,
    ToPILImage,
    ToPureTensor,
    ToTensor,
)
from hfpaddle.torchvision.transforms.v2.functional import InterpolationMode

__all__ = [
    "AutoAugment", "AutoAugmentPolicy", "CenterCrop", "ColorJitter", "Compose",
    "ConvertImageDtype", "ElasticTransform", "FiveCrop", "GaussianBlur", "GaussianNoise",
    "Grayscale", "Identity", "InterpolationMode", "Lambda", "LinearTransformation", "Normalize",
    "PILToTensor", "Pad", "RGB", "RandAugment", "RandomAdjustSharpness", "RandomAffine",
    "RandomApply", "RandomAutocontrast", "RandomChannelPermutation", "RandomChoice", "RandomCrop",
    "RandomEqualize", "RandomErasing", "RandomGrayscale", "RandomHorizontalFlip", "RandomInvert",
    "RandomOrder", "RandomPerspective", "RandomPosterize", "RandomResize", "RandomResizedCrop",
    "RandomRotation", "RandomShortestSize", "RandomSolarize", "RandomVerticalFlip",
    "RandomZoomOut", "Resize", "ScaleJitter", "TenCrop", "ToDtype", "ToImage", "ToPILImage",
    "ToPureTensor", "ToTensor", "Transform", "TrivialAugmentWide", "check_type", "functional",
    "has_all", "has_any", "query_chw", "query_size",
]  # fmt: skip

_BOXES = "Boxes, masks, key points and videos are not transformed here."
_MIXED = "Mix a batch with its own labels in the collate function."
__getattr__ = missing_names(
    __name__,
    globals(),
    {
        **LACKING,
        **dict.fromkeys(("CutMix", "MixUp"), _MIXED),
        "JPEG": "Use torchvision.io.encode_jpeg and decode_jpeg.",
        "RandomPhotometricDistort": "Use ColorJitter.",
        **dict.fromkeys(
            (
                *("ClampBoundingBoxes", "ConvertBoundingBoxFormat", "RandomIoUCrop"),
                *("SanitizeBoundingBoxes", "SanitizeKeyPoints", "UniformTemporalSubsample"),
            ),
            _BOXES,
        ),
    },
)
