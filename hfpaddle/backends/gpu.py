"""GPUs of Paddle's CUDA (or ROCm) build. Scripts written for torch call them "cuda"."""

from __future__ import annotations

from hfpaddle.backends.registry import Backend, register_backend


def _count() -> int:
    import paddle

    return paddle.device.cuda.device_count() if paddle.device.is_compiled_with_cuda() else 0


def _absent() -> str:
    import paddle

    if paddle.device.is_compiled_with_cuda():
        return "this Paddle build supports GPUs but its driver shows none"
    return "this Paddle build has no GPU support"


def _label(index: int) -> str:
    import paddle

    return paddle.device.cuda.get_device_name(index)


def _memory(index: int) -> dict[str, int]:
    import paddle

    return {
        "allocated": int(paddle.device.cuda.memory_allocated(index)),
        "peak": int(paddle.device.cuda.max_memory_allocated(index)),
    }


register_backend(
    Backend(
        name="gpu",
        count=_count,
        absent=_absent,
        remedy="Install paddlepaddle-gpu in place of paddlepaddle, or use device 'cpu'.",
        aliases=("cuda", "dcu"),
        rank=3,
        label=_label,
        memory=_memory,
    )
)
