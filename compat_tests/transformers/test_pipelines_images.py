"""The image classification pipeline: results equal the original's."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import transformers
from harness import original
from harness_vision import vision_config
from PIL import Image
from pipeline_models import check, same

import hfpaddle.transformers as hf

LABELS = {0: "cat", 1: "dog", 2: "fish", 3: "bird", 4: "horse", 5: "mouse"}


def images() -> list:
    random = np.random.default_rng(0)
    sizes = [(20, 30), (12, 12), (40, 17)]
    return [Image.fromarray(random.integers(0, 255, (*s, 3), dtype=np.uint8)) for s in sizes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vit")
    config = vision_config("vit", id2label=LABELS, label2id={v: k for k, v in LABELS.items()})
    original("AutoModelForImageClassification", config, folder)
    transformers.ViTImageProcessorPil(size={"height": 12, "width": 12}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pipes(folder):
    processor = transformers.ViTImageProcessorPil.from_pretrained(folder)
    theirs = transformers.pipeline(
        "image-classification", model=str(folder), image_processor=processor, device="cpu"
    )
    return hf.pipeline("image-classification", model=str(folder)), theirs


def test_image_classification(pipes, folder, tmp_path):
    path = str(tmp_path / "one.png")
    images()[0].save(path)
    check(pipes, path)
    check(pipes, [path, path])
    check(pipes, images()[1])
    check(pipes, images())
    check(pipes, images(), batch_size=2)
    check(pipes, None, images=images()[2])
    for top_k in (1, 3, 99):
        assert len(check(pipes, path, top_k=top_k)) == min(top_k, len(LABELS))
    for name in ("sigmoid", "softmax", "none"):
        check(pipes, path, function_to_apply=name)


def test_arrays_are_images_too(pipes):
    ours, _ = pipes
    picture = images()[0]
    want = ours(picture)
    same(ours(np.asarray(picture)), want)
    same(ours(paddle.to_tensor(np.asarray(picture).transpose(2, 0, 1).copy())), want)


def test_the_folder_tells_the_task(folder):
    pipe = hf.pipeline(model=str(folder))
    assert type(pipe).__name__ == "ImageClassificationPipeline" and pipe.tokenizer is None


def test_to_disk_and_back(pipes, tmp_path):
    ours, _ = pipes
    ours.save_pretrained(tmp_path)
    again = hf.pipeline("image-classification", model=str(tmp_path))
    same(again(images()), ours(images()))


def test_a_model_object_needs_its_image_processor(folder):
    model = hf.AutoModelForImageClassification.from_pretrained(folder)
    with pytest.raises(ValueError, match="image_processor"):
        hf.pipeline("image-classification", model=model)
    processor = hf.AutoImageProcessor.from_pretrained(folder)
    hf.pipeline("image-classification", model=model, image_processor=processor)(images())


def test_no_input_is_an_error(pipes):
    with pytest.raises(ValueError, match="inputs"):
        pipes[0]()
