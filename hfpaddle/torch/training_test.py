"""A seeded training script with torch's names, against the losses that torch 2.13 printed."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit

SCRIPT = """
import hfpaddle.torch as torch
from hfpaddle.torch import nn, optim
from hfpaddle.torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.linspace(-1, 1, 12).reshape(12, 1)
net = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Dropout(0.1), nn.Linear(4, 1))
optimizer = optim.AdamW(net.parameters(), lr=0.05)
schedule = optim.lr_scheduler.LinearLR(optimizer, 0.5, 1.0, 3)
for a, b in DataLoader(TensorDataset(x, x * 3 + 1), 4, shuffle=True, num_workers=2):
    loss = nn.functional.mse_loss(net(a), b)
    loss.backward()
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
    print(loss.item())
"""
PRINTED_BY_TORCH = [1.56759, 10.45098, 3.56578]


def test_losses_of_a_seeded_script():
    """Initial weights, order of the samples, dropout and updates: all as torch's."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    losses = [float(line) for line in done.stdout.split()]
    assert losses == pytest.approx(PRINTED_BY_TORCH, abs=2e-5)
