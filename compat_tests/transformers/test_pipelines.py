"""Pipelines about understanding: results equal the original's, to its types and structure."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import transformers
from pipeline_models import TEXTS, both, check, checkpoint, same, word_tokenizer

import hfpaddle.transformers as hf
from hfpaddle.transformers.pipelines import PIPELINE_REGISTRY, get_supported_tasks

PAIR = {"text": TEXTS[0], "text_pair": TEXTS[1]}
THREE = {
    "id2label": {0: "low", 1: "middle", 2: "high"},
    "label2id": {"low": 0, "middle": 1, "high": 2},
}
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
LONG = " ".join(TEXTS * 8)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    return checkpoint(folder, "AutoModelForSequenceClassification", **THREE)


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger")
    labels = {"id2label": dict(enumerate(TAGS))}
    return checkpoint(folder, "AutoModelForTokenClassification", **labels)


@pytest.fixture(scope="module")
def masker(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("masker"), "AutoModelForMaskedLM")


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    labels = {"id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}}
    labels["label2id"] = {label: i for i, label in labels["id2label"].items()}
    folder = tmp_path_factory.mktemp("judge")
    return checkpoint(folder, "AutoModelForSequenceClassification", **labels)


def test_text_classification(classifier):
    pipes = both("text-classification", classifier)
    check(pipes, TEXTS[0])
    check(pipes, TEXTS)
    check(pipes, [TEXTS[0]])
    check(pipes, PAIR)
    check(pipes, [PAIR, PAIR])
    check(pipes, [[[TEXTS[0], TEXTS[1]]]])
    for top_k in (1, 2, None):
        check(pipes, TEXTS[0], top_k=top_k)
        check(pipes, TEXTS, top_k=top_k, batch_size=2)
    for name in ("sigmoid", "softmax", "none"):
        check(pipes, TEXTS, function_to_apply=name, top_k=None)
    check(pipes, LONG, truncation=True, max_length=16)
    assert repr(pipes[0]) == repr(pipes[1])


def test_text_classification_with_settings_from_the_start(classifier):
    check(both("sentiment-analysis", classifier, top_k=2, batch_size=3), TEXTS)
    check(both("text-classification", classifier, function_to_apply="none"), TEXTS[0])


@pytest.mark.parametrize(
    "fields",
    [
        {"problem_type": "regression", "num_labels": 1},
        {"problem_type": "regression", "num_labels": 3},
        {"problem_type": "multi_label_classification", "num_labels": 4},
        {"problem_type": "single_label_classification", "num_labels": 3},
        {"num_labels": 1},
    ],
    ids=str,
)
def test_text_classification_applies_what_the_problem_asks_for(fields, tmp_path):
    folder = checkpoint(tmp_path, "AutoModelForSequenceClassification", **fields)
    pipes = both("text-classification", folder)
    check(pipes, TEXTS)
    check(pipes, TEXTS, top_k=None)


def test_text_classification_by_a_decoder(tmp_path):
    folder = checkpoint(tmp_path, "AutoModelForSequenceClassification", family="gpt2", **THREE)
    transformers.PreTrainedTokenizerFast.from_pretrained(
        folder, model_input_names=["input_ids", "attention_mask"]
    ).save_pretrained(folder)
    check(both("text-classification", folder), TEXTS, top_k=None)


def test_text_classification_refuses_what_looks_like_pairs(classifier):
    for pipe in both("text-classification", classifier):
        with pytest.raises(ValueError, match="text pairs"):
            pipe([["one", "two"], ["three", "four"]])


def test_tokens_alone_and_joined(tagger):
    pipes = both("token-classification", tagger)
    check(pipes, TEXTS[0])
    check(pipes, TEXTS)
    check(pipes, TEXTS, batch_size=2)
    check(pipes, TEXTS[0] + " zzz", ignore_labels=[])
    for strategy in ("none", "simple", "first", "average", "max"):
        found = check(pipes, TEXTS, aggregation_strategy=strategy, ignore_labels=[])
        assert isinstance(found[0][0]["score"], np.float32)
        check(pipes, TEXTS, aggregation_strategy=strategy, batch_size=3)
        check(pipes, TEXTS[2], aggregation_strategy=strategy, ignore_labels=["PER", "I-LOC"])


def test_tokens_of_long_texts_in_chunks(tagger, tmp_path):
    word_tokenizer(max_length=20).save_pretrained(tmp_path)
    for strategy in ("simple", "first", "max"):
        pipes = both(
            "ner", tagger, tokenizer=str(tmp_path), aggregation_strategy=strategy, stride=6
        )
        found = check(pipes, LONG)
        assert max(entity["end"] for entity in found) > len(LONG) // 2
        check(pipes, [LONG, TEXTS[1]], ignore_labels=[], batch_size=2)
    for pipe in both("ner", tagger, tokenizer=str(tmp_path)):
        with pytest.raises(ValueError, match="stride"):
            pipe(LONG, stride=20)
        with pytest.raises(ValueError, match="stride"):
            pipe(LONG, stride=2, aggregation_strategy="none")
        assert max(entity["end"] for entity in pipe(LONG, ignore_labels=[])) < len(LONG) // 2


def test_tokens_of_words(tagger):
    pipes = both("token-classification", tagger)
    words = [text.split() for text in TEXTS]
    for strategy in ("none", "simple", "average"):
        kwargs = {"is_split_into_words": True, "aggregation_strategy": strategy}
        check(pipes, words[0], ignore_labels=[], **kwargs)
        check(pipes, words, **kwargs)
        check(pipes, words[0], delimiter="--", ignore_labels=[], **kwargs)
        check(pipes, words[1:], batch_size=2, **kwargs)


def test_tokens_with_offsets_of_the_user(tagger):
    pipes = both("token-classification", tagger)
    length = len(word_tokenizer()(TEXTS[1])["input_ids"])
    offsets = [(i, i + 1) for i in range(length)]
    check(pipes, TEXTS[1], offset_mapping=offsets, ignore_labels=[])
    for pipe in pipes:
        with pytest.raises(ValueError, match="same batch size"):
            pipe(TEXTS, offset_mapping=offsets)
        with pytest.raises(ValueError, match="At least one input"):
            pipe([])


def test_fill_mask(masker, tmp_path):
    pipes = both("fill-mask", masker)
    one, two = "The cat [MASK] on the mat", "The [MASK] sat on the [MASK] ."
    check(pipes, one)
    check(pipes, two)
    check(pipes, [one, two])
    check(pipes, [one])
    check(pipes, [one, "[MASK] dog"], batch_size=2)
    check(pipes, one, top_k=2)
    check(pipes, one, targets=["dog", "cat", "river"])
    check(pipes, two, targets=["dog", "cats", "cat"], top_k=2)
    check(pipes, one, targets="dog")
    check(pipes, f"[MASK] {LONG}", tokenizer_kwargs={"truncation": True})
    check(both("fill-mask", masker, top_k=3, targets=["tree", "house", "of", "a"]), one)


def test_fill_mask_refuses(masker):
    for pipe, module in zip(both("fill-mask", masker), (hf, transformers), strict=True):
        with pytest.raises(module.pipelines.PipelineException, match="No mask_token"):
            pipe("no mask")
        with pytest.raises(ValueError, match="At least one target"):
            pipe("a [MASK]", targets=[""])
    ours = both("fill-mask", masker)[0]
    with pytest.raises(ValueError, match="top_k=1000"):
        ours("a [MASK]", top_k=1000)


def test_feature_extraction(masker):
    pipes = both("feature-extraction", masker)
    check(pipes, TEXTS[0])
    check(pipes, TEXTS)
    check(pipes, TEXTS[0], return_tensors=True)
    check(pipes, LONG, truncation=True, tokenize_kwargs={"max_length": 9})
    check(both("feature-extraction", masker, tokenize_kwargs={"add_special_tokens": False}), TEXTS)
    ours, theirs = (pipe(TEXTS, batch_size=3) for pipe in pipes)
    for got, want, text in zip(ours, theirs, TEXTS, strict=True):
        real = len(word_tokenizer()(text)["input_ids"])
        same(got[0][:real], want[0][:real])
        assert len(got[0]) == len(want[0])


def test_zero_shot(judge):
    pipes = both("zero-shot-classification", judge)
    labels = ["sports", "political", "river"]
    check(pipes, TEXTS[0], candidate_labels=labels)
    check(pipes, TEXTS[0], labels)
    check(pipes, TEXTS, candidate_labels="sports, political , river")
    check(pipes, TEXTS, candidate_labels=labels, multi_label=True)
    check(pipes, TEXTS, candidate_labels="old")
    check(pipes, TEXTS, labels, hypothesis_template="the {} house", batch_size=4)
    check(pipes, LONG, labels)
    for pipe in pipes:
        with pytest.raises(ValueError, match="hypothesis_template"):
            pipe(TEXTS[0], labels, hypothesis_template="no place")
        with pytest.raises(ValueError, match="at least one label"):
            pipe(TEXTS[0], [])
        with pytest.raises(ValueError, match="extra arguments"):
            pipe(TEXTS[0], labels, labels)


def test_zero_shot_without_a_class_of_entailment(classifier):
    check(both("zero-shot-classification", classifier), TEXTS[0], ["a", "b"])


def test_streams(classifier, tagger):
    ours, theirs = both("text-classification", classifier, batch_size=2)
    rows = [{"text": text, "other": i} for i, text in enumerate(TEXTS)]
    from transformers.pipelines.pt_utils import KeyDataset as TheirKeyDataset

    from hfpaddle.transformers.pipelines.pt_utils import KeyDataset, KeyPairDataset

    want = list(theirs(TheirKeyDataset(rows, "text")))
    streamed = ours(KeyDataset(rows, "text"))
    assert len(streamed) == 3
    same(list(streamed), want)
    same(list(streamed), want)
    same(list(ours(text for text in TEXTS)), list(theirs(text for text in TEXTS)))
    same(
        list(ours(KeyPairDataset(rows, "text", "text"))),
        ours([{"text": t, "text_pair": t} for t in TEXTS]),
    )

    class Texts(paddle.io.Dataset):
        def __len__(self):
            return len(TEXTS)

        def __getitem__(self, i):
            return TEXTS[i]

    class Endless(paddle.io.IterableDataset):
        def __iter__(self):
            while True:
                yield from TEXTS

    same(list(ours(Texts())), want)
    stream = ours(Endless())
    same([next(stream) for _ in range(3)], want)
    ours, theirs = both("ner", tagger, aggregation_strategy="simple")
    same(list(ours(text for text in TEXTS)), list(theirs(text for text in TEXTS)))
    same(list(ours(KeyDataset(rows, "text"))), ours(TEXTS))


def test_models_tokenizers_and_dtypes_may_be_given(classifier):
    theirs = transformers.pipeline("text-classification", model=classifier, device="cpu")
    want = theirs(TEXTS, top_k=None)
    model = hf.AutoModelForSequenceClassification.from_pretrained(classifier)
    plain = transformers.AutoTokenizer.from_pretrained(classifier)
    kind = type(plain)
    same(hf.pipeline("text-classification", model=model, tokenizer=plain)(TEXTS, top_k=None), want)
    assert type(plain) is kind, "the user's tokenizer was changed"
    pipe = hf.TextClassificationPipeline(
        model=model, tokenizer=hf.AutoTokenizer.from_pretrained(classifier)
    )
    same(pipe(TEXTS, top_k=None), want)
    given = {"tokenizer": (classifier, {"model_max_length": 5}), "device": "cpu", "framework": "pt"}
    pipe = hf.pipeline("text-classification", classifier, **given)
    assert pipe.tokenizer.model_max_length == 5 and pipe.device.type == "cpu"
    half = hf.pipeline("text-classification", classifier, dtype="bfloat16")
    assert (
        half.dtype == paddle.bfloat16 and half(TEXTS[0])[0]["label"] in THREE["id2label"].values()
    )


def test_bfloat16_results_are_floats(masker):
    pipe = hf.pipeline("feature-extraction", masker, dtype="bfloat16", device_map="cpu")
    ours, theirs = pipe(TEXTS[0]), transformers.pipeline("feature-extraction", masker)(TEXTS[0])
    np.testing.assert_allclose(np.array(ours), np.array(theirs), atol=0.1)


def test_saved_pipelines_load_in_the_original(classifier, tmp_path):
    hf.pipeline("text-classification", model=classifier).save_pretrained(tmp_path)
    check(both("text-classification", str(tmp_path)), TEXTS, top_k=None)


def test_defaults_and_aliases_are_the_originals():
    supported = transformers.pipelines.get_supported_tasks()
    own = {"question-answering"}  # gone from transformers 5
    assert set(get_supported_tasks()) - own <= set(supported)
    for name in set(get_supported_tasks()) - own:
        mine, info, _ = PIPELINE_REGISTRY.check_task(name)
        theirs, expected, _ = transformers.pipelines.check_task(name)
        assert mine == theirs and info["default"]["model"] == expected["default"]["model"]
        assert [c.__name__ for c in info["pt"]] == [c.__name__ for c in expected["pt"]]
        assert info["impl"].__name__ == expected["impl"].rsplit(".", 1)[1]


def test_the_signature_is_the_originals():
    import inspect

    mine, theirs = (inspect.signature(m.pipeline).parameters for m in (hf, transformers))
    assert list(mine) == list(theirs)
    for name, parameter in theirs.items():
        assert mine[name].default == parameter.default, name
