"""Groups of completions, their rewards and advantages, and what is refused."""

from __future__ import annotations

import functools
import json
import math

import datasets
import numpy as np
import paddle
import pytest
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from hfpaddle.core.errors import MissingDependencyError, UnsupportedArgumentError
from hfpaddle.modeling.auto import AutoModelForCausalLM, AutoModelForSequenceClassification
from hfpaddle.transformers.trainer_utils import set_seed
from hfpaddle.trl import GRPOConfig, GRPOTrainer, TrlParser, rewards
from hfpaddle.trl.trainer import grpo_data, grpo_losses
from hfpaddle.trl.trainer.grpo_rewards import Rewards, get_callable_name

pytestmark = pytest.mark.unit

PROMPTS = datasets.Dataset.from_dict({"prompt": ["a b", "b", "c a a", "d"], "wanted": [1, 2, 3, 4]})


def lengths(completion_ids, **kwargs):
    return [float(len(ids)) for ids in completion_ids]


def config(folder, **settings):
    settings = {"num_generations": 2, "per_device_train_batch_size": 4, **settings}
    return GRPOConfig(
        str(folder), use_cpu=True, report_to="none", bf16=False, max_completion_length=5, **settings
    )


def parts(**further):
    """Return a tiny model and its tokenizer; each of the tokens b and c ends a completion."""
    vocabulary = {"<pad>": 0, "a": 1, "b": 2, "c": 3, "d": 4, "e": 5}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="e"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="b"
    )
    shape = transformers.LlamaConfig(
        vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, pad_token_id=0, eos_token_id=2, bos_token_id=None, **further,
    )  # fmt: skip
    return shape, tokenizer


def trainer_of(folder, functions=lengths, trainer=None, **settings):
    set_seed(0)
    shape, tokenizer = parts()
    return GRPOTrainer(
        AutoModelForCausalLM.from_config(shape),
        functions,
        config(folder, logging_steps=1, save_strategy="no", **settings),
        train_dataset=PROMPTS,
        processing_class=tokenizer,
        **(trainer or {}),
    )


CONFIG_REFUSALS = {
    "vllm": ({"use_vllm": True}, UnsupportedArgumentError, "model.generate"),
    "continuous": (
        {"use_transformers_continuous_batching": True},
        UnsupportedArgumentError,
        "not implemented",
    ),
    "hub": (
        {"log_completions": True, "log_completions_hub_repo": "me/it"},
        UnsupportedArgumentError,
        "upload the folder 'completions'",
    ),
    "batch search": ({"auto_find_batch_size": True}, ValueError, "full prompt groups"),
    "one": ({"num_generations": 1}, ValueError, "at least 2 generations"),
    "split group": ({"num_generations": 3}, ValueError, "divisible by num_generations"),
    "both": (
        {"generation_batch_size": 8, "steps_per_generation": 2},
        ValueError,
        "both configured at the same time",
    ),
    "uneven": ({"generation_batch_size": 6}, ValueError, "global batch size"),
    "evaluation": (
        {"eval_strategy": "steps", "per_device_eval_batch_size": 3},
        ValueError,
        "global eval batch size",
    ),
}


@pytest.mark.parametrize("case", CONFIG_REFUSALS)
def test_refusals_of_the_config(case, tmp_path):
    settings, error, message = CONFIG_REFUSALS[case]
    with pytest.raises(error, match=message):
        config(tmp_path, **settings)


def test_steps_and_batches(tmp_path):
    assert config(tmp_path, gradient_accumulation_steps=3).generation_batch_size == 12
    assert config(tmp_path, generation_batch_size=16).steps_per_generation == 4
    assert config(tmp_path, steps_per_generation=2).generation_batch_size == 8
    assert [config(tmp_path, scale_rewards=x).scale_rewards for x in (True, False)] == [
        "group",
        "none",
    ]


def test_arguments_from_a_command_line(tmp_path):
    line = ["--output_dir", str(tmp_path), "--num_generations", "2", "--use_cpu", "--beta", "0.1"]
    line += ["--generation_kwargs", '{"num_beams": 2}', "--reward_weights", "1", "0.5"]
    parser = TrlParser((GRPOConfig,))
    (args,) = parser.parse_args_and_config(line)
    assert (args.beta, args.reward_weights) == (0.1, [1.0, 0.5])
    assert args.generation_kwargs == {"num_beams": 2} and "--epsilon_high" in parser.format_help()


TRAINER_REFUSALS = {
    "loss": ({"loss_type": "ppo"}, ValueError, "Unknown loss type: ppo"),
    "level": ({"importance_sampling_level": "word"}, ValueError, "Unknown importance sampling"),
    "reference": ({"beta": 0.1}, UnsupportedArgumentError, "not loaded from a checkpoint"),
    "sync": ({"sync_ref_model": True}, ValueError, "beta=0.0"),
    "tools": ({"trainer": {"tools": [len]}}, UnsupportedArgumentError, "tools=...\\) is not"),
    "rollout": ({"trainer": {"rollout_func": len}}, UnsupportedArgumentError, "rollout_func"),
    "world": ({"trainer": {"environment_factory": len}}, UnsupportedArgumentError, "environment"),
    "nothing": ({"functions": []}, ValueError, "No reward source"),
    "weights": ({"reward_weights": [1.0, 2.0]}, ValueError, "reward weights \\(2\\) must match"),
    "tokenizers": (
        {"trainer": {"reward_processing_classes": [None, None]}},
        ValueError,
        "processing classes \\(2\\)",
    ),
}


@pytest.mark.parametrize("case", TRAINER_REFUSALS)
def test_refusals_of_the_trainer(case, tmp_path):
    settings, error, message = TRAINER_REFUSALS[case]
    with pytest.raises(error, match=message):
        trainer_of(tmp_path, **settings)


def test_a_head_in_half_precision_is_not_cast_alone(tmp_path):
    trainer_of(tmp_path, cast_lm_head_to_fp32=True)
    shape, tokenizer = parts()
    model = AutoModelForCausalLM.from_config(shape).to(dtype="bfloat16")
    with pytest.raises(UnsupportedArgumentError, match="the head is bfloat16"):
        GRPOTrainer(
            *(model, lengths, config(tmp_path, cast_lm_head_to_fp32=True)),
            train_dataset=PROMPTS,
            processing_class=tokenizer,
        )


@pytest.mark.parametrize(
    "settings", [{"scale_rewards": "all"}, {"multi_objective_aggregation": "x"}]
)
def test_unknown_scales(settings, tmp_path):
    with pytest.raises(ValueError, match="Must be"):
        trainer_of(tmp_path, max_steps=1, **settings).train()


def test_a_reward_is_needed_for_each_completion(tmp_path):
    def short(**kwargs):
        return [1.0]

    with pytest.raises(ValueError, match="'short' returned 1 rewards, but 4 were expected"):
        trainer_of(tmp_path, short, max_steps=1).train()


def test_rewards_that_nobody_gives(tmp_path, caplog):
    async def none(completions, wanted, **kwargs):
        return [None] * len(completions)

    trainer = trainer_of(tmp_path, none, max_steps=1)
    trainer.train()
    entry = trainer.state.log_history[0]
    assert entry["reward"] is None and entry["rewards/none/mean"] is None and entry["loss"] == 0.0


def test_training_raises_the_reward(tmp_path):
    def fours(completion_ids, **kwargs):
        return [float(ids.count(4)) for ids in completion_ids]

    trainer = trainer_of(
        *(tmp_path, fours),
        max_steps=30,
        learning_rate=1e-1,
        per_device_train_batch_size=16,
        num_generations=8,
        lr_scheduler_type="constant",
    )
    trainer.train()
    got = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
    assert np.mean(got[:3]) < 1 and np.mean(got[-3:]) > 2


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(tmp_path):
    settings = {"max_steps": 6, "seed": 3, "learning_rate": 1e-2}
    whole = trainer_of(tmp_path / "a", **settings)
    whole.train()
    first = trainer_of(tmp_path / "b", **settings)
    first.args.save_strategy, first.args.save_steps = "steps", 3
    first.train()
    second = trainer_of(tmp_path / "b", **settings)
    second.train(resume_from_checkpoint=str(tmp_path / "b" / "checkpoint-3"))
    names, got = ("loss", "grad_norm", "entropy", "reward"), []
    for trainer in (whole, second):
        entries = [entry for entry in trainer.state.log_history if "loss" in entry]
        got.append([tuple(entry[name] for name in names) for entry in entries])
    assert got[0] == got[1] and len(set(got[0])) == 6


def test_the_weight_of_entropy_is_saved(tmp_path):
    settings = {"use_adaptive_entropy": True, "entropy_target": 9.0, "max_steps": 2}
    trainer = trainer_of(tmp_path, **settings)
    trainer.args.save_strategy, trainer.args.save_steps = "steps", 2
    trainer.train()
    state = json.loads((tmp_path / "checkpoint-2" / "entropy_ctrl_state.json").read_text())
    assert state["entropy_coef"] == 0.01 and state["last_world_entropy"] < 9
    again = trainer_of(tmp_path, **{**settings, "max_steps": 3})
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert again.entropy_coef == pytest.approx(0.015)


def test_repeated_order():
    sampler = grpo_data.RepeatSampler(range(7), 2, batch_size=3, repeat_count=2, seed=1)
    once, again = list(sampler), list(sampler)
    assert len(sampler) == len(once) == 24 and once != again
    assert once[:6] == once[6:12] and once[0] == once[1] != once[2]
    later = grpo_data.RepeatSampler(range(7), 2, batch_size=3, repeat_count=2, seed=1)
    later.set_epoch(1)
    assert list(later) == again
    plain = grpo_data.RepeatSampler(range(3), 1, shuffle=False)
    assert list(plain) == [0, 1, 2]
    stream = datasets.Dataset.from_dict({"x": range(7)}).to_iterable_dataset()
    repeated = grpo_data.repeat_iterable_dataset(stream, 2, 3, 2)
    wanted = list(grpo_data.RepeatSampler(range(7), 2, 3, 2, shuffle=False))
    assert [row["x"] for row in repeated] == wanted


def test_completions_end_with_their_first_end():
    rows = np.asarray([[5, 2, 6, 3], [3, 5, 5, 5], [5, 6, 7, 8]])
    assert grpo_data.cut_after_end(rows, [2, 3]) == [[5, 2], [3], [5, 6, 7, 8]]


def test_advantages():
    rewards_of = np.asarray([[1, 2, 3, 6], [4, 4, 4, np.nan]], np.float32).reshape(-1, 1)
    one = np.ones(1, np.float32)
    found = grpo_losses.compute_advantages(rewards_of, one, 4, "none", "sum_then_normalize")
    assert found.advantages.tolist() == [-2, -1, 0, 3, 0, 0, 0, 0]
    assert found.is_std_zero.tolist() == [False] * 4 + [True] * 4
    assert math.isnan(found.rewards[-1])
    scaled = grpo_losses.compute_advantages(rewards_of, one, 4, "group", "sum_then_normalize")
    deviation = np.std([1, 2, 3, 6], ddof=1) + 1e-4
    np.testing.assert_allclose(scaled.advantages, found.advantages / deviation, rtol=1e-6)
    both = np.concatenate([rewards_of, 100 * rewards_of], axis=1)
    apart = grpo_losses.compute_advantages(
        both, np.ones(2, np.float32), 4, "group", "normalize_then_sum"
    )
    np.testing.assert_allclose(apart.advantages.sum(), 0, atol=1e-5)


def test_tokens_of_high_entropy():
    values = np.asarray([[1, 2, 3, 9], [4, 5, 9, 9]], np.float32)
    mask = np.asarray([[1, 1, 1, 0], [1, 1, 0, 0]], bool)
    assert grpo_losses.high_entropy(values, mask, 0.5).tolist() == [
        [False, False, True, False],
        [True, True, False, False],
    ]
    assert not grpo_losses.high_entropy(values, np.zeros_like(mask), 0.5).any()


def test_scores_do_not_depend_on_what_is_masked():
    logits, labels = paddle.randn([2, 6, 7]), paddle.to_tensor([[1, 2, -100], [3, -100, -100]])
    logits.stop_gradient = False
    logps, entropy = grpo_losses.score_completions(logits, labels, 0.5, "gradient")
    wanted = paddle.nn.functional.log_softmax(logits[:, 2:5] / 0.5, axis=-1).numpy()
    np.testing.assert_allclose(logps.numpy()[0, 1], wanted[0, 1, 2], rtol=1e-5)
    assert logps.numpy()[0, 2] == 0 and entropy.numpy()[1, 1] == 0
    np.testing.assert_allclose(
        entropy.numpy()[1, 0], -(np.exp(wanted[1, 0]) * wanted[1, 0]).sum(), rtol=1e-5
    )
    for kind in (None, "plain"):
        again, value = grpo_losses.score_completions(logits, labels, 0.5, kind)
        np.testing.assert_allclose(again.numpy(), logps.numpy(), rtol=1e-5)
        if kind is not None:
            np.testing.assert_allclose(value.numpy(), entropy.numpy(), rtol=1e-5)
            assert value.stop_gradient
    (grad,) = paddle.grad((entropy + logps).sum(), [logits])
    assert float(grad[0, 4:].abs().sum()) == 0 and float(grad[1, 2].abs().sum()) > 0
    nothing, _ = grpo_losses.score_completions(logits, paddle.full([2, 3], -100), 1.0)
    nothing.sum().backward()  # a batch without tokens has gradients of zero
    assert float(logits.grad.abs().sum()) == 0


def test_reward_models_read_their_own_tokenizer(tmp_path):
    shape, tokenizer = parts(num_labels=1)
    model = AutoModelForSequenceClassification.from_config(shape)
    model.config._name_or_path = "somewhere/scorer"
    read = Rewards([model, functools.partial(lengths)], [tokenizer, None], config(tmp_path))
    assert read.names == ["scorer", "lengths"] and not model.training
    rows = [{"prompt": "a"}, {"prompt": "b c"}]
    given = (rows, ["a ", "d a "], ["e", "c"], [[5], [3]], None, {})
    got = read(*given)
    for text, value in zip(["a e", "d a c"], got[:, 0], strict=True):
        ids = paddle.to_tensor([tokenizer(text)["input_ids"]])
        np.testing.assert_allclose(model(input_ids=ids).logits.numpy()[0, 0], value, rtol=1e-5)
    assert got[:, 1].tolist() == [1.0, 1.0]
    assert get_callable_name(rewards.get_soft_overlong_punishment(5, 2)).startswith("soft_overlong")


def said(*texts):
    return [[{"role": "assistant", "content": text}] for text in texts]


def test_ready_made_rewards():
    assert rewards.think_format_reward(
        said("<think>a</think>b", "<think>a", "<think><think></think>", "a<think></think>")
    ) == [1.0, 0.0, 0.0, 0.0]
    soft = rewards.get_soft_overlong_punishment(10, 4)
    assert soft([[1] * n for n in (6, 8, 10, 11)]) == [0.0, -0.5, -1.0, -1.0]
    penalty = rewards.get_repetition_penalty_reward(2, -1.0)
    assert penalty([[1, 2, 3, 4], [5] * 5, [1]]) == [0.0, -0.75, 0.0]
    with pytest.raises(ValueError, match="should not be positive"):
        rewards.get_repetition_penalty_reward(max_penalty=1.0)


def test_answers_are_checked_by_math_verify():
    right, wrong = said(r"\boxed{\frac{1}{3}}")[0], said(r"so it is \boxed{2}")[0]
    solution = [r"\frac{1}{3}"] * 2
    try:
        import math_verify  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError, match="pip install math-verify"):
            rewards.accuracy_reward([right, wrong], solution)
        with pytest.raises(MissingDependencyError, match="reasoning_accuracy_reward"):
            rewards.reasoning_accuracy_reward([right], solution[:1])
    else:
        assert rewards.accuracy_reward([right, wrong], solution) == [1.0, 0.0]
        scaled = rewards.get_cosine_scaled_reward(max_len=100)
        assert scaled([right, wrong], solution, [[1] * 50] * 2) == pytest.approx([0.75, -0.75])
