"""A hand-written loop: accumulation, clipping, schedule, uneven batches, beside the original."""

from __future__ import annotations

import math

import accelerate
import numpy as np
import paddle
import pytest
import torch
import transformers

import hfpaddle.accelerate
import hfpaddle.accelerate.utils
from hfpaddle import transformers as ours
from hfpaddle.accelerate.state import AcceleratorState, GradientState

pytestmark = pytest.mark.compat

ROWS, BATCH, STEPS = 11, 2, 2
IDS = np.random.RandomState(0).randint(0, 60, (ROWS, 9))
LABELS = np.random.RandomState(1).randint(0, 2, ROWS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    torch.manual_seed(0)
    size = {"vocab_size": 60, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    size |= {"num_attention_heads": 2, "max_position_embeddings": 32}
    drop = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    models = {
        "llama": transformers.LlamaForCausalLM(transformers.LlamaConfig(**size)),
        "bert": transformers.BertForSequenceClassification(transformers.BertConfig(**size, **drop)),
    }
    root = tmp_path_factory.mktemp("models")
    for name, model in models.items():
        model.save_pretrained(root / name)
    return root


class TorchRows(torch.utils.data.Dataset):
    def __len__(self):
        return ROWS

    def __getitem__(self, i):
        return {"input_ids": torch.tensor(IDS[i]), "labels": torch.tensor(LABELS[i])}


class PaddleRows(paddle.io.Dataset):
    def __len__(self):
        return ROWS

    def __getitem__(self, i):
        return {"input_ids": IDS[i], "labels": LABELS[i]}


def factor(step):
    return max(0.0, 1 - step / 9)


def loop(accelerator, kind, model, optimizer, loader, schedule):
    """The body that both sides run: no name of torch or Paddle in it."""
    losses, rates, norms, sizes = [], [], [], []
    model, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)
    model.train()
    for _ in range(2):
        for batch in loader:
            with accelerator.accumulate(model):
                labels = batch["input_ids"] if kind == "llama" else batch["labels"]
                output = model(input_ids=batch["input_ids"], labels=labels)
                accelerator.backward(output.loss)
                if accelerator.sync_gradients:
                    norms.append(float(accelerator.clip_grad_norm_(model.parameters(), 0.5)))
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            losses.append(float(output.loss))
            rates.append(schedule.get_last_lr()[0])
            picked = accelerator.gather_for_metrics((output.logits.argmax(-1), batch["labels"]))
            sizes.append([len(part) for part in picked])
    return {"losses": losses, "rates": rates, "norms": norms, "sizes": sizes}


def reset():
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    accelerate.state.AcceleratorState._reset_state(True)
    accelerate.state.GradientState._reset_state()


def theirs_run(kind, folder):
    cls = {"llama": transformers.AutoModelForCausalLM}.get(
        kind, transformers.AutoModelForSequenceClassification
    )
    model = cls.from_pretrained(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    loader = torch.utils.data.DataLoader(TorchRows(), batch_size=BATCH)
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=STEPS)
    return loop(accelerator, kind, model, optimizer, loader, schedule)


def ours_run(kind, folder):
    cls = {"llama": ours.AutoModelForCausalLM}.get(kind, ours.AutoModelForSequenceClassification)
    model = cls.from_pretrained(folder)
    schedule = paddle.optimizer.lr.LambdaDecay(0.01, factor)
    optimizer = paddle.optimizer.AdamW(
        schedule, parameters=model.parameters(), weight_decay=0.1, epsilon=1e-8
    )
    loader = paddle.io.DataLoader(PaddleRows(), batch_size=BATCH)
    accelerator = hfpaddle.accelerate.Accelerator(cpu=True, gradient_accumulation_steps=STEPS)
    return loop(accelerator, kind, model, optimizer, loader, schedule)


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_the_loop_gives_the_losses_of_the_original(folders, kind):
    reset()
    theirs, mine = theirs_run(kind, folders / kind), ours_run(kind, folders / kind)
    reset()
    assert mine["sizes"] == theirs["sizes"] and theirs["sizes"][5] == [1, 1]
    assert mine["rates"] == pytest.approx(theirs["rates"], rel=1e-9)
    assert len(theirs["losses"]) == 12 and len(theirs["norms"]) == 6
    assert mine["losses"] == pytest.approx(theirs["losses"], rel=1e-4)
    assert mine["norms"] == pytest.approx(theirs["norms"], rel=1e-3)
    assert not math.isclose(theirs["losses"][0], theirs["losses"][6], rel_tol=1e-3)


def public(module):
    import inspect

    return {n for n, v in vars(module).items() if not n.startswith("_") and not inspect.ismodule(v)}


def test_every_name_of_the_original_resolves():
    # accelerate shows these two only where deepspeed is installed.
    for module, mirror in (
        (accelerate, hfpaddle.accelerate),
        (accelerate.utils, hfpaddle.accelerate.utils),
    ):
        missing = [name for name in public(module) if not hasattr(mirror, name)]
        assert not missing


def signature(function):
    import inspect

    return {
        name: (p.kind, None if "object object" in repr(p.default) else p.default)
        for name, p in inspect.signature(function).parameters.items()
    }


# Not init_trackers and log: a decorator of the original hides their arguments.
METHODS = (
    "__init__ accumulate autocast backward check_trigger clip_grad_norm_ clip_grad_value_ "
    "end_training free_memory gather gather_for_metrics get_state_dict get_tracker "
    "join_uneven_inputs load_state local_main_process_first main_process_first no_sync "
    "on_last_process on_local_main_process on_local_process on_main_process on_process "
    "pad_across_processes prepare prepare_data_loader prepare_model prepare_optimizer "
    "prepare_scheduler print profile reduce register_for_checkpointing "
    "register_load_state_pre_hook register_save_state_pre_hook save save_model save_state "
    "set_trigger skip_first_batches split_between_processes unscale_gradients unwrap_model "
    "wait_for_everyone"
).split()


@pytest.mark.parametrize("name", METHODS)
def test_methods_take_the_arguments_of_the_original(name):
    mine = getattr(hfpaddle.accelerate.Accelerator, name)
    assert signature(mine) == signature(getattr(accelerate.Accelerator, name))


SETTINGS = (
    "AutocastKwargs DataLoaderConfiguration GradScalerKwargs GradientAccumulationPlugin "
    "ProjectConfiguration"
).split()


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_have_the_fields_and_defaults_of_the_original(name):
    mine = getattr(hfpaddle.accelerate.utils, name)()
    assert vars(mine) == vars(getattr(accelerate.utils, name)())


def test_weights_of_a_state_load_in_the_original(tmp_path, folders):
    reset()
    accelerator = hfpaddle.accelerate.Accelerator(cpu=True)
    model = accelerator.prepare(ours.AutoModelForCausalLM.from_pretrained(folders / "llama"))
    with paddle.no_grad():
        model.lm_head.weight.fill_(0.25)
    accelerator.save_state(str(tmp_path / "s"))
    reset()
    other = transformers.AutoModelForCausalLM.from_pretrained(folders / "llama")
    accelerate.load_checkpoint_in_model(other, str(tmp_path / "s" / "model.safetensors"))
    for key, value in other.state_dict().items():
        assert (value.numpy() == model.state_dict()[key].detach().numpy()).all(), key
