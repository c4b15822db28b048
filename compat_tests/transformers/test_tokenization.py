"""Tokenizers: upstream's numbers as Paddle tensors; upstream's classes and files as they are."""

import copy
import pickle

import numpy as np
import paddle
import pytest
import tokenizers
import torch
import transformers
from folders import run, state

import hfpaddle.transformers as mirror
from hfpaddle.core.errors import CheckpointError, MissingFileError
from hfpaddle.transformers import AutoTokenizer
from hfpaddle.transformers.tokenization import PaddleTensors

TEXTS = ["the quick brown fox", "jumps over the lazy dog, twice!", "été"]
CHAT = [
    {"role": "user", "content": "the quick fox"},
    {"role": "assistant", "content": "jumps over"},
    {"role": "user", "content": "the dog"},
]
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}> {% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %} {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
WORDS = sorted({w for t in TEXTS for w in t.replace(",", " ,").replace("!", " !").split()})


def bert(folder):
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    text = "\n".join([*specials, *WORDS, "<", ">", "user", "assistant", "##s", "jump"])
    (folder / "vocab.txt").write_text(text)
    tokenizer = transformers.BertTokenizer(str(folder / "vocab.txt"))
    (folder / "vocab.txt").unlink()
    return tokenizer


def bpe(folder):
    made = tokenizers.ByteLevelBPETokenizer()
    made.train_from_iterator(TEXTS * 3, vocab_size=300, special_tokens=["<s>", "</s>", "<pad>"])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made._tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        padding_side="left", model_max_length=20,
    )  # fmt: skip


def gpt2(folder):
    tokenizer = transformers.GPT2Tokenizer(**{"vocab": {}, "merges": []})
    tokenizer = tokenizer.train_new_from_iterator(TEXTS * 3, 300)
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


KINDS = {"bert": bert, "bpe": bpe, "gpt2": gpt2}


@pytest.fixture(scope="module", params=KINDS)
def both(request, tmp_path_factory):
    """A folder that upstream wrote, its tokenizer and ours."""
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer = KINDS[request.param](folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    before = state(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = AutoTokenizer.from_pretrained(folder)
    yield folder, theirs, ours
    assert state(folder) == before


def equal(got, want):
    """The same keys and values; tensors Paddle's here, torch's there."""
    assert list(got.keys()) == list(want.keys())
    for key, value in want.items():
        if isinstance(value, torch.Tensor):
            assert isinstance(got[key], paddle.Tensor), key
            assert got[key].dtype.name.lower() == str(value.dtype).removeprefix("torch.")
            np.testing.assert_array_equal(got[key].numpy(), value.numpy())
        else:
            assert got[key] == value, key


CALLS = [
    {"text": TEXTS, "padding": True},
    {"text": TEXTS[0]},
    {"text": TEXTS, "padding": "max_length", "max_length": 6, "truncation": True},
    {"text": TEXTS[:2], "text_pair": TEXTS[1:], "padding": True},
    {"text": [["the", "fox"], ["dog"]], "is_split_into_words": True, "padding": True},
    {"text": TEXTS, "padding": True, "return_special_tokens_mask": True, "return_length": True},
    {"text": TEXTS, "padding": True, "return_offsets_mapping": True, "pad_to_multiple_of": 8},
    {"text_target": TEXTS, "padding": True},
    {"text": TEXTS, "text_target": TEXTS, "padding": True},
    {"text": TEXTS[1], "max_length": 5, "truncation": True, "stride": 1,
     "return_overflowing_tokens": True, "padding": "max_length"},
]  # fmt: skip


@pytest.mark.parametrize("call", range(len(CALLS)))
def test_call(both, call):
    _, theirs, ours = both
    kwargs = CALLS[call]
    want = theirs(**kwargs, return_tensors="pt")
    for kind in ("pt", "pd", transformers.TensorType.PYTORCH):
        got = ours(**kwargs, return_tensors=kind)
        equal(got, want)
        assert isinstance(got, transformers.BatchEncoding)
        assert isinstance(got, mirror.BatchEncoding)
    plain, arrays = ours(**kwargs), ours(**kwargs, return_tensors="np")
    equal(plain, theirs(**kwargs))
    assert all(isinstance(v, np.ndarray) for v in arrays.values())
    for key, value in arrays.items():
        np.testing.assert_array_equal(value, want[key].numpy())


def test_batch_encoding(both):
    _, theirs, ours = both
    got, want = (t(TEXTS, padding=True, return_tensors="pt") for t in (ours, theirs))
    assert got.to("cpu") is got and got.to(device="cpu") is got
    assert got.to(paddle.CPUPlace()) is got and got.to("cpu", non_blocking=True) is got
    assert got.input_ids is got["input_ids"] and got.is_fast == want.is_fast
    for i in range(3):
        assert got.word_ids(i) == want.word_ids(i) and got.tokens(i) == want.tokens(i)
    assert got.char_to_token(0, 2) == want.char_to_token(0, 2)
    assert got.encodings[0].ids == want.encodings[0].ids
    assert {**got}.keys() == {**want}.keys() and len(got) == len(want)
    again = pickle.loads(pickle.dumps(got))
    equal(again, want)
    got["extra"] = paddle.ones([2])
    got.to(paddle.float64)
    assert got["extra"].dtype == paddle.float64 and got.input_ids.dtype == paddle.int64
    with pytest.raises(Exception, match="GPU|cuda"):
        got.to("cuda")
    unpadded = ours(TEXTS)
    converted = ours(TEXTS, padding=True).convert_to_tensors("pt")
    np.testing.assert_array_equal(converted.input_ids.numpy(), want.input_ids.numpy())
    with pytest.raises(ValueError, match="padding"):
        unpadded.convert_to_tensors("pt")
    for side in (ours, theirs):
        with pytest.raises(ValueError, match="Unable to create tensor.*padding=True"):
            side(TEXTS, return_tensors="pt")


def test_pad(both):
    _, theirs, ours = both
    features = [ours(text) for text in TEXTS]
    want = theirs.pad([theirs(text) for text in TEXTS], return_tensors="pt")
    equal(ours.pad(features, return_tensors="pt"), want)
    tensors = [{k: paddle.to_tensor(v) for k, v in f.items()} for f in features]
    equal(ours.pad(tensors, return_tensors="pt"), want)
    columns = {k: [f[k] for f in features] for k in features[0]}
    equal(ours.pad(columns, return_tensors="pd"), want)
    arguments = {"padding": "max_length", "max_length": 12}
    want = theirs.pad([theirs(text) for text in TEXTS], **arguments)
    equal(ours.pad(features, **arguments), want)


def test_encode(both):
    _, theirs, ours = both
    want = theirs.encode(TEXTS[0], return_tensors="pt")
    for kind in ("pt", "pd"):
        got = ours.encode(TEXTS[0], return_tensors=kind)
        assert isinstance(got, paddle.Tensor) and got.shape == [1, want.shape[1]]
        np.testing.assert_array_equal(got.numpy(), want.numpy())
    assert ours.encode(TEXTS[0]) == theirs.encode(TEXTS[0])
    assert ours.encode(TEXTS[0], add_special_tokens=False) == theirs.encode(
        TEXTS[0], add_special_tokens=False
    )


@pytest.mark.parametrize("skip", [True, False])
def test_decode(both, skip):
    _, theirs, ours = both
    got, want = (t(TEXTS, padding=True, return_tensors="pt").input_ids for t in (ours, theirs))
    kwargs = {"skip_special_tokens": skip}
    texts = theirs.batch_decode(want, **kwargs)
    assert ours.batch_decode(got, **kwargs) == texts
    assert (
        ours.batch_decode(list(got), **kwargs) == ours.batch_decode(got.numpy(), **kwargs) == texts
    )
    assert ours.batch_decode(got.tolist(), **kwargs) == texts
    assert ours.decode(got, **kwargs) == theirs.decode(want, **kwargs) == texts
    for i in range(3):
        assert ours.decode(got[i], **kwargs) == texts[i]
        assert ours.decode(got[i].astype("int32"), **kwargs) == texts[i]
        assert ours.decode(list(got[i]), **kwargs) == texts[i]
    assert ours.decode(got[0, 1]) == theirs.decode(want[0, 1])
    assert ours.decode(got[0, 1].item()) == theirs.decode(want[0, 1].item())
    tokens = theirs.convert_ids_to_tokens(want[0].tolist(), **kwargs)
    assert ours.convert_ids_to_tokens(got[0], **kwargs) == tokens
    assert ours.convert_ids_to_tokens(got[0].tolist(), **kwargs) == tokens


CHATS = [
    {}, {"add_generation_prompt": True}, {"tokenize": False}, {"return_dict": False},
    {"return_dict": False, "return_tensors": "pt"}, {"return_tensors": "pt"},
    {"tokenize": False, "add_generation_prompt": True},
    {"return_tensors": "pt", "padding": "max_length", "max_length": 40},
    {"return_dict": True, "return_assistant_tokens_mask": True, "return_tensors": "pt"},
]  # fmt: skip


@pytest.mark.parametrize("call", range(len(CHATS)))
@pytest.mark.parametrize("batched", [False, True])
def test_chat(both, call, batched):
    _, theirs, ours = both
    kwargs = CHATS[call]
    chat = [CHAT, CHAT[:1]] if batched else CHAT
    if batched and "return_tensors" in kwargs:
        kwargs = {"padding": True, **kwargs}
    want = theirs.apply_chat_template(chat, **kwargs)
    got = ours.apply_chat_template(chat, **kwargs)
    if isinstance(want, torch.Tensor):
        assert isinstance(got, paddle.Tensor)
        np.testing.assert_array_equal(got.numpy(), want.numpy())
    elif isinstance(want, transformers.BatchEncoding):
        equal(got, want)
        assert got.to("cpu") is got
    else:
        assert got == want


def test_copies_and_files(both, tmp_path):
    """Pickled, copied, saved: as upstream's, file for file."""
    folder, theirs, ours = both
    want = theirs(TEXTS, padding=True, return_tensors="pt")
    for made in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
        assert type(made) is type(ours)
        equal(made(TEXTS, padding=True, return_tensors="pt"), want)
        assert made.get_vocab() == theirs.get_vocab()
    for side, name in ((theirs, "want"), (ours, "got")):
        side.save_pretrained(tmp_path / name)
    files = {p.name: p.read_bytes() for p in (tmp_path / "want").iterdir()}
    assert {p.name: p.read_bytes() for p in (tmp_path / "got").iterdir()} == files
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "got")
    assert type(again) is type(theirs)
    equal(
        AutoTokenizer.from_pretrained(tmp_path / "got")(TEXTS, padding=True, return_tensors="pt"),
        want,
    )


def test_changes(both):
    """New tokens and settings act on ours alone."""
    folder, theirs, _ = both
    ours = AutoTokenizer.from_pretrained(folder, padding_side="left", model_max_length=7)
    assert ours.padding_side == "left" and ours.model_max_length == 7
    size = len(ours)
    assert ours.add_tokens(["zebra"]) == 1 and len(ours) == size + 1 == len(theirs) + 1
    assert ours.add_special_tokens({"additional_special_tokens": ["<x>"]}) == 1
    assert ours.convert_tokens_to_ids("zebra") == size and len(theirs) == size
    trained = ours.train_new_from_iterator(TEXTS, 290)
    assert isinstance(trained, PaddleTensors)
    assert isinstance(trained("the fox", return_tensors="pt").input_ids, paddle.Tensor)


def test_upstreams_classes_are_left_alone(both):
    _, theirs, ours = both
    assert not isinstance(theirs, PaddleTensors) and isinstance(ours, PaddleTensors)
    assert type(ours).__name__ == type(theirs).__name__ and isinstance(ours, type(theirs))
    assert isinstance(theirs("the fox", return_tensors="pt").input_ids, torch.Tensor)
    assert isinstance(ours, mirror.PreTrainedTokenizerBase)
    for base in type(theirs).__mro__:
        assert not base.__module__.startswith("hfpaddle")
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("name", ["BertTokenizer", "BertTokenizerFast"])
def test_concrete_class(tmp_path, name):
    bert(tmp_path).save_pretrained(tmp_path)
    cls = getattr(mirror, name)
    assert cls.__name__ == getattr(transformers, name).__name__
    tokenizer = cls.from_pretrained(tmp_path)
    want = getattr(transformers, name).from_pretrained(tmp_path)
    assert type(tokenizer) is cls
    equal(tokenizer(TEXTS, padding=True, return_tensors="pt"),
          want(TEXTS, padding=True, return_tensors="pt"))  # fmt: skip
    assert type(pickle.loads(pickle.dumps(tokenizer))) is cls
    tokenizer.save_pretrained(tmp_path / "again")
    assert type(AutoTokenizer.from_pretrained(tmp_path / "again")).__name__ == type(want).__name__


def test_subclass(tmp_path):
    """A user's own class, and what counts as an instance of which."""

    class Own(mirror.BertTokenizer):
        def tokenize(self, text, **kwargs):
            return ["own", *super().tokenize(text, **kwargs)]

    class Other(mirror.BertTokenizer):
        pass

    bert(tmp_path).save_pretrained(tmp_path)
    own, auto = Own.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert own.tokenize("fox") == ["own", "fox"]
    assert isinstance(own("fox", return_tensors="pt").input_ids, paddle.Tensor)
    assert isinstance(own, Own) and not isinstance(auto, Own) and not isinstance(own, Other)
    for cls in ("BertTokenizer", "PreTrainedTokenizerFast", "PreTrainedTokenizerBase"):
        assert isinstance(auto, getattr(mirror, cls)) and isinstance(own, getattr(mirror, cls))
        assert issubclass(type(auto), getattr(mirror, cls)) and issubclass(
            Own, getattr(mirror, cls)
        )
    assert not isinstance(auto, mirror.GPT2Tokenizer)


def test_python_backend(tmp_path):
    """A tokenizer without the Rust library behind it."""
    transformers.ByT5Tokenizer().save_pretrained(tmp_path)
    theirs, ours = (
        transformers.AutoTokenizer.from_pretrained(tmp_path),
        AutoTokenizer.from_pretrained(tmp_path),
    )
    assert not ours.is_fast and isinstance(ours, mirror.ByT5Tokenizer)
    got, want = (t(TEXTS, padding=True, return_tensors="pt") for t in (ours, theirs))
    equal(got, want)
    assert ours.batch_decode(got.input_ids) == theirs.batch_decode(want.input_ids)
    assert ours.decode(got.input_ids[2]) == theirs.decode(want.input_ids[2])
    assert ours.decode(got.input_ids[2][0]) == theirs.decode(want.input_ids[2][0])
    assert ours.convert_ids_to_tokens(got.input_ids[0]) == theirs.convert_ids_to_tokens(
        want.input_ids[0].tolist()
    )


def test_missing(llama, tmp_path):
    with pytest.raises(MissingFileError, match=r"has no tokenizer.*model.safetensors"):
        AutoTokenizer.from_pretrained(llama[0])
    with pytest.raises(MissingFileError, match="does not exist"):
        AutoTokenizer.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(MissingFileError, match="no tokenizer"):
        AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(OSError, match="nobody/nothing"):
        AutoTokenizer.from_pretrained("nobody/nothing", cache_dir=tmp_path, local_files_only=True)
    with pytest.raises(OSError, match="designed to be instantiated"):
        AutoTokenizer()
    bert(tmp_path).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{oops")
    with pytest.raises(CheckpointError, match="tokenizer"):
        AutoTokenizer.from_pretrained(tmp_path)


def test_streamer(both, capsys):
    """Upstream's streamer prints what ours decodes."""
    _, _, ours = both
    ids = ours(TEXTS[0], return_tensors="pt").input_ids
    streamer = mirror.TextStreamer(ours, skip_special_tokens=True)
    streamer.put(ids)
    for token in ids[0]:
        streamer.put(token.reshape([1]))
    streamer.end()
    assert capsys.readouterr().out.strip()


PROCESS = """
import sys
import transformers
before = {n: v for n, v in vars(transformers.PreTrainedTokenizerBase).items()}
from hfpaddle.transformers import AutoTokenizer, BatchEncoding
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
ids = tokenizer(["the fox", "dog"], padding=True, return_tensors="pt").to("cpu")["input_ids"]
import paddle
assert isinstance(ids, paddle.Tensor)
assert vars(transformers.PreTrainedTokenizerBase) == before
plain = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
assert not isinstance(plain("fox", return_tensors="np")["input_ids"], paddle.Tensor)
import multiprocessing
with multiprocessing.get_context("spawn").Pool(1) as pool:
    print(pool.map(tokenizer.tokenize, ["the fox"]))
""".replace(
    "import multiprocessing", "if __name__ == '__main__':\n  import multiprocessing"
).replace("\nwith", "\n  with")


def test_in_a_process_of_its_own(both):
    run(PROCESS, both[0])
