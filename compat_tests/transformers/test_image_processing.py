"""Image processors and processors: Paddle tensors equal to the tensors of the original."""

import numpy as np
import paddle
import PIL.Image
import pytest
import torch
import transformers

import hfpaddle.transformers as ours
from hfpaddle.core.errors import MissingFileError

RANDOM = np.random.default_rng(0)
PICTURE = PIL.Image.fromarray(RANDOM.integers(0, 256, (40, 53, 3), dtype=np.uint8))
GREY = PIL.Image.fromarray(RANDOM.integers(0, 256, (40, 53), dtype=np.uint8))
ARRAY = RANDOM.integers(0, 256, (3, 31, 20), dtype=np.uint8)
SMALL = {"height": 12, "width": 10}

SETTINGS = {
    "ViTImageProcessor": [
        {},
        {"size": SMALL, "resample": 3},
        {"size": SMALL, "do_normalize": False},
        {"size": SMALL, "do_rescale": False, "image_mean": [9.0] * 3, "image_std": [2.0] * 3},
        {"do_resize": False},
    ],
    "CLIPImageProcessor": [
        {},
        {"size": {"shortest_edge": 20}, "crop_size": SMALL},
        {"size": {"shortest_edge": 9}, "crop_size": SMALL},
        {"do_center_crop": False, "size": {"shortest_edge": 20}},
    ],
    "DeiTImageProcessor": [{}],
    "ConvNextImageProcessor": [{}],
    "SiglipImageProcessor": [{}],
}
CASES = [(name, settings) for name, listed in SETTINGS.items() for settings in listed]


def same(got, want):
    """Equal keys; tensors of ours against tensors of the original."""
    assert list(got.keys()) == list(want.keys())
    for key in got:
        assert isinstance(got[key], paddle.Tensor) and isinstance(want[key], torch.Tensor)
        assert str(got[key].dtype).split(".")[1] == str(want[key].dtype).split(".")[1]
        np.testing.assert_array_equal(got[key].numpy(), want[key].numpy(), key)


@pytest.mark.parametrize("tensors", ["pt", "pd"])
@pytest.mark.parametrize("name, settings", CASES, ids=str)
def test_images(name, settings, tensors):
    theirs = getattr(transformers, f"{name}Pil")(**settings)
    mine = getattr(ours, name)(**settings)
    for images in (PICTURE, [PICTURE, PICTURE], ARRAY, [ARRAY]):
        same(mine(images, return_tensors=tensors), theirs(images, return_tensors="pt"))
        same(mine.preprocess(images, return_tensors=tensors), theirs(images, return_tensors="pt"))


def test_grey_images_become_rgb():
    theirs, mine = transformers.CLIPImageProcessorPil(), ours.CLIPImageProcessor()
    same(mine(GREY, return_tensors="pt"), theirs(GREY, return_tensors="pt"))


def test_arguments_of_one_call():
    theirs, mine = transformers.ViTImageProcessorPil(), ours.ViTImageProcessor()
    given = {"size": SMALL, "do_normalize": False, "images": PICTURE}
    same(mine(**given, return_tensors="pt"), theirs(**given, return_tensors="pt"))


def test_arrays_and_lists_stay_the_originals():
    mine = ours.ViTImageProcessor(size=SMALL)
    assert isinstance(mine(PICTURE, return_tensors="np").pixel_values, np.ndarray)
    assert isinstance(mine(PICTURE)["pixel_values"][0], np.ndarray)


def test_return_tensors_kept_in_the_processor():
    mine = ours.ViTImageProcessor(size=SMALL, return_tensors="pt")
    assert isinstance(mine(PICTURE).pixel_values, paddle.Tensor)


def test_paddle_tensors_are_images():
    mine = ours.ViTImageProcessor(size=SMALL)
    want = mine(ARRAY, return_tensors="pt").pixel_values
    image = paddle.to_tensor(ARRAY)
    for images in (image, [image], image.unsqueeze(0)):
        got = mine(images=images, return_tensors="pt").pixel_values
        np.testing.assert_array_equal(got.numpy(), want.numpy())


def test_features_move_and_cast():
    features = ours.ViTImageProcessor(size=SMALL)([PICTURE], return_tensors="pt")
    assert type(features) is ours.BatchFeature and isinstance(features, transformers.BatchFeature)
    features["labels"], features["name"] = paddle.to_tensor([1]), "a name"
    assert features.to("cpu", paddle.float64) is features
    assert features.pixel_values.dtype == paddle.float64 and features.labels.dtype == paddle.int64
    assert features.to("cpu").pixel_values.place.is_cpu_place() and features["name"] == "a name"
    made = ours.BatchFeature({"a": [[1, 2], [3, 4]], "b": [paddle.ones([2])] * 3, "c": "x"}, "pt")
    assert made.a.tolist() == [[1, 2], [3, 4]] and made.b.shape == [3, 2] and made["c"] == "x"


def test_ragged_features_say_so():
    with pytest.raises(ValueError, match="return_tensors"):
        ours.ViTImageProcessor(do_resize=False)([PICTURE, ARRAY], return_tensors="pt")


@pytest.mark.parametrize("name", SETTINGS)
def test_to_disk_and_back(name, tmp_path):
    """Each reads what the other wrote, and the files are equal."""
    theirs, mine = getattr(transformers, f"{name}Pil")(), getattr(ours, name)()
    theirs.save_pretrained(tmp_path / "theirs")
    mine.save_pretrained(tmp_path / "ours")
    file = "preprocessor_config.json"
    assert (tmp_path / "theirs" / file).read_text() == (tmp_path / "ours" / file).read_text()
    found = ours.AutoImageProcessor.from_pretrained(tmp_path / "theirs")
    assert type(found) is getattr(ours, name) and isinstance(found, ours.BaseImageProcessor)
    same(found(PICTURE, return_tensors="pt"), theirs(PICTURE, return_tensors="pt"))
    again = transformers.AutoImageProcessor.from_pretrained(tmp_path / "ours", backend="pil")
    assert again.to_dict() == theirs.to_dict()
    changed = {"do_rescale": False, "nothing": 1, "return_unused_kwargs": True}
    upstream = getattr(transformers, f"{name}Pil")
    want, unused = upstream.from_pretrained(tmp_path / "ours", **changed)
    for cls in (getattr(ours, name), ours.AutoImageProcessor):
        found, left = cls.from_pretrained(tmp_path / "ours", **changed)
        assert type(found) is getattr(ours, name) and found.to_dict() == want.to_dict()
        assert left == unused


def test_auto_takes_the_class_from_the_config(tmp_path):
    """Older repositories do not name it: the model type in config.json does."""
    transformers.ViTConfig(image_size=12).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"size": 12, "do_resize": true}')
    found = ours.AutoImageProcessor.from_pretrained(tmp_path)
    assert type(found) is ours.ViTImageProcessor
    assert found(PICTURE, return_tensors="pt").pixel_values.shape == [1, 3, 12, 12]


def test_names_and_errors(tmp_path):
    assert ours.ViTImageProcessor is ours.ViTImageProcessorPil is ours.ViTImageProcessorFast
    with pytest.raises(MissingFileError, match="preprocessor_config.json"):
        ours.AutoImageProcessor.from_pretrained(tmp_path)
    for auto in (ours.AutoImageProcessor, ours.AutoProcessor, ours.AutoFeatureExtractor):
        with pytest.raises(OSError, match="from_pretrained"):
            auto()


def tokenizer(make=transformers.PreTrainedTokenizerFast):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "a": 2, "cat": 3}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return make(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")


def test_processor_of_text_and_images(tmp_path):
    theirs = transformers.CLIPProcessor(transformers.CLIPImageProcessorPil(), tokenizer())
    theirs.save_pretrained(tmp_path)
    transformers.CLIPConfig().save_pretrained(tmp_path)
    given = {"text": ["a cat", "a"], "images": [PICTURE, PICTURE], "padding": True}
    want = theirs(**given, return_tensors="pt")
    made = ours.CLIPProcessor(ours.CLIPImageProcessor(), tokenizer(ours.PreTrainedTokenizerFast))
    loaded = ours.AutoProcessor.from_pretrained(tmp_path)
    direct = ours.CLIPProcessor.from_pretrained(tmp_path)
    loaded.save_pretrained(tmp_path / "ours")
    transformers.AutoProcessor.from_pretrained(tmp_path).save_pretrained(tmp_path / "theirs")
    written = {file.name: file.read_text() for file in (tmp_path / "ours").iterdir()}
    assert len(written) >= 3
    assert written == {file.name: file.read_text() for file in (tmp_path / "theirs").iterdir()}
    for mine in (made, loaded, direct):
        assert type(mine) is ours.CLIPProcessor
        same(mine(**given, return_tensors="pt"), want)
        parts = {"text_kwargs": {"padding": True, "return_tensors": "pt"}}
        parts["images_kwargs"] = {"return_tensors": "pt"}
        same(mine(text=given["text"], images=given["images"], **parts), want)
        same(
            mine.image_processor(PICTURE, return_tensors="pt"),
            theirs.image_processor(PICTURE, return_tensors="pt"),
        )
        assert isinstance(mine.tokenizer("a", return_tensors="pt").input_ids, paddle.Tensor)
        ids = mine(**given, return_tensors="pt").input_ids
        assert mine.batch_decode(ids) == theirs.batch_decode(want.input_ids)
        assert mine.decode(ids[0]) == theirs.decode(want.input_ids[0])


def test_sound(tmp_path):
    theirs = transformers.Wav2Vec2FeatureExtractor()
    theirs.save_pretrained(tmp_path)
    mine = ours.AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(mine) is ours.Wav2Vec2FeatureExtractor
    sound = [RANDOM.standard_normal(n).astype("float32") for n in (50, 80)]
    given = {"sampling_rate": 16000, "padding": True, "return_attention_mask": True}
    want = theirs(sound, return_tensors="pt", **given)
    got = mine([paddle.to_tensor(s) for s in sound], return_tensors="pt", **given)
    same(got, want)
