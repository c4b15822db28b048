"""Paddle's own functionality gives the same, to the last bit, with torch's methods switched on.

The sample below runs in two processes, as code of a library written for Paddle, and prints digests.
"""

from __future__ import annotations

import os
import subprocess
import sys

import paddle
import pytest

import hfpaddle.torch as torch

pytestmark = pytest.mark.unit

SAMPLE = r"""
import copy, hashlib, os, pickle, tempfile
import numpy as np
import paddle
from paddle.distributed.fleet.utils import recompute

def digest(name, *values):
    data = hashlib.sha256()
    for value in values:
        data.update(np.ascontiguousarray(value.numpy() if hasattr(value, "numpy") else value))
        data.update(str(getattr(value, "dtype", "")).encode())
    print(name, data.hexdigest()[:16])

class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.inner = paddle.nn.LayerList([paddle.nn.Linear(8, 8) for _ in range(2)])
        self.norm, self.drop = paddle.nn.LayerNorm(8), paddle.nn.Dropout(0.3)
        self.attention = paddle.nn.MultiHeadAttention(8, 2)
        self.register_buffer("scale", paddle.full([1], 0.5))
    def forward(self, x, use_recompute=False):
        for layer in self.inner:
            x = recompute(layer, x) if use_recompute else layer(x)
            x = paddle.nn.functional.gelu(x) * self.scale
        x = x.unsqueeze(0)
        x = self.norm(self.drop(x + self.attention(x, x, x))).squeeze(0)
        return x

class Data(paddle.io.Dataset):
    def __len__(self):
        return 20
    def __getitem__(self, i):
        return np.full(8, i, "float32") / 20, np.int64(i % 8)

class Twice(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensor()
        return g * 2 + 0 * x

def train(workers, use_recompute):
    paddle.seed(7)
    np.random.seed(7)
    net = Net()
    rate = paddle.optimizer.lr.CosineAnnealingDecay(0.01, 10)
    optimizer = paddle.optimizer.AdamW(rate, parameters=net.parameters(), weight_decay=0.1,
                                       grad_clip=paddle.nn.ClipGradByGlobalNorm(0.5))
    losses = []
    loader = paddle.io.DataLoader(Data(), batch_size=5, shuffle=True, num_workers=workers)
    for x, y in loader:
        x.stop_gradient = not use_recompute
        out = Twice.apply(net(x, use_recompute))
        loss = paddle.nn.functional.cross_entropy(out, y)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        rate.step()
        losses.append(loss)
    digest(f"train {workers} {use_recompute}", *losses, *net.state_dict().values())
    return net, optimizer

def saving(net, optimizer):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.pdparams")
        paddle.save(net.state_dict(), path)
        paddle.save(optimizer.state_dict(), path + "opt")
        back = Net()
        back.set_state_dict(paddle.load(path))
        optimizer.set_state_dict(paddle.load(path + "opt"))
        digest("save", *back.state_dict().values())
    other = copy.deepcopy(net)
    digest("deepcopy", *other.state_dict().values(), pickle.loads(pickle.dumps(paddle.ones([2]))))

def static(net):
    net.eval()
    x = paddle.arange(16, dtype="float32").reshape([2, 8])
    want = net(x)
    fixed = paddle.jit.to_static(net, full_graph=True)
    digest("to_static", want, fixed(x))
    @paddle.jit.to_static(full_graph=False)
    def loop(x):
        if x.max() > 3:
            x += 1
        return x.sort(axis=-1, descending=True).split(2, axis=-1)[0]
    digest("sot", loop(x), x)

def operators():
    x = paddle.to_tensor([[3.0, 1.0, 2.0], [0.5, 0.25, 4.0]])
    alias = x
    x += 1
    digest("iadd", alias, x)
    digest("methods", x.max(axis=1), x.max(1), x.sort(axis=1), x.median(axis=1),
           *x.split(3, axis=1), x.numel(), x.equal(x), np.array(x.size), x.std(), x.topk(2)[0],
           x.argsort(), x.mean(1),
           x.sum(0, keepdim=True), x.transpose([1, 0]), x.unique(), x.norm(), x.add_(x),
           x.clip(0, 3), x.expand([2, 2, 3]), x.reshape([3, 2]), x.astype("float64"), x.flip(0),
           x.all(), x.any(), (x > 1).where(x, x * 0), x.gather(paddle.to_tensor([1]), axis=0),
           x.cumsum(axis=0))
    print(repr(x), str(x.dtype), repr(x.dtype), x.shape, type(x.shape), x.place, x.type)
    one = paddle.nn.initializer.Constant(1.0)
    print(repr(paddle.create_parameter([2], "float32", default_initializer=one)), x[::-1].shape)
    paddle.seed(3)
    digest("random", paddle.randn([5]), x.normal_(), x.uniform_(), paddle.randperm(9),
           paddle.randint(0, 9, [4]))
    digest("int", paddle.to_tensor([5, 7]) // 2, 2 ** paddle.to_tensor([1.0]),
           1 - paddle.to_tensor([True]))
    y = paddle.ones([2, 3]); y.stop_gradient = False
    (y * x.detach()).sum().backward()
    digest("grad", y.grad, y.numpy()); print(y.grad.stop_gradient, y.grad_fn is None)
    digest("numpy", np.mean(x), np.asarray(y), np.float32(2) * y.detach())
    distribution = paddle.distribution.Normal(0.0, 2.0)
    digest("distribution", distribution.log_prob(x), distribution.sample([3]))
    digest("conv", paddle.nn.Conv2D(1, 2, 3)(paddle.ones([1, 1, 5, 5])).shape)
    metric = paddle.metric.Accuracy()
    metric.update(metric.compute(paddle.to_tensor([[0.1, 0.9]]), paddle.to_tensor([[1]])))
    print(metric.accumulate())

net, optimizer = train(0, False)
train(2, True)
saving(net, optimizer)
static(net)
operators()
"""

CHILD = """
import sys, types
if sys.argv[1] == "on":
    import hfpaddle.torch
module = types.ModuleType("paddle_sample")
sys.modules["paddle_sample"] = module
path = sys.argv[2]
exec(compile(open(path).read(), path, "exec"), module.__dict__)
"""


def sample(how: str, path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD, how, path],
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "FLAGS_cpu_deterministic": "1"},
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return done.stdout.decode().splitlines()


def test_paddle_is_the_same_with_the_methods_on(tmp_path):
    path = tmp_path / "sample.py"
    path.write_text(SAMPLE)
    without = sample("off", path)
    assert len(without) > 20
    assert sample("on", path) == without


def attributes() -> dict:
    names = {(row.owner, row.name) for row in torch.switched_methods()}
    owners = {
        "Tensor": paddle.Tensor,
        "DataType": paddle.dtype,
        "EagerParamBase": paddle.base.framework.EagerParamBase,
        "PyLayerContext": paddle.autograd.py_layer.PyLayerContext,
        "Layer": paddle.nn.Layer,
    }
    return {(owner, name): vars(owners[owner]).get(name) for owner, name in names}


def test_uninstall_restores_every_attribute():
    on = attributes()
    torch.uninstall_methods()
    try:
        off = attributes()
        x = y = paddle.ones([2])
        x += 1
        assert y.tolist() == [1, 1] and not hasattr(x, "nelement")
        assert str(paddle.float32) == "paddle.float32"
    finally:
        torch.install_methods()
    assert attributes() == on
    assert all(off[key] is not on[key] for key in on)
    x = y = paddle.ones([2])
    x += 1
    assert y.tolist() == [2, 2] and x.nelement() == 2


def test_the_table_tells_what_is_added_and_what_depends_on_the_caller():
    rows = {(row.owner, row.name): row for row in torch.switched_methods()}
    assert rows["Tensor", "nelement"].kind == "added"
    assert rows["Tensor", "max"].kind == "by caller"
    assert all(row.note for row in rows.values() if row.kind == "by caller")


def test_the_caller_decides():
    source = "def call(x): return x.max(1)"
    library, script = {"__name__": "paddle.some.part"}, {"__name__": "train"}
    exec(source, library)
    exec(source, script)
    x = paddle.to_tensor([[1.0, 2.0]])
    assert isinstance(library["call"](x), paddle.Tensor)
    assert script["call"](x).indices.tolist() == [1]
