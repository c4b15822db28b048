"""One device a file: cpu, gpu, xpu, null. The only place where a device is named."""

from hfpaddle.backends.registry import Backend, backends, custom_backend, register_backend
from hfpaddle.backends.resolve import (
    backend_of,
    compute_dtype,
    describe,
    device_object,
    memory,
    resolve_device,
    resolve_device_map,
    shares_host_memory,
    synchronize,
)

__all__ = [
    "Backend",
    "backend_of",
    "backends",
    "compute_dtype",
    "custom_backend",
    "describe",
    "device_object",
    "memory",
    "register_backend",
    "resolve_device",
    "resolve_device_map",
    "shares_host_memory",
    "synchronize",
]
