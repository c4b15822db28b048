"""Random images, for trying a script out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hfpaddle import torch
from hfpaddle.torchvision.datasets.vision import VisionDataset
from hfpaddle.torchvision.transforms.functional import to_pil_image


class FakeData(VisionDataset):
    """``size`` random images; item i is drawn from the seed ``i + random_offset``."""

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, int, int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        random_offset: int = 0,
    ) -> None:
        super().__init__(transform=transform, target_transform=target_transform)
        self.size, self.image_size, self.num_classes = size, image_size, num_classes
        self.random_offset = random_offset

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if index >= len(self):
            raise IndexError(f"{type(self).__name__} index out of range")
        state = torch.get_rng_state()
        torch.default_generator.manual_seed(index + self.random_offset)
        noise = torch.randn(*self.image_size)
        target: Any = torch.randint(0, self.num_classes, (1,))[0]
        torch.set_rng_state(state)
        image = to_pil_image(noise)
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target.item()

    def __len__(self) -> int:
        return self.size
