"""Names resolve, arguments parse, and what is not implemented says so."""

from __future__ import annotations

import importlib
import subprocess
import sys

import datasets
import numpy as np
import paddle
import pytest
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from hfpaddle import trl
from hfpaddle.core.errors import MissingFeatureError, UnsupportedArgumentError
from hfpaddle.modeling.auto import AutoModelForCausalLM, AutoModelForSequenceClassification
from hfpaddle.peft import LoraConfig, get_peft_model
from hfpaddle.trl import (
    DPOConfig,
    DPOTrainer,
    ModelConfig,
    RewardConfig,
    RewardTrainer,
    ScriptArguments,
    SFTConfig,
    SFTTrainer,
    TrlParser,
    mirror,
)
from hfpaddle.trl.trainer import dpo_losses
from hfpaddle.trl.trainer.sft_data import DataCollatorForLanguageModeling
from hfpaddle.trl.trainer.utils import disable_dropout_in_model, pad, score_tokens

pytestmark = pytest.mark.unit

TEXT = datasets.Dataset.from_dict({"text": ["a b"]})


@pytest.mark.parametrize("package", mirror._OURS)
def test_every_name_resolves(package):
    module = importlib.import_module(package)
    assert set(mirror.names(package)) <= set(dir(module))
    for name in mirror.names(package):
        assert getattr(module, name).__name__ == name


def test_names_without_implementation():
    with pytest.raises(MissingFeatureError, match="trl.WeaveCallback has no implementation"):
        trl.WeaveCallback(trainer="x")
    with pytest.raises(AttributeError, match="nearest: 'SFTTrainer'"):
        trl.SFTTrainr  # noqa: B018


def test_import_patches_nothing():
    code = (
        "import sys, paddle; before = dict(vars(paddle.Tensor)); import hfpaddle.trl as trl; "
        "trl.SFTTrainer, trl.SFTConfig, trl.TrlParser; assert dict(vars(paddle.Tensor)) == before; "
        "assert not {'torch', 'trl', 'peft', 'accelerate'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def test_parser(tmp_path, monkeypatch):
    monkeypatch.delenv("SOME_VARIABLE", raising=False)
    file = tmp_path / "config.yaml"
    file.write_text("env:\n  SOME_VARIABLE: 3\nlearning_rate: 0.1\nlora_r: 2\nmax_length: 7\n")
    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig))
    line = ["--config", str(file), "--lora_r", "8", "--output_dir", str(tmp_path), "--use_cpu"]
    script, args, model = parser.parse_args_and_config(line)
    assert (args.learning_rate, model.lora_r, args.max_length) == (0.1, 8, 7)
    assert script.dataset_train_split == "train" and args.bf16 and args.gradient_checkpointing
    again = TrlParser((SFTConfig,)).parse_args_and_config(["--max_length", "none"])
    assert again[0].max_length is None
    file.write_text("no_such_argument: 1\n")
    with pytest.raises(ValueError, match="no_such_argument"):
        parser.parse_args_and_config(["--config", str(file)])
    *_, rest = parser.parse_args_and_config(
        ["--config", str(file), "--other"], return_remaining_strings=True
    )
    assert rest == ["--no_such_argument", "1", "--other"]


def test_help_can_be_shown():
    text = TrlParser((ScriptArguments, SFTConfig, ModelConfig)).format_help()
    assert "20% slower" in text and "--packing_strategy" in text


def test_peft_config():
    assert trl.get_peft_config(ModelConfig()) is None
    asked = ModelConfig(use_peft=True, lora_r=3, lora_target_modules=["q_proj"], use_rslora=True)
    config = trl.get_peft_config(asked)
    assert (config.r, config.target_modules, config.use_rslora) == (3, "q_proj", True)
    assert trl.get_quantization_config(asked) is None
    with pytest.raises(UnsupportedArgumentError, match="load_in_4bit=True"):
        trl.get_quantization_config(ModelConfig(load_in_4bit=True))


def test_padding():
    assert pad([[1, 2, 3], [4]], 9).tolist() == [[1, 2, 3], [4, 9, 9]]
    assert pad([[1, 2, 3], [4]], 9, "left", 2).tolist() == [[9, 1, 2, 3], [9, 9, 9, 4]]


def test_collator_of_packed_rows():
    collate = DataCollatorForLanguageModeling(0, padding_free=True)
    rows = [{"input_ids": [1, 2, 3, 4], "seq_lengths": [3, 1]}, {"input_ids": [5, 6]}]
    rows[1]["seq_lengths"] = [2]
    batch = collate(rows)
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 0, 1]]
    assert batch["labels"].tolist() == [[-100, 2, 3, -100, -100, 6]]
    assert batch["cu_seq_lens_q"].tolist() == [0, 3, 4, 6] and batch["max_length_q"] == 3
    assert batch["seq_idx"].tolist() == [[0, 0, 0, 1, 2, 2]]


def test_scores_of_tokens():
    logits = paddle.randn([2, 4, 7])
    logits.stop_gradient = False
    labels = paddle.to_tensor([[1, 2, -100, 3], [-100, -100, -100, 0]])
    scores = score_tokens(logits, labels)
    logs = paddle.nn.functional.log_softmax(logits, axis=-1).numpy()
    want = np.zeros([2, 3], "float32")
    want[0, 0], want[0, 2], want[1, 2] = logs[0, 0, 2], logs[0, 2, 3], logs[1, 2, 0]
    np.testing.assert_allclose(scores.log_probs.numpy(), want, rtol=1e-5)
    entropy = -(np.exp(logs) * logs).sum(-1)[:, :3] * (want != 0)
    np.testing.assert_allclose(scores.entropy.numpy(), entropy, rtol=1e-5)
    scores.log_probs.sum().backward()
    assert float(logits.grad[:, 3].abs().sum()) == 0.0 and float(logits.grad[0, 1].abs().sum()) == 0
    nothing = score_tokens(logits, paddle.full([2, 4], -100))
    assert float(nothing.log_probs.sum()) == 0.0 and not bool(nothing.label_mask.any())
    nothing.log_probs.sum().backward()  # a batch without labels has gradients of zero


REFUSALS = {
    "no data": ({"train_dataset": None}, ValueError, "`train_dataset` is required"),
    "a list": ({"train_dataset": [{"text": "a"}]}, TypeError, "got `list`"),
    "images": (
        {"train_dataset": datasets.Dataset.from_dict({"text": ["a"], "image": [1]})},
        UnsupportedArgumentError,
        "vision-language",
    ),
    "quantized": ({"quantization_config": object()}, UnsupportedArgumentError, "not implemented"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case, tmp_path):
    further, error, message = REFUSALS[case]
    args = SFTConfig(str(tmp_path), use_cpu=True, report_to="none")
    with pytest.raises(error, match=message):
        SFTTrainer("nowhere", args, **{"train_dataset": TEXT, **further})


def test_dropout_can_be_turned_off_everywhere():
    config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=50, eos_token_id=1)
    model = AutoModelForCausalLM.from_config(config)
    adapter = LoraConfig(lora_dropout=0.5, init_lora_weights=False, task_type="CAUSAL_LM")
    model = get_peft_model(model, adapter)
    model.train()
    ids = paddle.randint(2, 50, [2, 9])
    assert float((model(input_ids=ids).logits - model(input_ids=ids).logits).abs().max()) > 0
    disable_dropout_in_model(model)
    assert float((model(input_ids=ids).logits - model(input_ids=ids).logits).abs().max()) == 0


def pairs(**values):
    four = ("chosen", "rejected", "ref_chosen", "ref_rejected")
    sums = {name: paddle.to_tensor(values.get(name, [-1.0, -2.0])) for name in four}
    scores = [sums["chosen"] - sums["ref_chosen"], sums["rejected"] - sums["ref_rejected"]]
    counts = [paddle.to_tensor([3.0, 2.0])] * 2
    return dpo_losses.Pairs(*sums.values(), *scores, *counts, paddle.to_tensor(-0.5))


@pytest.mark.parametrize("name", dpo_losses.LOSSES)
def test_losses_prefer_the_chosen_answer(name, tmp_path):
    """At the reference a loss is one value a pair, and falls as the chosen answer gets likelier."""
    args = DPOConfig(str(tmp_path), use_cpu=True, label_smoothing=0.1)
    at = pairs()
    assert dpo_losses.LOSSES[name](at, args).shape == [2]
    chosen = paddle.to_tensor([-1.0, -2.0], stop_gradient=False)
    # sft reads means, apo_down lowers both answers, and discopop has a minimum below 0.
    if name not in ("sft", "apo_down", "discopop"):
        moved = dpo_losses.Pairs(
            *(chosen, at.rejected, at.ref_chosen, at.ref_rejected),
            *(chosen - at.ref_chosen, at.rejected_scores, at.chosen_tokens, at.rejected_tokens),
            at.chosen_mean,
        )
        dpo_losses.LOSSES[name](moved, args).sum().backward()
        assert bool((chosen.grad < 0).all())


DPO_REFUSALS = {
    "unknown": ({"loss_type": "dpo"}, ValueError, "Unknown loss type: dpo"),
    "divergence": (
        {"loss_type": "nca_pair", "f_divergence_type": "forward_kl"},
        ValueError,
        "only supported for the following loss types",
    ),
    "weighting": (
        {"loss_type": ["aot"], "use_weighting": True},
        NotImplementedError,
        "misalign per-pair weights",
    ),
    "exo": ({"loss_type": "exo_pair"}, ValueError, "greater than 0.0"),
}


@pytest.mark.parametrize("case", DPO_REFUSALS)
def test_refusals_of_dpo(case, tmp_path):
    settings, error, message = DPO_REFUSALS[case]
    with pytest.raises(error, match=message):
        DPOTrainer("x", args=DPOConfig(str(tmp_path), use_cpu=True, **settings), train_dataset=TEXT)


def test_as_many_weights_as_losses(tmp_path):
    with pytest.raises(ValueError, match="Got 1 weights for 2 losses"):
        DPOConfig(str(tmp_path), loss_type=["sigmoid", "sft"], loss_weights=[1.0])


def test_a_model_without_checkpoint_needs_a_reference(tmp_path):
    config = transformers.GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=50, eos_token_id=1)
    model = AutoModelForCausalLM.from_config(config)
    data = datasets.Dataset.from_dict({k: [[2]] for k in ("prompt_ids", "chosen_ids")})
    data = data.add_column("rejected_ids", [[3]])
    args = DPOConfig(str(tmp_path), use_cpu=True, report_to="none")
    with pytest.raises(UnsupportedArgumentError, match="Pass `ref_model`"):
        DPOTrainer(model, args=args, train_dataset=data, processing_class=tiny_tokenizer())


def tiny_tokenizer():
    inner = Tokenizer(models.WordLevel({"<pad>": 0, "a": 1}, unk_token="a"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>")


def test_reward_models_have_one_label(tmp_path):
    config = transformers.GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=50, num_labels=2)
    model = AutoModelForSequenceClassification.from_config(config)
    args = RewardConfig(str(tmp_path), use_cpu=True, report_to="none")
    with pytest.raises(ValueError, match="num_labels=2"):
        RewardTrainer(model, args=args, train_dataset=TEXT)


def chat_setting(tmp_path, **settings):
    config = transformers.LlamaConfig(
        vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    args = SFTConfig(str(tmp_path), use_cpu=True, report_to="none", logging_steps=1, **settings)
    said = [{"role": "user", "content": "a a"}, {"role": "assistant", "content": "a a a"}]
    data = datasets.Dataset.from_dict({"messages": [said] * 4})
    model = AutoModelForCausalLM.from_config(config)
    return {"model": model, "args": args, "train_dataset": data, "processing_class": tokenizer}


def test_a_template_without_marks_is_refused(tmp_path):
    with pytest.raises(UnsupportedArgumentError, match="generation %} and {% endgeneration"):
        SFTTrainer(**chat_setting(tmp_path, assistant_only_loss=True))


def test_an_adapter_on_the_head_is_trained(tmp_path):
    config = LoraConfig(r=2, target_modules=["lm_head"], task_type="CAUSAL_LM")
    trainer = SFTTrainer(**chat_setting(tmp_path, max_steps=2), peft_config=config)
    named = {n: p for n, p in trainer.model.named_parameters() if "lora_B" in n}
    assert named and all(float(p.abs().sum()) == 0 for p in named.values())
    trainer.train()
    assert all(float(p.abs().sum()) > 0 for p in named.values())
    assert "mean_token_accuracy" in trainer.state.log_history[0]


def test_packed_data_are_not_packed_again(tmp_path):
    setting = chat_setting(tmp_path, max_steps=1, packing=True, max_length=12)
    trainer = SFTTrainer(**setting, eval_dataset=setting["train_dataset"])
    assert trainer.eval_dataset["seq_lengths"][:] == [[5, 5], [5, 5]]
    assert trainer._prepared_eval(trainer.args, trainer.eval_dataset) is trainer.eval_dataset
    loss = trainer.evaluate(trainer.eval_dataset)["eval_loss"]
    assert loss == pytest.approx(trainer.evaluate()["eval_loss"], rel=1e-6)
