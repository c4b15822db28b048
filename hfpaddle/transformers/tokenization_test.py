"""Tokenizers without torch: Paddle tensors in and out, nothing of transformers patched."""

import pickle

import numpy as np
import paddle
import pytest
import transformers

import hfpaddle.transformers as mirror
from hfpaddle.core.errors import CheckpointError, MissingFileError
from hfpaddle.transformers.tokenization import AutoTokenizer, BatchEncoding, to_python, wants_paddle

pytestmark = pytest.mark.unit

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "quick", "fox", "user", "<", ">"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = transformers.BertTokenizer(str(tmp_path / "vocab.txt"))
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}> {{ m.content }} {% endfor %}"
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", ["pt", "pd"])
def test_tensors(folder, kind):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = ["the quick fox", "fox"]
    batch = tokenizer(texts, padding=True, return_tensors=kind).to("cpu")
    arrays = tokenizer(texts, padding=True, return_tensors="np")
    assert isinstance(batch, BatchEncoding)
    for name, array in arrays.items():
        assert isinstance(array, np.ndarray) and batch[name].dtype == paddle.int64
        np.testing.assert_array_equal(batch[name].numpy(), array)
    assert tokenizer.batch_decode(batch.input_ids, skip_special_tokens=True) == texts
    assert tokenizer.decode(batch.input_ids[0], skip_special_tokens=True) == texts[0]
    assert tokenizer.encode("fox", return_tensors=kind).tolist() == [[2, 7, 3]]
    padded = tokenizer.pad([tokenizer(t) for t in texts], return_tensors=kind)
    np.testing.assert_array_equal(padded.input_ids.numpy(), arrays["input_ids"])
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "the fox"}], return_tensors=kind, return_dict=True
    )
    assert chat.input_ids.tolist() == [[9, 8, 10, 5, 7]]
    with pytest.raises(ValueError, match="padding=True"):
        tokenizer(texts, return_tensors=kind)


def test_own_and_upstreams_classes(folder):
    """One process, both packages' tokenizers, each as its users expect."""
    ours = AutoTokenizer.from_pretrained(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert type(theirs) is transformers.BertTokenizer and type(ours) is mirror.BertTokenizer
    assert isinstance(ours, transformers.BertTokenizer)
    assert isinstance(ours, mirror.PreTrainedTokenizerFast)
    assert not isinstance(ours, mirror.GPT2Tokenizer)
    assert isinstance(theirs("fox", return_tensors="np").input_ids, np.ndarray)
    assert type(theirs("fox")) is transformers.BatchEncoding
    again = pickle.loads(pickle.dumps(ours))
    assert type(again) is mirror.BertTokenizer
    assert again("fox", return_tensors="pt").input_ids.tolist() == [[2, 7, 3]]
    ours.save_pretrained(folder / "ours")
    theirs.save_pretrained(folder / "theirs")
    for path in (folder / "theirs").iterdir():
        assert (folder / "ours" / path.name).read_bytes() == path.read_bytes()


def test_missing_and_damaged(folder):
    (folder / "empty").mkdir()
    with pytest.raises(MissingFileError, match="no tokenizer"):
        AutoTokenizer.from_pretrained(folder / "empty")
    with pytest.raises(MissingFileError, match="does not exist"):
        AutoTokenizer.from_pretrained(folder / "nowhere")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="tokenizer cannot be read"):
        AutoTokenizer.from_pretrained(folder)


def test_helpers():
    assert wants_paddle("pt") and wants_paddle("pd") and not wants_paddle("np")
    assert wants_paddle(transformers.TensorType.PYTORCH) and not wants_paddle(None)
    value = [paddle.to_tensor([1, 2]), (3, [paddle.to_tensor(4)])]
    assert to_python(value) == [[1, 2], [3, [4]]]


def test_what_came_as_lists_becomes_tensors_later(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    later = tokenizer(["the cat"]).convert_to_tensors("pt")
    at_once = tokenizer(["the cat"], return_tensors="pt")
    assert isinstance(later["input_ids"], paddle.Tensor)
    assert later["input_ids"].tolist() == at_once["input_ids"].tolist()
    assert isinstance(tokenizer.pad(later)["input_ids"], list)
