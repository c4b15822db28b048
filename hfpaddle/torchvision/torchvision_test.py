"""The torchvision surface where no torch is: numbers told by hand, gradients, refusals, files.

Equality with the original is under compat_tests/torchvision.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from hfpaddle import torch, torchvision
from hfpaddle.core.errors import MissingFeatureError
from hfpaddle.torchvision import datasets, io, tv_tensors, utils
from hfpaddle.torchvision import transforms as T
from hfpaddle.torchvision.transforms import functional as F
from hfpaddle.torchvision.transforms import v2

pytestmark = pytest.mark.unit


def ramp(height: int = 4, width: int = 6) -> Image.Image:
    """RGB, whose red counts the pixels."""
    array = np.zeros((height, width, 3), np.uint8)
    array[..., 0] = np.arange(height * width).reshape(height, width)
    array[..., 1] = 255
    return Image.fromarray(array)


def test_to_tensor_and_normalize():
    x = T.Compose([T.ToTensor(), T.Normalize([0.5] * 3, [0.25] * 3)])(ramp())
    assert x.shape == (3, 4, 6) and x.dtype == torch.float32
    assert x[1].unique().tolist() == [2.0] and x[2].unique().tolist() == [-2.0]
    assert x[0, 0, 5].item() == np.float32(np.float32(5) / np.float32(255) - np.float32(0.5)) * 4


def test_flips_and_crops_agree_between_pictures_and_tensors():
    x = F.pil_to_tensor(ramp())
    for change in (F.hflip, F.vflip, lambda i: F.crop(i, 1, 2, 2, 3), lambda i: F.pad(i, 2)):
        assert torch.equal(F.pil_to_tensor(change(ramp())), change(x))
    assert F.hflip(x)[0, 0].tolist() == [5, 4, 3, 2, 1, 0]
    assert F.crop(x, 1, 2, 2, 3)[0].tolist() == [[8, 9, 10], [14, 15, 16]]


def test_halving_averages_with_antialias():
    x = torch.tensor([[[0.0, 0, 8, 8], [0, 0, 8, 8], [8, 8, 8, 8], [8, 8, 8, 8]]])
    # The triangle of a halved image reaches one pixel further: weights 1/8, 3/8, 3/8, 1/8.
    small = F.resize(x, [2, 2])
    assert small[0, 1, 1].item() == pytest.approx(8 - 8 / 49, abs=1e-5)  # ends: 3/7, 3/7, 1/7
    assert F.resize(x, [2, 2], antialias=False)[0].tolist() == [[0, 8], [8, 8]]


def test_uint8_is_resized_in_integers_by_v2():
    x = torch.tensor([[[0, 255]]], dtype=torch.uint8)
    # Weights 1, 3/4, 1/4 and 0 of the second pixel; 63.75 and 191.25 round.
    assert v2.functional.resize(x, [1, 4])[0, 0].tolist() == [0, 64, 191, 255]


def test_seeded_transforms_repeat():
    changes = T.Compose([T.RandomResizedCrop(3), T.RandomHorizontalFlip(), T.ToTensor()])

    def run() -> list:
        torch.manual_seed(3)
        return [changes(ramp(9, 9)).tolist() for _ in range(5)]

    first = run()
    assert first == run()
    assert any(image != first[0] for image in first)


def test_gradients_flow_through_the_geometry_of_floats():
    x = torch.rand(1, 3, 8, 8).requires_grad_(True)
    y = F.normalize(F.hflip(F.resize(F.center_crop(F.pad(x, 1), 8), [4, 4])), [0.5], [0.5])
    y.sum().backward()
    assert x.grad.shape == x.shape and x.grad.abs().sum().item() > 0
    x.grad = None
    F.vflip(F.erase(x, 1, 2, 3, 4, torch.ones(1, 1, 1))).sum().backward()
    assert x.grad.sum().item() == x.numel() - 3 * 3 * 4, "nothing flows from what was erased"


def test_half_precision_images():
    x = torch.full((3, 2, 2), 0.75, dtype=torch.bfloat16)
    assert F.normalize(x, [0.5], [0.25]).dtype == torch.bfloat16
    assert F.normalize(x, [0.5], [0.25]).float().unique().tolist() == [1.0]
    # 191.999 rounds to 192 in bfloat16 before it is cut.
    assert F.convert_image_dtype(x, torch.uint8).tolist() == [[[192, 192]] * 2] * 3


def test_a_gradient_is_refused_where_it_would_be_lost():
    x = torch.rand(3, 8, 8).requires_grad_(True)
    with pytest.raises(MissingFeatureError, match="adjust_hue: no gradient flows"):
        F.adjust_hue(x, 0.1)
    with torch.no_grad():
        assert F.adjust_hue(x, 0.1).shape == (3, 8, 8)


def test_names_that_are_not_there():
    with pytest.raises(AttributeError, match=r"torchvision.transforms.*'Resise' \(nearest: 'Res"):
        T.Resise  # noqa: B018 - the access is what fails
    with pytest.raises(AttributeError, match="has no attribute 'nothing_like_it'"):
        torchvision.nothing_like_it  # noqa: B018
    for use in (
        lambda: T.AugMix(),
        lambda: v2.MixUp(num_classes=3),
        lambda: tv_tensors.BoundingBoxes([[1, 2, 3, 4]]),
        lambda: datasets.CIFAR10("somewhere"),
        lambda: torchvision.models.resnet18(),
        lambda: io.read_video("file"),
    ):
        with pytest.raises(MissingFeatureError, match="has no implementation in hfpaddle. [A-Z]"):
            use()


def test_image_mark():
    image = tv_tensors.Image(F.pil_to_tensor(ramp()))
    assert isinstance(image, tv_tensors.Image) and isinstance(image, torch.Tensor)
    assert isinstance(v2.RandomCrop(2)(image), tv_tensors.Image)
    assert not isinstance(image + 1, tv_tensors.Image)
    plain = torch.zeros(3, 4, 4)
    assert isinstance(v2.ToImage()(plain), tv_tensors.Image)
    assert not isinstance(plain, tv_tensors.Image), "the user's own tensor stays as it was"


def test_image_files(tmp_path):
    path = tmp_path / "ramp.png"
    ramp().save(path)
    x = io.read_image(str(path))
    assert x.dtype == torch.uint8 and torch.equal(x, F.pil_to_tensor(ramp()))
    assert io.read_image(path, io.ImageReadMode.GRAY).shape == (1, 4, 6)
    assert torch.equal(io.decode_image(io.read_file(path), "RGB"), x)
    io.write_png(x, tmp_path / "again.png")
    assert torch.equal(io.read_image(tmp_path / "again.png"), x)
    io.write_jpeg(x, tmp_path / "again.jpg", quality=95)
    assert io.read_image(tmp_path / "again.jpg").shape == x.shape
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="more than 8 bits"):
        io.read_image(tmp_path / "deep.png")


def test_grid_of_images(tmp_path):
    images = torch.ones(3, 1, 2, 2)
    grid = utils.make_grid(images, nrow=2, padding=1)
    assert grid.shape == (3, 7, 7) and grid.sum().item() == 3 * 3 * 4
    utils.save_image(images, tmp_path / "grid.png", nrow=2, padding=1)
    assert torch.equal(io.read_image(tmp_path / "grid.png"), (grid * 255).to(torch.uint8))


def test_image_folder_through_a_loader(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        ramp().save(tmp_path / name / "0.png")
    data = datasets.ImageFolder(tmp_path, T.ToTensor())
    images, labels = next(iter(torch.utils.data.DataLoader(data, batch_size=2)))
    assert images.shape == (2, 3, 4, 6) and labels.tolist() == [0, 1] and data.classes == ["a", "b"]


WITHOUT = """
import sys
sys.modules["torch"] = sys.modules["torchvision"] = None  # as if they were not installed
import hfpaddle.torchvision.transforms.v2, hfpaddle.torchvision.io
"""


def test_it_imports_neither_torch_nor_torchvision():
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


HOOKED = """
import hfpaddle
hfpaddle.install()
import torch, torchvision
import torchvision.transforms.functional as F
from torchvision import transforms
from torchvision.transforms import v2, InterpolationMode
from torchvision.transforms.v2 import functional as F2
assert torchvision.__name__ == "hfpaddle.torchvision", torchvision
assert F.InterpolationMode is InterpolationMode
torch.manual_seed(0)
out = transforms.RandomCrop(3)(torch.arange(25.0).reshape(1, 5, 5))
assert out.shape == (1, 3, 3), out
try:
    from torchvision.transforms import Resise
except ImportError:
    pass
else:
    raise SystemExit("a wrong name was imported")
import transformers
print(torchvision.__version__, transformers.__name__)
"""


def test_the_hook_gives_it_to_scripts(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(HOOKED)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [torchvision.__version__, "hfpaddle.transformers"]
