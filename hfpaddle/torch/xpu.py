"""``torch.xpu``: Kunlun devices, through Paddle."""

from __future__ import annotations

import paddle

__emulated__ = True


def device_count() -> int:
    """Kunlun devices that Paddle sees."""
    return paddle.device.xpu.device_count() if paddle.is_compiled_with_xpu() else 0


def is_available() -> bool:
    """Whether Paddle was built for XPU and sees one."""
    return device_count() > 0


def empty_cache() -> None:
    """Give unused memory back."""
    if is_available():
        paddle.device.xpu.empty_cache()


def synchronize(device=None) -> None:
    """Wait until the device has finished."""
    paddle.device.synchronize(device)


def manual_seed(seed: int) -> None:
    """Seed Paddle's generators."""
    paddle.seed(int(seed) % (1 << 63))


manual_seed_all = manual_seed


def is_bf16_supported() -> bool:
    """Whether the device computes in bfloat16."""
    return is_available()
