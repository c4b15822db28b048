"""Run by test_nulldev.py in a process whose device is the strict null device: ``basics.py CHECK``.

Each check compares with the same computation on the CPU and looks where the results live.
"""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import paddle
import paddle.nn.functional as F

DEVICE = "nulldev:0"


def on_device(*tensors: paddle.Tensor) -> None:
    for tensor in tensors:
        assert tensor.place.is_custom_place(), f"{tensor.name} is on {tensor.place}"


def both(compute) -> list[list[np.ndarray]]:
    """Run ``compute`` on the device and on the CPU with the same random numbers."""
    results = []
    for device in (DEVICE, "cpu"):
        paddle.set_device(device)
        paddle.seed(7)
        tensors = compute()
        if device == DEVICE:
            on_device(*tensors)
        results.append([tensor.numpy() for tensor in tensors])
    return results


def same(compute, atol: float = 1e-6) -> None:
    for got, expected in zip(*both(compute), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=atol)


def create() -> None:
    assert paddle.get_device() == DEVICE
    x = paddle.to_tensor([[1.5, 2.0]])
    on_device(x, x.clone(), x.astype("int64"), x.to("nulldev:1"))
    assert x.cpu().place.is_cpu_place() and x.tolist() == [[1.5, 2.0]]
    same(lambda: [paddle.ones([2, 3]), paddle.arange(5), paddle.randn([4, 4])], atol=0)


def matmul() -> None:
    same(lambda: [paddle.randn([3, 5]) @ paddle.randn([5, 2])])


def softmax() -> None:
    same(lambda: [F.softmax(paddle.randn([3, 7]), axis=-1)])


def views() -> None:
    def compute():
        x = paddle.randn([2, 6, 4])
        x[:, 1] = 0.0
        return [x.transpose([0, 2, 1]).reshape([2, 24]), x[:, ::2].contiguous(), x[..., 1:3]]

    same(compute, atol=0)


def attention() -> None:
    def compute():
        q, k, v = (paddle.randn([2, 5, 2, 8]) for _ in range(3))
        return [F.scaled_dot_product_attention(q, k, v, is_causal=True)]

    same(compute)


def backward() -> None:
    def compute():
        x, w = paddle.randn([4, 8]), paddle.randn([8, 3])
        x.stop_gradient = w.stop_gradient = False
        loss = F.cross_entropy(F.layer_norm(x, 8) @ w, paddle.to_tensor([0, 2, 1, 0]))
        loss.backward()
        return [loss, x.grad, w.grad]

    same(compute)


def embedding() -> None:
    def compute():
        table = paddle.randn([9, 4])
        table.stop_gradient = False
        ids = paddle.to_tensor([[1, 8, 1], [0, 2, 2]])
        rows = F.embedding(ids, table, padding_idx=2)
        (rows * paddle.randn([2, 3, 4])).sum().backward()
        return [rows, table.grad]

    same(compute)


def index_select() -> None:
    def compute():
        x = paddle.randn([3, 5, 2])
        x.stop_gradient = False
        picked = [paddle.index_select(x, paddle.to_tensor([0, 2, 2]), axis=a) for a in (0, 1)]
        loss = sum((part * paddle.randn(part.shape)).sum() for part in picked)
        loss.backward()
        return [*picked, x.grad]

    same(compute)


def adamw() -> None:
    def compute():
        layer = paddle.nn.Linear(6, 4)
        optimizer = paddle.optimizer.AdamW(
            learning_rate=0.1,
            parameters=layer.parameters(),
            weight_decay=0.01,
            grad_clip=paddle.nn.ClipGradByGlobalNorm(1.0),
        )
        x = paddle.randn([5, 6])
        for _ in range(3):
            layer(x).square().mean().backward()
            optimizer.step()
            optimizer.clear_grad()
        moments = [optimizer._accumulators["moment1"][p.name] for p in layer.parameters()]
        return [*layer.parameters(), *moments]

    same(compute)


def host_access_is_fatal() -> None:
    """Read device memory as a careless extension would; this process must not survive."""
    x = paddle.ones([4])
    print("alive", flush=True)
    ctypes.string_at(x.data_ptr(), 4)
    print("read", flush=True)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
