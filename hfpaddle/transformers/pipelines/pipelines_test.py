"""Pipelines without a reference: what is refused, how inputs are told apart, the progress bar."""

from __future__ import annotations

import io
import sys

import numpy as np
import paddle
import pytest
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

import hfpaddle.transformers as hf
from hfpaddle.core.errors import (
    CheckpointError,
    DeviceError,
    MissingFeatureError,
    MissingFileError,
    UnsupportedArgumentError,
)
from hfpaddle.transformers import pipelines
from hfpaddle.transformers.pipelines import iteration, tasks
from hfpaddle.transformers.pipelines.chat import Chat, mark_chats
from hfpaddle.transformers.pipelines.entities import AggregationStrategy, EntityMixin
from hfpaddle.transformers.pipelines.questions import best_spans

pytestmark = pytest.mark.unit

TASKS = [
    *("feature-extraction", "fill-mask", "image-classification", "question-answering"),
    "text-classification",
    *("text-generation", "token-classification", "zero-shot-classification"),
]
WORDS = ["[PAD]", "[UNK]", "cat", "dog", "sat", "ran"]


def tokenizer(**kwargs):
    vocab = {word: i for i, word in enumerate(WORDS)}
    made = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    kwargs = {"pad_token": "[PAD]", "unk_token": "[UNK]", **kwargs}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **kwargs)


@pytest.fixture(scope="module")
def model():
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=32,
        num_labels=3,
    )
    return hf.AutoModelForSequenceClassification.from_config(config).eval()


@pytest.fixture
def pipe(model):
    return hf.pipeline("text-classification", model=model, tokenizer=tokenizer())


def test_tasks_are_found_in_the_folder():
    assert sorted(tasks.PIPELINE_REGISTRY.tasks) == TASKS
    assert set(pipelines.get_supported_tasks()) == {*TASKS, "ner", "sentiment-analysis"}
    for name in TASKS:
        assert issubclass(tasks.PIPELINE_REGISTRY.get(name).pipeline_class, hf.Pipeline)
    assert pipelines.NerPipeline is hf.TokenClassificationPipeline


@pytest.mark.parametrize(
    ("task", "near"),
    [
        ("text-generatoin", "text-generation"),
        ("summarization", "text-generation"),
        ("translation_en_to_fr", "text-generation"),
        ("image-segmentation", "image-classification"),
    ],
)
def test_unknown_tasks_name_the_nearest(task, near):
    with pytest.raises(MissingFeatureError, match=f"nearest: '{near}'") as caught:
        hf.pipeline(task, model="any")
    assert isinstance(caught.value, KeyError) and repr(task) in str(caught.value)


def test_pipelines_of_other_tasks_can_be_imported_but_not_used():
    from hfpaddle.transformers.pipelines import ImageSegmentationPipeline

    with pytest.raises(MissingFeatureError, match="ImageSegmentationPipeline"):
        ImageSegmentationPipeline(model=None)
    with pytest.raises(AttributeError, match="NoSuchPipeline"):
        _ = pipelines.NoSuchPipeline


def test_a_missing_model_is_asked_for(monkeypatch, tmp_path):
    with pytest.raises(RuntimeError, match="task or a model"):
        hf.pipeline()
    with pytest.raises(RuntimeError, match="model="):
        hf.pipeline("fill-mask", tokenizer="any")
    empty = {"cache_dir": str(tmp_path)}
    with pytest.raises(CheckpointError, match="Give model="):
        hf.pipeline("fill-mask", local_files_only=True, model_kwargs=empty)
    with pytest.raises(MissingFileError, match="does not exist"):
        hf.pipeline("fill-mask", model=str(tmp_path / "none"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RuntimeError, match="task="):
        pipelines.get_task("someone/something")


def test_arguments_that_cannot_be_honoured(model, tmp_path):
    given = {"model": model, "tokenizer": tokenizer()}
    with pytest.raises(RuntimeError, match="task="):
        hf.pipeline(**given)
    with pytest.raises(UnsupportedArgumentError, match="image_processor"):
        hf.pipeline("fill-mask", image_processor="any", **given)
    with pytest.raises(UnsupportedArgumentError, match="framework='tf'"):
        hf.pipeline("text-classification", framework="tf", **given)
    with pytest.raises(ValueError, match="device_map"):
        hf.pipeline("text-classification", device="cpu", device_map="auto", **given)
    with pytest.raises(ValueError, match="dtype"):
        kwargs = {"dtype": "float32", "model_kwargs": {"dtype": "float32"}}
        hf.pipeline("text-classification", **kwargs, **given)
    with pytest.raises(DeviceError, match="nowhere"):
        hf.pipeline("text-classification", device="nowhere", **given)
    with pytest.raises(ValueError, match="tokenizer"):
        hf.pipeline("text-classification", model=model)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(MissingFeatureError, match="adapter"):
        hf.pipeline("text-classification", model=str(tmp_path))
    model.config.custom_pipelines = {"mine": {"impl": "code.Mine"}}
    try:
        model.save_pretrained(tmp_path / "custom")
    finally:
        del model.config.custom_pipelines
    with pytest.raises(UnsupportedArgumentError, match="never run"):
        folder = str(tmp_path / "custom")
        hf.pipeline("text-classification", model=folder, trust_remote_code=True)


def test_devices_by_number(model):
    for device in (0, 3, -1, "cpu", paddle.CPUPlace(), None):
        if paddle.device.get_device() != "cpu" and device in (0, 3):
            continue
        pipe = hf.pipeline("text-classification", model, tokenizer=tokenizer(), device=device)
        assert pipe.device.type == str(model.device).split(":")[0]


def test_results_do_not_depend_on_the_batch(pipe):
    texts = ["cat sat", "dog", "cat ran dog sat cat", "dog dog"]
    alone = [pipe(text)[0] for text in texts]
    for size in (2, 3, 8):
        for got, want in zip(pipe(texts, batch_size=size), alone, strict=True):
            assert got["label"] == want["label"] and abs(got["score"] - want["score"]) < 1e-5
    assert pipe([]) == []
    assert pipe.predict(texts) == pipe.transform(texts) == pipe(texts)
    model, no_padding = pipe.model, tokenizer(pad_token=None)
    with pytest.raises(ValueError, match="pad_token"):
        hf.pipeline("text-classification", model, tokenizer=no_padding)(texts, batch_size=2)


def test_streams_are_read_as_results_are_asked_for(pipe):
    read = []

    def texts():
        for word in WORDS[2:]:
            read.append(word)
            yield word

    results = pipe(texts(), batch_size=2)
    assert read == WORDS[2:3]  # looked at: it could have been a conversation
    next(results)
    assert read == WORDS[2:4]
    next(results), next(results)
    assert read == WORDS[2:6]
    next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_progress(pipe, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def shown(inputs, **kwargs):
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        list(pipe(inputs, **kwargs))
        return "text-classification" in screen.getvalue()

    short, long = ["cat"] * iteration.LONG, ["cat"] * (iteration.LONG + 1)
    assert shown(long) and not shown(short)
    assert shown(short, progress=True) and not shown(long, progress=False)
    assert shown((text for text in short), progress=True) and not shown(text for text in long)
    transformers.utils.logging.disable_progress_bar()
    try:
        assert not shown(long)
    finally:
        transformers.utils.logging.enable_progress_bar()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    list(pipe(long))
    assert "text-classification" not in sys.stderr.getvalue()
    quiet = hf.pipeline("text-classification", pipe.model, tokenizer=tokenizer(), progress=False)
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    quiet(long)
    assert screen.getvalue() == ""


def test_what_is_a_conversation():
    message = {"role": "user", "content": "cat"}
    assert mark_chats([message]).messages == [message]
    both = mark_chats([[message], [message, message]])
    assert [type(chat) for chat in both] == [Chat, Chat]
    assert mark_chats(["cat", "dog"]) == ["cat", "dog"]
    assert mark_chats([["cat", "dog"]]) == [["cat", "dog"]]
    assert mark_chats([]) == [] and mark_chats("cat") == "cat"
    assert mark_chats(item for item in [message, message]).messages == [message, message]
    assert [type(c) for c in mark_chats(item for item in [[message]])] == [Chat]
    assert list(mark_chats(item for item in ["cat"])) == ["cat"]
    assert mark_chats(item for item in []) == []
    with pytest.raises(ValueError, match="role"):
        mark_chats([message, {"content": "cat"}])


def test_a_pipeline_of_ones_own(model):
    class Lengths(hf.Pipeline):
        _load_tokenizer = True

        def _sanitize_parameters(self, extra=None):
            return {}, {}, {} if extra is None else {"extra": extra}

        def preprocess(self, text):
            return self.tokenizer(text, return_tensors="pt")

        def _forward(self, inputs):
            outputs = self.model(**inputs, output_hidden_states=True)
            outputs["kept"] = inputs["input_ids"]
            return outputs

        def postprocess(self, outputs, extra=0):
            assert outputs.logits.shape[0] == outputs["kept"].shape[0] == 1
            assert {state.shape[0] for state in outputs.hidden_states} == {1}
            return outputs["kept"].shape[1] + extra

    auto = hf.AutoModelForSequenceClassification
    registry = pipelines.PIPELINE_REGISTRY
    registry.register_pipeline("lengths", Lengths, pt_model=auto, default={"pt": ("a/b", "main")})
    try:
        assert registry.check_task("lengths")[1] == {
            "impl": Lengths,
            "pt": (auto,),
            "default": {"model": ("a/b", "main")},
        }
        pipe = hf.pipeline("lengths", model=model, tokenizer=tokenizer())
        assert pipe("cat sat") == 2 and pipe(["cat", "cat sat ran"], extra=10) == [11, 13]
        assert pipe(["cat", "cat sat ran"], batch_size=2) == [3, 3]
        Lengths._load_tokenizer = None
        assert hf.pipeline("lengths", model=model).tokenizer is None
        with pytest.raises(UnsupportedArgumentError, match="BertModel"):
            registry.register_pipeline("other", Lengths, pt_model="BertModel")
    finally:
        del registry.tasks["lengths"]


def test_rows_with_different_keys_are_no_batch():
    row = {"input_ids": paddle.to_tensor([[1]])}
    with pytest.raises(ValueError, match="different keys"):
        iteration.collate([row, {**row, "more": 1}], tokenizer())


def test_padding_is_on_the_tokenizers_side():
    rows = [
        {"input_ids": paddle.to_tensor([[2, 3, 4]]), "special_tokens_mask": paddle.zeros([1, 3])},
        {"input_ids": paddle.to_tensor([[5]]), "special_tokens_mask": paddle.zeros([1, 1])},
    ]
    right = iteration.collate(rows, tokenizer())
    assert right["input_ids"].tolist() == [[2, 3, 4], [5, 0, 0]]
    assert right["special_tokens_mask"].tolist() == [[0, 0, 0], [0, 1, 1]]
    left = iteration.collate(rows, tokenizer(padding_side="left"))
    assert left["input_ids"].tolist() == [[2, 3, 4], [0, 0, 5]]


class Entities(EntityMixin):
    def __init__(self, *labels):
        self.tokenizer = tokenizer()
        config = transformers.PretrainedConfig(id2label=dict(enumerate(labels)))
        self.model = type("Model", (), {"config": config})


def piece(word, scores, start, subword=False):
    scores = np.array(scores, dtype="float32")
    end = start + len(word)
    return {
        **{"word": word, "scores": scores, "start": start, "end": end},
        **{"index": 0, "is_subword": subword},
    }


@pytest.mark.parametrize(
    ("strategy", "label", "score"),
    [("first", "A", 0.6), ("max", "B", 0.9), ("average", "B", 0.65)],
)
def test_pieces_of_a_word_agree(strategy, label, score):
    pieces = [piece("ca", [0.6, 0.4], 0), piece("t", [0.1, 0.9], 2, subword=True)]
    strategy = AggregationStrategy[strategy.upper()]
    (found,) = Entities("A", "B").aggregate(pieces, strategy)
    assert found["entity_group"] == label and abs(found["score"] - score) < 1e-6
    assert (found["start"], found["end"]) == (0, 3)


def test_b_begins_an_entity_and_i_continues_it():
    labels = ["B-P", "I-P", "I-L"]
    order = [0, 1, 0, 2, 2]
    pieces = [piece("x", np.eye(3)[label], i) for i, label in enumerate(order)]
    groups = Entities(*labels).aggregate(pieces, AggregationStrategy.SIMPLE)
    spans = [(group["entity_group"], group["start"], group["end"]) for group in groups]
    assert spans == [("P", 0, 2), ("P", 2, 3), ("L", 3, 5)]


def test_of_overlapping_entities_the_longest_stays():
    def entity(start, end, score):
        return {"start": start, "end": end, "score": score}

    keep = Entities("A").aggregate_overlapping_entities
    assert keep([]) == []
    assert keep([entity(5, 9, 0.1), entity(0, 3, 0.5), entity(4, 8, 0.9)]) == [
        entity(0, 3, 0.5),
        entity(4, 8, 0.9),
    ]
    assert keep([entity(0, 3, 0.9), entity(1, 5, 0.1)]) == [entity(1, 5, 0.1)]


def test_spans_by_hand():
    """Three allowed tokens beside the first; probabilities are exact thirds of powers of two."""
    start = np.log(np.array([[1, 1, 2, 4, 9]], dtype="float32"))
    end = np.log(np.array([[1, 4, 2, 1, 9]], dtype="float32"))
    output = {
        "start": paddle.to_tensor(start),
        "end": paddle.to_tensor(end),
        "p_mask": paddle.to_tensor([[0, 0, 0, 0, 1]]),
        "attention_mask": paddle.to_tensor([[1, 1, 1, 1, 1]]),
    }
    spans, null = best_spans(output, 3, 2)
    assert abs(null - 1 / 64) < 1e-6
    want = [(1, 1, 4 / 64), (2, 2, 4 / 64), (3, 3, 4 / 64)]
    assert [span[:2] for span in spans] == [span[:2] for span in want]
    np.testing.assert_allclose([s[2] for s in spans], [s[2] for s in want], rtol=1e-5)
    every, _ = best_spans(output, 100, 1)
    assert [span[:2] for span in every if span[2] > 0] == [span[:2] for span in want]
