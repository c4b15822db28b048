"""A script's own classes: a stopped run goes on to the last bit."""

from __future__ import annotations

import pytest

from hfpaddle import torch
from hfpaddle.accelerate import Accelerator
from hfpaddle.accelerate.state import AcceleratorState, GradientState
from hfpaddle.accelerate.utils import DataLoaderConfiguration, set_seed

pytestmark = pytest.mark.unit


def reset():
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


def run(folder, save_at=None, resume_at=None, **settings):
    """Three epochs of six batches; the losses from ``resume_at`` on, and the last weights."""
    reset()
    config = DataLoaderConfiguration(**settings)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2, dataloader_config=config)
    set_seed(4)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    rows = torch.utils.data.TensorDataset(torch.randn(11, 3), torch.randn(11, 1))
    loader = torch.utils.data.DataLoader(rows, batch_size=2, shuffle=True)
    parts = accelerator.prepare(model, optimizer, loader, schedule)
    model, optimizer, loader, schedule = parts
    epoch, skipped = resume_at or (0, 0)
    if resume_at:
        torch.rand(5)  # as if other things had run before
        accelerator.load_state(str(folder))
    losses = []
    for number in range(epoch, 3):
        first = skipped if number == epoch else 0
        batches = accelerator.skip_first_batches(loader, first) if first else loader
        for index, (x, y) in enumerate(batches, start=first + 1):
            with accelerator.accumulate(model):
                loss = ((model(x) - y) ** 2).mean()
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            losses.append(loss.item())
            if (number, index) == save_at:
                accelerator.save_state(str(folder))
    weights = [p.tolist() for p in model.parameters()]
    reset()
    return losses, weights, schedule.get_last_lr()


@pytest.mark.parametrize("seedable", [False, True])
@pytest.mark.parametrize("stop", [(0, 3), (1, 4), (2, 5)])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, stop, seedable):
    settings = {"use_seedable_sampler": seedable}
    losses, weights, rates = run(tmp_path / "s", save_at=stop, **settings)
    resumed = run(tmp_path / "s", resume_at=stop, **settings)
    assert resumed == (losses[stop[0] * 6 + stop[1] :], weights, rates)
    assert len(set(losses)) == 18
