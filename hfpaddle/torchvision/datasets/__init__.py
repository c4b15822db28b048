"""``torchvision.datasets``: folders of images. Data sets to download are not here."""

from __future__ import annotations

from hfpaddle.torchvision._lazy import missing_names
from hfpaddle.torchvision.datasets.fakedata import FakeData
from hfpaddle.torchvision.datasets.folder import DatasetFolder, ImageFolder
from hfpaddle.torchvision.datasets.vision import VisionDataset

__all__ = ["DatasetFolder", "FakeData", "ImageFolder", "VisionDataset"]
_HUB = "Load it with datasets.load_dataset, or from a folder with ImageFolder."
_DOWNLOADED = (
    "CIFAR10 CIFAR100 Caltech101 Caltech256 CelebA Cityscapes CocoCaptions CocoDetection DTD "
    "EMNIST FGVCAircraft FashionMNIST Flickr30k Flickr8k Flowers102 Food101 GTSRB ImageNet "
    "INaturalist KMNIST LSUN MNIST OxfordIIITPet Places365 STL10 SVHN StanfordCars VOCDetection "
    "VOCSegmentation"
)
__getattr__ = missing_names(
    __name__, globals(), dict.fromkeys(_DOWNLOADED.split(), _HUB), ("fakedata", "folder", "vision")
)
