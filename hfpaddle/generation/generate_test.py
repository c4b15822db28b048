"""generate on a model small enough to know its answers: the next token depends on the last one."""

import threading
from dataclasses import dataclass

import numpy as np
import paddle
import pytest
import transformers

from hfpaddle.core import rng
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.core.outputs import ModelOutput
from hfpaddle.generation import GenerationMixin, LogitsProcessor
from hfpaddle.generation.output import GenerateBeamDecoderOnlyOutput, GenerateDecoderOnlyOutput
from hfpaddle.layers.cache import DynamicCache, StaticCache

pytestmark = pytest.mark.unit
PAD, BOS, EOS = 0, 1, 2
# Rows: probability of the next token after 3, 4, 5, 6. Greedy leaves 3 by 4 (0.6), but the best
# path of two steps goes by 5: 0.4 * 0.9 against 0.6 * 0.5.
NEXT = {3: {4: 0.6, 5: 0.4}, 4: {6: 0.5, 3: 0.3, EOS: 0.2}, 5: {6: 0.9, 3: 0.1}, 6: {EOS: 1.0}}


@dataclass
class Output(ModelOutput):
    logits: paddle.Tensor = None
    past_key_values: object = None
    hidden_states: object = None
    attentions: object = None


class Toy(paddle.nn.Layer, GenerationMixin):
    """A first-order Markov chain that keeps a cache as a real model does."""

    main_input_name = "input_ids"
    base_model_prefix = "model"

    def __init__(self, table=NEXT, vocab=8):
        super().__init__()
        self.config = transformers.LlamaConfig(
            vocab_size=vocab, num_hidden_layers=1, pad_token_id=PAD, eos_token_id=EOS
        )
        self.generation_config = transformers.GenerationConfig(
            pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS
        )
        logits = np.full((vocab, vocab), -20.0, dtype="float32")
        for token, row in table.items():
            for after, p in row.items():
                logits[token, after] = np.log(p)
        self.table = self.create_parameter([vocab, vocab])
        self.table.set_value(logits)
        self.fed = []

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        use_cache=None,
        logits_to_keep=0,
        return_dict=True,
    ):
        self.fed.append(list(input_ids.shape))
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if past_key_values is not None:
            keys = input_ids.astype("float32")[:, None, :, None]
            held, _ = past_key_values.update(keys, keys, 0)
            assert bool((held[:, 0, : past_key_values.get_seq_length(), 0][:, -1:] >= 0).all())
        logits = paddle.nn.functional.embedding(input_ids, self.table)
        return Output(logits=logits[:, -logits_to_keep:], past_key_values=past_key_values)


def ids(*rows):
    return paddle.to_tensor(np.array(rows, dtype="int64"))


def test_greedy_stops_at_the_end_token_and_pads():
    out = Toy().generate(ids([3], [6]), max_new_tokens=5)
    assert out.tolist() == [[3, 4, 6, EOS], [6, EOS, PAD, PAD]]
    assert out.dtype == paddle.int64


def test_one_token_is_fed_a_step_with_a_cache_and_all_without():
    model = Toy()
    model.generate(ids([5, 3]), max_new_tokens=3)
    assert model.fed == [[1, 2], [1, 1], [1, 1]]
    model.fed.clear()
    model.generate(ids([5, 3]), max_new_tokens=3, use_cache=False)
    assert model.fed == [[1, 2], [1, 3], [1, 4]]


def test_beam_search_finds_the_better_path():
    out = Toy().generate(
        ids([3]),
        max_new_tokens=3,
        num_beams=3,
        num_return_sequences=2,
        return_dict_in_generate=True,
        output_scores=True,
    )
    assert isinstance(out, GenerateBeamDecoderOnlyOutput)
    assert out.sequences.tolist() == [[3, 5, 6, EOS], [3, 4, 6, EOS]]
    expected = np.log([0.4 * 0.9, 0.6 * 0.5]) / 3
    np.testing.assert_allclose(out.sequences_scores.numpy(), expected, rtol=1e-4)


def test_samples_follow_the_seed_and_the_distribution():
    model, prompt = Toy(), ids([3])
    rng.manual_seed(0)
    first = model.generate(prompt, do_sample=True, max_new_tokens=3, num_return_sequences=300)
    rng.manual_seed(0)
    again = model.generate(prompt, do_sample=True, max_new_tokens=3, num_return_sequences=300)
    assert first.tolist() == again.tolist()
    assert set(first[:, 1].tolist()) == {4, 5}
    assert abs((first[:, 1] == 4).astype("float32").mean().item() - 0.6) < 0.1
    only = model.generate(prompt, do_sample=True, top_k=1, max_new_tokens=3)
    assert only.tolist() == [[3, 4, 6, EOS]]


def test_records_and_transition_scores():
    model = Toy()
    flags = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    out = model.generate(ids([3]), max_new_tokens=2, do_sample=False, **flags)
    assert isinstance(out, GenerateDecoderOnlyOutput) and len(out.scores) == 2
    assert out.past_key_values.get_seq_length() == 2
    scores = model.compute_transition_scores(out.sequences, out.scores, normalize_logits=True)
    np.testing.assert_allclose(scores.numpy(), np.log([[0.6, 0.5]]), rtol=1e-4)


def test_a_static_cache_gives_the_same_tokens():
    model = Toy()
    dynamic = model.generate(ids([3, 3]), max_new_tokens=4)
    static = model.generate(ids([3, 3]), max_new_tokens=4, cache_implementation="static")
    assert dynamic.tolist() == static.tolist()
    own = StaticCache(model.config, max_cache_len=9)
    assert (
        model.generate(ids([3, 3]), max_new_tokens=4, past_key_values=own).tolist()
        == static.tolist()
    )


def test_prompt_lookup_feeds_its_guesses_at_once():
    loop = {3: {4: 1.0}, 4: {5: 1.0}, 5: {3: 1.0}}
    model = Toy(loop)
    prompt = ids([3, 4, 5, 3, 4])
    plain = model.generate(prompt, max_new_tokens=12)
    model.fed.clear()
    looked = model.generate(prompt, max_new_tokens=12, prompt_lookup_num_tokens=3)
    assert looked.tolist() == plain.tolist() and len(model.fed) < 6


def test_an_assistant_changes_no_greedy_token():
    model, draft = Toy(), Toy({**NEXT, 3: {5: 1.0}})
    want = model.generate(ids([3]), max_new_tokens=4).tolist()
    assert model.generate(ids([3]), max_new_tokens=4, assistant_model=draft).tolist() == want


def test_custom_processor_criteria_and_streamer():
    class Never(LogitsProcessor):
        def __call__(self, input_ids, scores):
            banned = paddle.to_tensor(np.arange(8) == 4)
            return paddle.where(banned, paddle.full_like(scores, -float("inf")), scores)

    class Seen:
        def __init__(self):
            self.tokens, self.ended = [], False

        def put(self, value):
            self.tokens.append(value.tolist())

        def end(self):
            self.ended = True

    seen = Seen()
    out = Toy().generate(
        ids([3]),
        max_new_tokens=4,
        logits_processor=[Never()],
        stopping_criteria=[lambda ids, scores: ids.shape[1] >= 3],
        streamer=seen,
    )
    assert out.tolist() == [[3, 5, 6]]
    assert seen.tokens == [[[3]], [5], [6]] and seen.ended


def test_two_threads_generate_at_once():
    model, answers = Toy(), {}

    def work(start):
        answers[start] = model.generate(ids([start]), max_new_tokens=4).tolist()

    threads = [threading.Thread(target=work, args=(start,)) for start in (3, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {3: [[3, 4, 6, EOS]], 5: [[5, 6, EOS]]}


def test_a_left_padded_row_gets_positions_from_its_first_token():
    model = Toy()
    given = []
    model.prepare_inputs_for_generation = lambda *a, **k: (
        given.append(k.get("position_ids").tolist())
        or Toy.prepare_inputs_for_generation(model, *a, **k)
    )
    model.generate(ids([PAD, 3], [3, 3]), max_new_tokens=2)
    assert given == [[[0, 0], [0, 1]], [[0, 0, 1], [0, 1, 2]]]


@pytest.mark.parametrize(
    "kwargs, error, message",
    [
        ({"max_newtokens": 3}, ValueError, "max_newtokens"),
        ({"max_length": 1}, ValueError, "`max_length` is set to 1"),
        ({"num_beams": 2, "streamer": 1}, ValueError, "streamer"),
        ({"stop_strings": "x"}, ValueError, "tokenizer"),
        ({"penalty_alpha": 0.5, "top_k": 3}, UnsupportedArgumentError, "contrastive"),
        ({"cache_implementation": "quantized"}, UnsupportedArgumentError, "quantized"),
        ({"custom_generate": "a/b"}, UnsupportedArgumentError, "downloads no code"),
    ],
)
def test_refusals(kwargs, error, message):
    with pytest.raises(error, match=message):
        Toy().generate(ids([3]), **kwargs)
