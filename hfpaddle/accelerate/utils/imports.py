"""Mirror of ``accelerate.utils.imports``: which packages and devices there are."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

import paddle

from hfpaddle.accelerate.mirror import fallback

__emulated__ = True

# Name of upstream -> the packages of which any will do.
PACKAGES = {
    "is_aim_available": ("aim",),
    "is_amdsmi_available": ("amdsmi",),
    "is_boto3_available": ("boto3",),
    "is_clearml_available": ("clearml",),
    "is_comet_ml_available": ("comet_ml",),
    "is_datasets_available": ("datasets",),
    "is_dvclive_available": ("dvclive",),
    "is_import_timer_available": ("import_timer",),
    "is_matplotlib_available": ("matplotlib",),
    "is_mlflow_available": ("mlflow",),
    "is_numpy_available": ("numpy",),
    "is_pandas_available": ("pandas",),
    "is_pynvml_available": ("pynvml",),
    "is_pytest_available": ("pytest",),
    "is_sagemaker_available": ("sagemaker",),
    "is_swanlab_available": ("swanlab",),
    "is_tensorboard_available": ("tensorboard", "tensorboardX"),
    "is_timm_available": ("timm",),
    "is_tqdm_available": ("tqdm",),
    "is_trackio_available": ("trackio",),
    "is_transformers_available": ("transformers",),
    "is_wandb_available": ("wandb",),
}
# What needs torch itself, or hardware that Paddle reaches under another name: never there.
ABSENT = (
    "is_4bit_bnb_available is_8bit_bnb_available is_bitsandbytes_multi_backend_available "
    "is_bnb_available is_deepspeed_available is_fp8_available is_habana_gaudi1 is_hpu_available "
    "is_lomo_available is_megatron_lm_available is_mps_available is_msamp_available "
    "is_musa_available is_neuron_available is_pippy_available is_rocm_available "
    "is_schedulefree_available is_sdaa_available is_torch_xla_available is_torchao_available "
    "is_torch_distributed_available is_torchdata_available "
    "is_torchdata_stateful_dataloader_available "
    "is_transformer_engine_available is_transformer_engine_mxfp8_available is_xccl_available"
).split()


def _installed(names: tuple[str, ...]) -> bool:
    return any(importlib.util.find_spec(name) is not None for name in names)


def probe(name: str) -> Callable[..., bool] | None:
    """Return the function ``is_..._available``, or None if the name is not of that kind."""
    if name in PACKAGES:
        packages = PACKAGES[name]

        def installed(*args: object, **kwargs: object) -> bool:
            return _installed(packages)

        installed.__name__ = name
        return installed
    if name in ABSENT:

        def absent(*args: object, **kwargs: object) -> bool:
            return False

        absent.__name__ = name
        return absent
    return None


def is_cuda_available() -> bool:
    return paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0


def is_xpu_available(check_device: bool = False) -> bool:
    return paddle.device.is_compiled_with_xpu()


def is_npu_available(check_device: bool = False) -> bool:
    return "npu" in (paddle.device.get_all_custom_device_type() or [])


def is_mlu_available(check_device: bool = False) -> bool:
    return "mlu" in (paddle.device.get_all_custom_device_type() or [])


def is_bf16_available(ignore_tpu: bool = False) -> bool:
    """Whether this device computes in bfloat16; Paddle's CPU build does not."""
    return is_cuda_available() and paddle.amp.is_bfloat16_supported()


def is_fp16_available() -> bool:
    return is_cuda_available() and paddle.amp.is_float16_supported()


def is_triton_available() -> bool:
    return is_cuda_available() and _installed(("triton",))


def is_peft_available() -> bool:
    return _installed(("hfpaddle.peft",))


def is_torchvision_available() -> bool:
    return _installed(("hfpaddle.torchvision",))


def is_rich_available() -> bool:
    """Whether rich is installed and wanted: ``ACCELERATE_ENABLE_RICH`` says so, as upstream."""
    wanted = os.environ.get("ACCELERATE_ENABLE_RICH", "").lower()
    return wanted in ("1", "true", "yes", "y", "t", "on") and _installed(("rich",))


def is_weights_only_available() -> bool:
    return True


def is_port_in_use(port: int | str | None = None) -> bool:
    """Whether something listens at ``port`` of this machine (29500 by default)."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe_socket:
        return probe_socket.connect_ex(("localhost", int(port or 29500))) == 0


def get_current_device_type() -> tuple[str, str]:
    """Return the device's type and its distributed type, of a process among several."""
    device = "cuda" if is_cuda_available() else "xpu" if is_xpu_available() else "cpu"
    return device, f"MULTI_{'GPU' if device == 'cuda' else device.upper()}"


def are_libraries_initialized(*library_names: str) -> list[str]:
    """Return those of ``library_names`` that are imported."""
    import sys

    return [name for name in library_names if name in sys.modules]


def purge_accelerate_environment(func: Callable) -> Callable:
    """Wrap a function so that accelerate's environment variables are put back after it."""
    import functools

    @functools.wraps(func)
    def call(*args: object, **kwargs: object) -> object:
        before = {k: v for k, v in os.environ.items() if k.startswith("ACCELERATE_")}
        try:
            return func(*args, **kwargs)
        finally:
            for name in [k for k in os.environ if k.startswith("ACCELERATE_")]:
                os.environ.pop(name)
            os.environ.update(before)

    return call


__getattr__ = fallback(__name__)
