"""Parts of GRPO that give the same as trl's, called alone."""

from __future__ import annotations

import dataclasses
import inspect

import datasets
import numpy as np
import paddle
import pytest
import torch
import transformers
import trl
import trl.rewards
import trl_samples as samples
from trl import chat_template_utils as their_templates
from trl.trainer import utils as their_utils

import hfpaddle.trl as ours
from hfpaddle.trl import chat_template_utils, rewards
from hfpaddle.trl.trainer import grpo_data, grpo_losses


def own_fields(config):
    """Return the defaults of what the config itself declares."""
    base = next(cls for cls in config.__mro__ if cls.__name__ == "TrainingArguments")
    known = {field.name for field in dataclasses.fields(base)}
    return {
        field.name: field.default for field in dataclasses.fields(config) if field.name not in known
    }


def test_fields_and_arguments():
    assert own_fields(ours.GRPOConfig) == own_fields(trl.GRPOConfig)
    names = [list(inspect.signature(x.GRPOTrainer).parameters) for x in (trl, ours)]
    assert names[0] == names[1]


SAMPLERS = [
    {"mini_repeat_count": 2, "batch_size": 3, "repeat_count": 4, "seed": 5},
    {"mini_repeat_count": 3, "seed": 1},
    {"mini_repeat_count": 1, "batch_size": 4, "repeat_count": 2, "shuffle": False},
]


@pytest.mark.parametrize("arguments", SAMPLERS)
def test_order(arguments):
    pair = [x(range(11), **arguments) for x in (their_utils.RepeatSampler, grpo_data.RepeatSampler)]
    assert len(pair[0]) == len(pair[1])
    for _ in range(3):  # passes
        assert list(pair[0]) == list(pair[1])


def test_order_of_streams():
    stream = datasets.Dataset.from_dict({"x": range(8), "y": list("abcdefgh")})
    stream = stream.to_iterable_dataset()
    pair = [x.repeat_iterable_dataset(stream, 2, 3, 2) for x in (their_utils, grpo_data)]
    assert list(pair[0]) == list(pair[1])


def test_tokens_of_high_entropy():
    random = np.random.default_rng(0)
    for threshold in (0.0, 0.2, 0.5, 0.8, 0.99, 1.0):
        for size in (1, 2, 7, 11, 40):
            values = random.random([3, size], np.float32)
            mask = random.random([3, size]) < 0.7
            if not mask.any():
                continue
            limit = torch.quantile(torch.tensor(values[mask]), threshold)
            want = (values >= limit.numpy()) & mask
            assert (grpo_losses.high_entropy(values, mask, threshold) == want).all()


def test_weights_of_vespo_and_masks():
    random = np.random.default_rng(1)
    advantages = np.asarray([[1.0], [-0.5], [0.0], [2.0]], np.float32)
    ratio = random.normal(0, 3, [4, 9]).astype(np.float32)
    mask = (random.random([4, 9]) < 0.8).astype(np.float32)
    given = advantages, ratio, mask
    want = trl.GRPOTrainer.get_gamma_weights(*map(torch.tensor, given), None)
    got = ours.GRPOTrainer.get_gamma_weights(*map(paddle.to_tensor, given))
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5)
    given = advantages, ratio, ratio[::-1].copy(), mask
    for threshold in (0.1, 1.0):
        want = trl.GRPOTrainer.get_off_policy_mask(*map(torch.tensor, given), threshold)
        got = ours.GRPOTrainer.get_off_policy_mask(*map(paddle.to_tensor, given), threshold)
        assert (got.numpy() == want.numpy()).all()


def said(*texts):
    return [[{"role": "assistant", "content": text}] for text in texts]


THOUGHTS = said(
    *("<think>\na\n</think>\nb", "<think>a</think>", " <think>a</think>", "<think>a", "b"),
    *("<think>a</think>b<think>c</think>", "x\n<think>a</think>", "<think></think></think>"),
)
IDS = [[1, 2, 3, 4, 1, 2, 3], [5] * 9, [1, 2], [], [7] * 3, list(range(12))]


def test_rewards_of_form_and_length():
    assert rewards.think_format_reward(THOUGHTS) == trl.rewards.think_format_reward(THOUGHTS)
    for n, penalty in ((1, -1.0), (2, -0.5), (3, -2.0), (20, -1.0)):
        pair = [x.get_repetition_penalty_reward(n, penalty) for x in (trl.rewards, rewards)]
        assert pair[0].__name__ == pair[1].__name__
        assert pair[0](completion_ids=IDS) == pair[1](completion_ids=IDS, other=1)
    for longest, cache in ((10, 4), (8, 1), (6, 0), (3, 3)):
        pair = [x.get_soft_overlong_punishment(longest, cache) for x in (trl.rewards, rewards)]
        assert pair[0].__name__ == pair[1].__name__
        assert pair[0](completion_ids=IDS) == pair[1](completion_ids=IDS)


ANSWERS = said(
    r"<think>hm</think> My answer is \boxed{\frac{1}{3}}",
    r"<think>\boxed{\frac{1}{3}}</think> or \boxed{0.5}",
    r"no reasoning \boxed{\frac{1}{3}}",
    r"<think>a</think> $x = 4$ and <think>b</think> $x = 5$",
    r"<think>a</think> three",
    r"<think>a</think> \boxed{7}",
)
SOLUTIONS = [r"\frac{1}{3}", r"\frac{1}{3}", r"\frac{1}{3}", "$x = 5$", "$3$", "no number"]


def test_rewards_of_answers():
    pytest.importorskip("math_verify")
    for name in ("accuracy_reward", "reasoning_accuracy_reward"):
        seen: list[dict] = [{}, {}]
        pair = [
            getattr(x, name)(ANSWERS, SOLUTIONS, log_extra=log.__setitem__)
            for x, log in zip((trl.rewards, rewards), seen, strict=True)
        ]
        assert pair[0] == pair[1] and {1.0, 0.0, None} == set(pair[0])
        assert seen[0] == seen[1] and len(seen[0]) == 3
    ids = [[1] * n for n in (0, 5, 10, 20, 3, 1)]
    pair = [x.get_cosine_scaled_reward(10)(ANSWERS, SOLUTIONS, ids) for x in (trl.rewards, rewards)]
    assert pair[0] == pair[1]
    marks = ["</end>", "</think>"]
    pair = [x.reasoning_accuracy_reward(ANSWERS, SOLUTIONS, marks) for x in (trl.rewards, rewards)]
    assert pair[0] == pair[1]


RESPONSES = [
    "<think>\nwell\n</think>\n\nred cat<|im_end|>",
    "blue dog<|im_end|>",
    "<|im_end|>",
    "<think>\na",
]


@pytest.mark.parametrize("response", RESPONSES)
@pytest.mark.parametrize("prefixed", [True, False])
def test_parsed_responses(tmp_path, response, prefixed):
    tokenizer = transformers.AutoTokenizer.from_pretrained(samples.write_tokenizer(tmp_path))
    tokenizer.response_template = their_templates.qwen3_template
    ids = tokenizer(response)["input_ids"]
    prefix = tokenizer("<|im_start|>user\nred<|im_end|>\n<|im_start|>assistant\n")["input_ids"]
    given = {"prefix": prefix if prefixed else None}
    want = their_templates.parse_response(tokenizer, ids, **given)
    assert chat_template_utils.parse_response(tokenizer, ids, **given) == want
