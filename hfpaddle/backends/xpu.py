"""Kunlun XPUs of Paddle's XPU build."""

from __future__ import annotations

from hfpaddle.backends.registry import Backend, register_backend


def _count() -> int:
    import paddle

    if not paddle.device.is_compiled_with_xpu():
        return 0
    return int(paddle.base.core.get_xpu_device_count())


def _absent() -> str:
    import paddle

    if paddle.device.is_compiled_with_xpu():
        return "this Paddle build supports Kunlun XPUs but its driver shows none"
    return "this Paddle build has no Kunlun XPU support"


register_backend(
    Backend(
        name="xpu",
        count=_count,
        absent=_absent,
        remedy="Install paddlepaddle-xpu in place of paddlepaddle, or use device 'cpu'.",
        rank=2,
        label=lambda index: "Kunlun XPU",
    )
)
