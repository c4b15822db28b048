"""What is compared: each case takes a side (``tv``) and returns images, tensors and values."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

warnings.simplefilter("ignore")
CASES: dict[str, Callable[[SimpleNamespace], Any]] = {}
HEIGHT, WIDTH = 37, 53


def case(name: str, function: Callable) -> None:
    assert name not in CASES, name
    CASES[name] = function


def array(channels: int = 3, seed: int = 0, height: int = HEIGHT, width: int = WIDTH):
    """uint8 ``[H, W, C]``: waves and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (5 + c) + y / (9 - c)) * 80 + 120 for c in range(channels)]
    noise = rng.integers(-40, 41, (height, width, channels))
    return np.clip(np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)


def picture(mode: str = "RGB", **options):
    if mode == "L":
        return Image.fromarray(array(1, **options)[:, :, 0])
    if mode == "RGBA":
        return Image.fromarray(array(4, **options), mode=None)
    return Image.fromarray(array(**options)).convert(mode)


def integers(tv, channels: int = 3, **options):
    return tv.torch.from_numpy(array(channels, **options).transpose(2, 0, 1).copy())


def floats(tv, channels: int = 3, **options):
    values = array(channels, **options).transpose(2, 0, 1) / np.float32(255)
    return tv.torch.from_numpy(np.ascontiguousarray(values, np.float32))


def batch(tv):
    return tv.torch.from_numpy(
        np.stack([array(seed=s).transpose(2, 0, 1) for s in range(2)]).astype(np.float32) / 255
    )


INPUTS: dict[str, Callable] = {
    "picture": lambda tv: picture(),
    "gray picture": lambda tv: picture("L"),
    "uint8": integers,
    "gray uint8": lambda tv: integers(tv, 1),
    "float32": floats,
    "batch": batch,
}


def for_inputs(name: str, function: Callable, inputs=tuple(INPUTS)) -> None:
    """One case an input; ``function`` takes the side and the image."""
    for kind in inputs:
        case(f"{name}, {kind}", lambda tv, kind=kind: function(tv, INPUTS[kind](tv)))


def both(name: str, function: Callable, inputs=tuple(INPUTS)) -> None:
    """Of both generations; ``function`` takes the functions of one and the image."""
    for_inputs(f"F.{name}", lambda tv, x: function(tv.F, x), inputs)
    for_inputs(f"v2.F.{name}", lambda tv, x: function(tv.F2, x), inputs)


def both_seeded(
    name: str, make: Callable, inputs=("picture", "uint8", "float32"), times: int = 6
) -> None:
    """A seeded sequence of a random class of both generations, and where the stream ends."""

    def run(tv, classes, x):
        transform = make(classes, tv)
        return [transform(x) for _ in range(times)], tv.torch.rand(2)

    for_inputs(f"T.{name}", lambda tv, x: run(tv, tv.T, x), inputs)
    for_inputs(f"v2.{name}", lambda tv, x: run(tv, tv.v2, x), inputs)


# Conversions


def _conversions() -> None:
    for mode in ("RGB", "L", "RGBA", "1", "I", "F", "P", "CMYK"):
        case(f"to_tensor {mode}", lambda tv, m=mode: tv.F.to_tensor(picture(m)))
        case(f"pil_to_tensor {mode}", lambda tv, m=mode: tv.F.pil_to_tensor(picture(m)))
    case("to_tensor array", lambda tv: tv.F.to_tensor(array()))
    case("to_tensor gray array", lambda tv: tv.F.to_tensor(array()[:, :, 0]))
    case("to_tensor float array", lambda tv: tv.F.to_tensor(array().astype(np.float64)))
    case("to_tensor wrong", lambda tv: tv.F.to_tensor([1, 2]))
    case("to_tensor 1d", lambda tv: tv.F.to_tensor(np.zeros(3)))
    case("to_tensor of a tensor", lambda tv: tv.F.to_tensor(floats(tv)))
    for kind in ("uint8", "gray uint8", "float32"):
        case(f"to_pil_image {kind}", lambda tv, k=kind: tv.F.to_pil_image(INPUTS[k](tv)))
    case("to_pil_image 4", lambda tv: tv.T.ToPILImage()(integers(tv, 4)))
    case("to_pil_image 2", lambda tv: tv.T.ToPILImage()(integers(tv, 2)))
    case("to_pil_image HSV", lambda tv: tv.F.to_pil_image(integers(tv), "HSV"))
    case("to_pil_image F", lambda tv: tv.F.to_pil_image(floats(tv, 1), "F"))
    case("to_pil_image int32", lambda tv: tv.F.to_pil_image(integers(tv, 1).to(tv.torch.int32)))
    case("to_pil_image array", lambda tv: tv.F.to_pil_image(array()))
    case("to_pil_image 5", lambda tv: tv.F.to_pil_image(integers(tv, 5)))
    case("to_pil_image mode", lambda tv: tv.F.to_pil_image(integers(tv), "L"))
    case("to_pil_image batch", lambda tv: tv.F.to_pil_image(batch(tv)))
    for name in ("uint8", "int16", "int32", "float32", "float64"):
        for kind in ("uint8", "float32"):

            def convert(tv, name=name, kind=kind):
                dtype, x = getattr(tv.torch, name), INPUTS[kind](tv)
                return tv.F.convert_image_dtype(x, dtype)

            def convert2(tv, name=name, kind=kind):
                dtype, x = getattr(tv.torch, name), INPUTS[kind](tv)
                return tv.F2.to_dtype(x, dtype, scale=True), tv.F2.to_dtype(x, dtype)

            case(f"convert {kind} to {name}", convert)
            case(f"to_dtype {kind} to {name}", convert2)
    case("convert back", lambda tv: tv.F.convert_image_dtype(
        tv.F.convert_image_dtype(integers(tv), tv.torch.int32), tv.torch.uint8))  # fmt: skip
    case("to_image", lambda tv: [tv.F2.to_image(x) for x in (picture(), array(), integers(tv))])
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    both("normalize", lambda f, x: f.normalize(x, mean, std))
    both("normalize by zero", lambda f, x: f.normalize(x, mean, [0.0, 1, 1]), ("float32",))
    both("normalize one", lambda f, x: f.normalize(x, [0.5], [0.5]), ("float32", "batch"))

    def inplace(tv):
        x = floats(tv)
        y = tv.F.normalize(x, mean, std, inplace=True)
        return x, y

    case("normalize in place", inplace)


# Sizes and cuts

SIZES: tuple[Any, ...] = (20, [20], [24, 31], (64, 48), [HEIGHT, WIDTH])


def _sizes() -> None:
    for size in SIZES:
        both(f"resize {size}", lambda f, x, s=size: f.resize(x, s))
    both("resize max_size", lambda f, x: f.resize(x, 24, max_size=30))
    both("resize max_size too small", lambda f, x: f.resize(x, 24, max_size=24), ("uint8",))
    both("resize max_size and two", lambda f, x: f.resize(x, [24, 25], max_size=30), ("uint8",))
    both("resize three", lambda f, x: f.resize(x, [1, 2, 3]), ("picture",))
    for number in (0, 1, 2, 3, 4, 5):
        both(f"resize {number}", lambda f, x, n=number: f.resize(x, [21, 30], n), ("picture",))
    modes = ("NEAREST", "NEAREST_EXACT", "BILINEAR", "BICUBIC")
    for mode in modes:
        for antialias in (True, False):

            def resize(f, x, mode=mode, antialias=antialias):
                kind = getattr(f.InterpolationMode, mode)
                return [f.resize(x, s, kind, antialias=antialias) for s in ([19, 30], [55, 71])]

            inputs = ("picture", "uint8", "float32", "batch")
            both(f"resize {mode} antialias={antialias}", resize, inputs)
    lanczos = ("picture", "uint8", "float32")
    for_inputs("v2.F.resize lanczos", lambda tv, x: tv.F2.resize(x, [19, 30], "lanczos"), lanczos)
    for_inputs("v2.F.resize None", lambda tv, x: tv.F2.resize(x, None, max_size=30), lanczos)
    both("resize hamming", lambda f, x: f.resize(x, 9, f.InterpolationMode.HAMMING), ("float32",))
    big = {"height": 150, "width": 211}
    case("F.resize large uint8", lambda tv: tv.F.resize(integers(tv, **big), [96, 100]))
    case("v2.F.resize large uint8", lambda tv: tv.F2.resize(integers(tv, **big), [96, 100]))
    case("F.resize large picture", lambda tv: tv.F.resize(picture(**big), 64))
    for size in (20, (30, 40), (60, 20), (20, 80), (80, 80), (38, 54)):
        both(f"center_crop {size}", lambda f, x, s=size: f.center_crop(x, s))
    for part in ((3, 5, 20, 30), (-4, -6, 20, 30), (30, 45, 20, 30)):
        both(f"crop {part}", lambda f, x, p=part: f.crop(x, *p))
    both("resized_crop", lambda f, x: f.resized_crop(x, 3, 5, 20, 30, [16, 17]))
    both("hflip", lambda f, x: f.hflip(x))
    both("vflip", lambda f, x: f.vflip(x))
    both("five_crop", lambda f, x: f.five_crop(x, 17))
    both("ten_crop", lambda f, x: f.ten_crop(x, (17, 20), vertical_flip=True))
    both("five_crop too large", lambda f, x: f.five_crop(x, 100), ("picture", "uint8"))
    for padding in (3, [3], [2, 5], [1, 2, 3, 4], [1, 2, 3]):
        both(f"pad {padding}", lambda f, x, p=padding: f.pad(x, p))
    both("pad cuts", lambda f, x: f.pad(x, [-3, 2, 4, -5]))
    both("pad 7", lambda f, x: f.pad(x, 2, fill=7))
    both("pad by colour", lambda f, x: f.pad(x, 2, fill=(1, 2, 3)))
    for mode in ("edge", "reflect", "symmetric", "other"):
        both(f"pad {mode}", lambda f, x, m=mode: f.pad(x, [2, 3, 4, 5], padding_mode=m))
    case("get_image_size", lambda tv: [tv.F.get_image_size(x(tv)) for x in INPUTS.values()])
    case("get_dimensions", lambda tv: [tv.F.get_dimensions(x(tv)) for x in INPUTS.values()])
    case("get_image_num_channels", lambda tv: tv.F.get_image_num_channels(batch(tv)))
    case("get_size", lambda tv: [tv.F2.get_size(x(tv)) for x in INPUTS.values()])
    case("F.erase", lambda tv: tv.F.erase(floats(tv), 3, 4, 5, 6, tv.torch.zeros(1, 1, 1)))
    case("v2.F.erase", lambda tv: tv.F2.erase(floats(tv), 3, 4, 5, 6, tv.torch.ones(3, 5, 6)))


# Colours


def _colours() -> None:
    for what in ("brightness", "contrast", "saturation", "sharpness"):
        for factor in (0.0, 0.4, 1.0, 1.7):

            def adjust(f, x, what=what, factor=factor):
                return getattr(f, f"adjust_{what}")(x, factor)

            both(f"adjust_{what} {factor}", adjust)
        both(f"adjust_{what} -1", lambda f, x, w=what: getattr(f, f"adjust_{w}")(x, -1.0),
             ("uint8",))  # fmt: skip
    for factor in (-0.5, -0.13, 0.0, 0.3, 0.7):
        both(f"adjust_hue {factor}", lambda f, x, v=factor: f.adjust_hue(x, v))
    both("adjust_gamma", lambda f, x: [f.adjust_gamma(x, 0.5), f.adjust_gamma(x, 2.2, 1.3)])
    for channels in (1, 3):
        both(f"rgb_to_grayscale {channels}", lambda f, x, c=channels: f.rgb_to_grayscale(x, c))
    both("rgb_to_grayscale 2", lambda f, x: f.rgb_to_grayscale(x, 2), ("uint8", "picture"))
    case("to_grayscale", lambda tv: tv.F.to_grayscale(picture(), 3))
    case("to_grayscale tensor", lambda tv: tv.F.to_grayscale(integers(tv)))
    both("invert", lambda f, x: f.invert(x))
    both("posterize", lambda f, x: [f.posterize(x, bits) for bits in (1, 4, 8)])
    both("solarize", lambda f, x: f.solarize(x, 0.4), ("float32", "batch"))
    both("solarize 100", lambda f, x: f.solarize(x, 100), ("picture", "uint8", "float32"))
    both("autocontrast", lambda f, x: f.autocontrast(x))
    both("equalize", lambda f, x: f.equalize(x))
    for channels in (1, 3):
        case(f"v2.F.grayscale_to_rgb {channels}",
             lambda tv, c=channels: tv.F2.grayscale_to_rgb(integers(tv, c)))  # fmt: skip
    for_inputs("v2.F.permute_channels", lambda tv, x: tv.F2.permute_channels(x, [2, 0, 1]),
               ("picture", "uint8", "float32"))  # fmt: skip


# Warps


def _warps() -> None:
    some = ("picture", "gray picture", "uint8", "float32", "batch")
    for angle in (0, 30, 90, 180, -270, 41.5):
        both(f"rotate {angle}", lambda f, x, a=angle: f.rotate(x, a), some)
        both(f"rotate {angle} bilinear expand", lambda f, x, a=angle: f.rotate(
            x, a, f.InterpolationMode.BILINEAR, expand=True), some)  # fmt: skip
    both("rotate about", lambda f, x: f.rotate(x, 30, center=[5, 9], fill=[9.0]), some)
    both("rotate bicubic", lambda f, x: f.rotate(x, 30, f.InterpolationMode.BICUBIC), some)
    both("rotate by text", lambda f, x: f.rotate(x, "30"), ("picture",))
    args = ((20.0, [3, 4], 1.2, [10.0, 5.0]), (-70, (0, 0), 0.7, 0.0), (0, [-9, 2], 1.0, [4.0]))
    for i, arg in enumerate(args):
        both(f"affine {i}", lambda f, x, a=arg: f.affine(x, *a), some)
        both(f"affine {i} bilinear", lambda f, x, a=arg: f.affine(
            x, *a, interpolation=f.InterpolationMode.BILINEAR, fill=[3.0], center=[9, 9]),
            some)  # fmt: skip
    start = [[0, 0], [52, 0], [52, 36], [0, 36]]
    end = [[3, 2], [48, 5], [50, 30], [6, 33]]
    both("perspective", lambda f, x: f.perspective(x, start, end), some)
    both("perspective nearest", lambda f, x: f.perspective(
        x, start, end, f.InterpolationMode.NEAREST, fill=[1.0]), some)  # fmt: skip
    both("gaussian_blur", lambda f, x: f.gaussian_blur(x, 5), some)
    both("gaussian_blur 2", lambda f, x: f.gaussian_blur(x, [3, 7], [0.8, 2.0]), some)
    both("gaussian_blur even", lambda f, x: f.gaussian_blur(x, 4), ("uint8",))


# Seeded classes


def _seeded() -> None:
    both_seeded("RandomHorizontalFlip", lambda t, tv: t.RandomHorizontalFlip())
    both_seeded("RandomHorizontalFlip 0.1", lambda t, tv: t.RandomHorizontalFlip(0.1), times=40)
    both_seeded("RandomVerticalFlip", lambda t, tv: t.RandomVerticalFlip(0.3))
    both_seeded("RandomCrop", lambda t, tv: t.RandomCrop(20))
    both_seeded("RandomCrop pads", lambda t, tv: t.RandomCrop((37, 50), padding=[1, 2, 3, 4]))
    both_seeded("RandomCrop same", lambda t, tv: t.RandomCrop((37, 53)))
    both_seeded("RandomCrop one side", lambda t, tv: t.RandomCrop((37, 20)))
    both_seeded("RandomCrop if needed", lambda t, tv: t.RandomCrop(
        60, pad_if_needed=True, fill=5, padding_mode="constant"))  # fmt: skip
    both_seeded("RandomCrop too large", lambda t, tv: t.RandomCrop(60))
    both_seeded("RandomResizedCrop", lambda t, tv: t.RandomResizedCrop(16))
    both_seeded("RandomResizedCrop shape", lambda t, tv: t.RandomResizedCrop(
        (8, 12), scale=(0.5, 2.0), ratio=(0.3, 5.0), interpolation=3))  # fmt: skip
    both_seeded("RandomResizedCrop falls back", lambda t, tv: t.RandomResizedCrop(
        8, scale=(3.0, 4.0), ratio=(2.0, 2.5)))  # fmt: skip
    both_seeded("ColorJitter", lambda t, tv: t.ColorJitter(0.4, 0.3, (0.5, 1.5), 0.2))
    both_seeded("ColorJitter hue", lambda t, tv: t.ColorJitter(hue=(-0.1, 0.4)))
    both_seeded("RandomGrayscale", lambda t, tv: t.RandomGrayscale(0.5))
    both_seeded("RandomRotation", lambda t, tv: t.RandomRotation(30))
    both_seeded("RandomRotation bilinear", lambda t, tv: t.RandomRotation(
        (10, 70), t.InterpolationMode.BILINEAR, expand=True, fill=3))  # fmt: skip
    both_seeded("RandomAffine", lambda t, tv: t.RandomAffine(
        15, (0.1, 0.2), (0.8, 1.2), 10, t.InterpolationMode.BILINEAR))  # fmt: skip
    both_seeded("RandomAffine 4", lambda t, tv: t.RandomAffine(
        0, shear=(-5, 5, -9, 9), interpolation=t.InterpolationMode.BILINEAR))  # fmt: skip
    both_seeded("RandomPerspective", lambda t, tv: t.RandomPerspective(0.4, 0.7))
    both_seeded("GaussianBlur", lambda t, tv: t.GaussianBlur((3, 5)))
    both_seeded("ElasticTransform", lambda t, tv: t.ElasticTransform(20.0, 2.0), times=2)
    tensors = ("uint8", "float32")
    both_seeded("RandomErasing", lambda t, tv: t.RandomErasing(0.7), tensors)
    both_seeded(
        "RandomErasing values", lambda t, tv: t.RandomErasing(1.0, value=(1, 2, 3)), tensors
    )
    both_seeded("RandomErasing noise", lambda t, tv: t.RandomErasing(
        1.0, (0.1, 0.9), (0.2, 5.0), "random"), ("float32",))  # fmt: skip
    for name in ("Invert", "Autocontrast", "Equalize"):
        inputs = ("picture", "uint8")
        both_seeded(f"Random{name}", lambda t, tv, n=name: getattr(t, f"Random{n}")(), inputs)
    both_seeded("RandomPosterize", lambda t, tv: t.RandomPosterize(3), ("picture", "uint8"))
    both_seeded("RandomSolarize", lambda t, tv: t.RandomSolarize(99), ("picture", "uint8"))
    both_seeded("RandomAdjustSharpness", lambda t, tv: t.RandomAdjustSharpness(2.0))
    both_seeded("RandomApply", lambda t, tv: t.RandomApply([t.RandomCrop(20), t.Pad(3)], 0.6))
    both_seeded("RandomChoice", lambda t, tv: t.RandomChoice([t.RandomCrop(9), t.Pad(3)], [1, 2]))
    both_seeded("RandomOrder", lambda t, tv: t.RandomOrder(
        [t.RandomCrop(20), t.Pad(3), t.RandomHorizontalFlip()]))  # fmt: skip
    augmented = ("picture", "uint8")
    both_seeded("RandAugment", lambda t, tv: t.RandAugment(), augmented, times=30)
    both_seeded("RandAugment filled", lambda t, tv: t.RandAugment(
        3, 12, 20, t.InterpolationMode.BILINEAR, [1, 2, 3]), augmented, times=20)  # fmt: skip
    both_seeded("TrivialAugmentWide", lambda t, tv: t.TrivialAugmentWide(), augmented, times=40)
    for policy in ("IMAGENET", "CIFAR10", "SVHN"):
        both_seeded(f"AutoAugment {policy}", lambda t, tv, p=policy: t.AutoAugment(
            getattr(t.AutoAugmentPolicy, p)), augmented, times=40)  # fmt: skip
    pipeline = ("picture",)
    both_seeded("training pipeline", lambda t, tv: t.Compose([
        t.RandomResizedCrop(24), t.RandomHorizontalFlip(), t.ColorJitter(0.4, 0.4, 0.4, 0.1),
        t.RandomGrayscale(0.2), t.ToTensor(), t.Normalize([0.5] * 3, [0.2] * 3),
        t.RandomErasing(0.5)]), pipeline, times=20)  # fmt: skip
    both_seeded("evaluation pipeline", lambda t, tv: t.Compose([
        t.Resize(28), t.CenterCrop(24), t.ToTensor(), t.Lambda(lambda x: x * 2 - 1)]),
        pipeline, times=1)  # fmt: skip
    for_inputs("v2 tensors pipeline", lambda tv, x: [tv.v2.Compose([
        tv.v2.ToImage(), tv.v2.RandomResizedCrop((24, 24), antialias=True),
        tv.v2.RandomHorizontalFlip(), tv.v2.ToDtype(tv.torch.float32, scale=True),
        tv.v2.Normalize([0.5] * 3, [0.2] * 3)])(x) for _ in range(6)],
        ("picture", "uint8", "float32"))  # fmt: skip


# Samples, grids, folders


def _samples() -> None:
    def structured(tv):
        sample = {"label": tv.torch.tensor([3]), "image": tv.tv_tensors.Image(integers(tv)), "n": 2}
        out = tv.v2.Compose([tv.v2.RandomCrop(9), tv.v2.ToDtype(tv.torch.float32, True)])(sample)
        return out, tv.v2.ToPureTensor()(out)

    case("v2 sample with an Image", structured)
    case("v2 sample of pure tensors", lambda tv: tv.v2.CenterCrop(5)(
        (integers(tv), tv.torch.zeros(9, 9), "name")))  # fmt: skip
    case("v2 sample with a picture", lambda tv: tv.v2.Resize(9)(picture(), tv.torch.zeros(9, 9)))
    case("v2 dtype by kind", lambda tv: tv.v2.ToDtype(
        {tv.tv_tensors.Image: tv.torch.float32, "others": None}, scale=True)(
        {"image": tv.tv_tensors.Image(integers(tv)), "x": tv.torch.ones(2)}))  # fmt: skip
    case("v2 unmarked after arithmetic", lambda tv: tv.tv_tensors.Image(integers(tv)) + 1)
    case("v2 noise", lambda tv: [tv.v2.GaussianNoise(0.1, 0.2)(x) for x in
                                 (integers(tv), floats(tv))])  # fmt: skip
    both_shapes = ("uint8", "float32", "picture")
    for_inputs("v2.RandomZoomOut", lambda tv, x: tv.v2.RandomZoomOut(3, p=1.0)(x), both_shapes)
    for_inputs("v2.ScaleJitter", lambda tv, x: tv.v2.ScaleJitter((30, 40))(x), both_shapes)
    for_inputs("v2.RandomShortestSize", lambda tv, x: tv.v2.RandomShortestSize([9, 20, 30], 40)(x),
               both_shapes)  # fmt: skip
    for_inputs("v2.RandomResize", lambda tv, x: tv.v2.RandomResize(9, 30)(x), both_shapes)
    for_inputs("v2.RandomChannelPermutation", lambda tv, x: tv.v2.RandomChannelPermutation()(x),
               both_shapes)  # fmt: skip
    for_inputs("v2.RGB", lambda tv, x: tv.v2.RGB()(x), ("gray uint8", "gray picture"))

    def own(tv):
        class Darker(tv.v2.Transform):
            def make_params(self, flat_inputs):
                return {"by": len(flat_inputs)}

            def transform(self, inpt, params):
                return inpt // (1 + params["by"])

        return Darker()((integers(tv), tv.torch.ones(3)))

    case("v2 transform of the user's", own)
    make_grid = ({}, {"nrow": 2, "padding": 1, "pad_value": 0.5}, {"normalize": True},
                 {"normalize": True, "value_range": (0.2, 0.7)},
                 {"normalize": True, "scale_each": True})  # fmt: skip
    for options in make_grid:
        case(f"make_grid {options}", lambda tv, o=options: tv.utils.make_grid(
            tv.torch.cat([batch(tv), batch(tv)[:1] * 0.5]), **o))  # fmt: skip
    case("make_grid list", lambda tv: tv.utils.make_grid([floats(tv, 1), floats(tv, 1, seed=2)]))
    case("make_grid one", lambda tv: tv.utils.make_grid(floats(tv, 1)))
    case("make_grid uint8", lambda tv: tv.utils.make_grid([integers(tv), integers(tv)]))
    case("make_grid wrong", lambda tv: tv.utils.make_grid(3))

    def saved(tv):
        with tempfile.TemporaryDirectory() as folder:
            tv.utils.save_image(batch(tv), f"{folder}/grid.png", nrow=1)
            with Image.open(f"{folder}/grid.png") as image:
                return image.copy()

    case("save_image", saved)

    def folder(tv):
        with tempfile.TemporaryDirectory() as root:
            for i, name in enumerate(("dog/b.png", "dog/x/a.PNG", "cat/c.png", "cat/note.txt")):
                Path(root, name).parent.mkdir(parents=True, exist_ok=True)
                picture(seed=i).save(Path(root, name), "PNG")
            data = tv.datasets.ImageFolder(root, tv.T.Compose([tv.T.Resize(9), tv.T.ToTensor()]))
            shown = repr(data).replace(root, "ROOT").split("\n")
            names = [Path(path).name for path, _ in data.imgs]
            return data.classes, data.class_to_idx, data.targets, names, list(data), shown

    case("ImageFolder", folder)

    def loaded(tv, workers):
        change = tv.T.Compose(
            [tv.T.RandomCrop(6), tv.T.RandomHorizontalFlip(), tv.T.RandAugment(), tv.T.ToTensor()]
        )
        data = tv.datasets.FakeData(9, (3, 8, 9), 5, transform=change)
        loader = tv.torch.utils.data.DataLoader(data, 2, shuffle=True, num_workers=workers)
        return [list(loader), list(loader)]

    for workers in (0, 2):
        case(f"DataLoader with {workers} workers", lambda tv, n=workers: loaded(tv, n))

    def empty(tv):
        with tempfile.TemporaryDirectory() as root:
            Path(root, "dog").mkdir()
            return tv.datasets.ImageFolder(root)

    case("ImageFolder without files", empty)

    def missing(tv):
        with tempfile.TemporaryDirectory() as root:
            return tv.datasets.ImageFolder(root)

    case("ImageFolder without classes", missing)
    case("FakeData", lambda tv: [tv.datasets.FakeData(3, (3, 8, 9), 5)[i] for i in range(3)])


REPRS: dict[str, Callable] = {
    "Compose": lambda t: t.Compose([t.Resize(3), t.ToPILImage()]),
    "Resize": lambda t: t.Resize((3, 4), t.InterpolationMode.BICUBIC),
    "CenterCrop": lambda t: t.CenterCrop(3),
    "Pad": lambda t: t.Pad([1, 2]),
    "RandomCrop": lambda t: t.RandomCrop(3, padding=2),
    "RandomResizedCrop": lambda t: t.RandomResizedCrop(3),
    "RandomHorizontalFlip": lambda t: t.RandomHorizontalFlip(0.2),
    "Normalize": lambda t: t.Normalize([0.5], [0.5]),
    "Grayscale": lambda t: t.Grayscale(3),
    "ColorJitter": lambda t: t.ColorJitter(0.1, 0.2),
    "RandomRotation": lambda t: t.RandomRotation(3),
    "RandomAffine": lambda t: t.RandomAffine(3, scale=(1, 2)),
    "RandomErasing": lambda t: t.RandomErasing(),
    "GaussianBlur": lambda t: t.GaussianBlur(3),
    "RandomApply": lambda t: t.RandomApply([t.Pad(1)]),
    "RandomChoice": lambda t: t.RandomChoice([t.Pad(1)]),
    "RandomPosterize": lambda t: t.RandomPosterize(2),
    "RandAugment": lambda t: t.RandAugment(),
    "ToTensor": lambda t: t.ToTensor(),
}
WRONG: dict[str, Callable] = {
    "Resize text": lambda t: t.Resize("a"),
    "Resize three": lambda t: t.Resize([1, 2, 3]),
    "CenterCrop three": lambda t: t.CenterCrop([1, 2, 3]),
    "Pad three": lambda t: t.Pad([1, 2, 3]),
    "Pad mode": lambda t: t.Pad(1, padding_mode="x"),
    "RandomRotation negative": lambda t: t.RandomRotation(-3),
    "RandomRotation one": lambda t: t.RandomRotation([3]),
    "RandomAffine translate": lambda t: t.RandomAffine(3, translate=(2, 2)),
    "RandomAffine scale": lambda t: t.RandomAffine(3, scale=(-2, 2)),
    "ColorJitter negative": lambda t: t.ColorJitter(-1),
    "ColorJitter hue": lambda t: t.ColorJitter(hue=0.9),
    "ColorJitter text": lambda t: t.ColorJitter("a"),
    "RandomErasing value": lambda t: t.RandomErasing(value="x"),
    "RandomErasing scale": lambda t: t.RandomErasing(scale=(0.1, 2)),
    "RandomErasing p": lambda t: t.RandomErasing(p=2),
    "GaussianBlur even": lambda t: t.GaussianBlur(4),
    "GaussianBlur sigma": lambda t: t.GaussianBlur(3, -1),
    "RandomResizedCrop scale": lambda t: t.RandomResizedCrop(3, scale=3),
    "RandomChoice one": lambda t: t.RandomChoice(3),
    "Lambda": lambda t: t.Lambda(3)(1),
}


def _words() -> None:
    for name, make in REPRS.items():
        case(f"repr T.{name}", lambda tv, m=make: repr(m(tv.T)))
        case(f"repr v2.{name}", lambda tv, m=make: repr(m(tv.v2)))
    for name, make in WRONG.items():
        case(f"wrong T.{name}", lambda tv, m=make: repr(m(tv.T)))
        case(f"wrong v2.{name}", lambda tv, m=make: repr(m(tv.v2)))


for _part in (_conversions, _sizes, _colours, _warps, _seeded, _samples, _words):
    _part()
