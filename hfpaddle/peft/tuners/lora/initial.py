"""How an adapter of a linear layer begins.

Sources: arXiv:2404.02948 (PiSSA), arXiv:2406.01775 (OLoRA). Shape letters: O out, I in, r rank.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.peft.utils.arrays import FLOATS, kaiming_uniform, normal, write

UNSUPPORTED = ("loftq", "eva", "corda", "lora_ga", "mica")


def check_init(init: Any) -> None:
    """Raise for an initialisation that is unknown or not implemented."""
    if init in (True, False):
        return
    name = str(init).lower()
    if name in UNSUPPORTED:
        raise UnsupportedArgumentError(
            f"LoraConfig: init_lora_weights={init!r} is not implemented. Works: True, False, "
            "'gaussian', 'pissa', 'pissa_niter_<n>', 'olora', 'orthogonal'."
        )
    if name not in ("gaussian", "olora", "orthogonal") and not name.startswith("pissa"):
        raise ValueError(f"Unknown initialization init_lora_weights={init!r}")


def initialise(layer: Any, adapter: str, init: Any) -> None:
    """Fill the factors of ``adapter``; PiSSA and OLoRA take them out of the base weight."""
    check_init(init)
    name = str(init).lower()
    if name.startswith("pissa"):
        _pissa(layer, adapter, name)
    elif name == "olora":
        _olora(layer, adapter)
    elif name == "orthogonal":
        _orthogonal(layer, adapter)
    elif init:
        reset_parameters(layer, adapter, init)


def reset_parameters(layer: Any, adapter: str, init: Any) -> None:
    """Draw ``A``, and write zeros into ``B``."""
    a, b = layer.lora_A[adapter], layer.lora_B[adapter]
    gaussian = init is not True
    shape = list(a.weight.shape)
    write(a.weight, normal(shape, 1 / layer.r[adapter]) if gaussian else kaiming_uniform(shape))
    write(b.weight, np.zeros(b.weight.shape, "float32"))
    if b.bias is not None:
        write(b.bias, np.zeros(b.bias.shape, "float32"))


def _base(layer: Any, method: str) -> np.ndarray:
    weight = layer.get_base_layer().weight
    if weight.dtype not in FLOATS[:3]:
        raise TypeError(f"Please initialize {method} under float32, float16, or bfloat16.")
    return weight.detach().astype("float32").numpy()


def _set_factors(layer: Any, adapter: str, a_rI: np.ndarray, b_Or: np.ndarray) -> None:
    # The factors stay float32 until they are moved to the base layer's dtype.
    write(layer.lora_A[adapter].weight, np.ascontiguousarray(a_rI))
    write(layer.lora_B[adapter].weight, np.ascontiguousarray(b_Or))


def _pissa(layer: Any, adapter: str, name: str) -> None:
    weight_OI = _base(layer, "PiSSA")
    weight_OI = weight_OI.T if layer.fan_in_fan_out else weight_OI
    r, scaling = layer.r[adapter], layer.scaling[adapter]
    if name == "pissa":
        u, s, vh = np.linalg.svd(weight_OI, full_matrices=False)
    elif name.count("_niter_") == 1:
        u, s, vh = svd_lowrank(weight_OI, r, int(name.split("_niter_")[-1]))
    else:
        raise ValueError(
            "init_lora_weights should be 'pissa' or 'pissa_niter_[number of iters]', got "
            f"{name} instead."
        )
    root = np.sqrt(s[:r] / np.float32(scaling)).astype("float32")
    a_rI, b_Or = root[:, None] * vh[:r], u[:, :r] * root
    _set_factors(layer, adapter, a_rI, b_Or)
    rest = weight_OI - np.float32(scaling) * (b_Or @ a_rI)
    layer.set_base_weight(paddle.to_tensor(rest.T.copy() if layer.fan_in_fan_out else rest))


def svd_lowrank(
    matrix_MN: np.ndarray, q: int, niter: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ``q`` largest singular values by subspace iteration, as ``torch.svd_lowrank``.

    Returns ``u`` ``[M, q]``, ``s`` ``[q]``, ``vh`` ``[q, N]``.
    Source: arXiv:0909.4061, algorithm 5.1.
    """
    wide = matrix_MN.shape[0] < matrix_MN.shape[1]
    a = matrix_MN.T if wide else matrix_MN
    basis = np.linalg.qr(a @ normal([a.shape[1], q]))[0]
    for _ in range(niter):
        basis = np.linalg.qr(a.T @ basis)[0]
        basis = np.linalg.qr(a @ basis)[0]
    u, s, vh = np.linalg.svd(basis.T @ a, full_matrices=False)
    u = basis @ u
    return (vh.T, s, u.T) if wide else (u, s, vh)


def _olora(layer: Any, adapter: str) -> None:
    weight = _base(layer, "OLoRA")  # as it lies, also [in, out]: so does the original
    r, scaling = layer.r[adapter], layer.scaling[adapter]
    q, right = np.linalg.qr(weight)
    _set_factors(layer, adapter, right[:r], q[:, :r])
    layer.set_base_weight(paddle.to_tensor(weight - np.float32(scaling) * (q[:, :r] @ right[:r])))


def _orthogonal(layer: Any, adapter: str) -> None:
    r = layer.r[adapter]
    if r % 2:
        raise ValueError(
            f"Orthogonal initialization requires the LoRA rank to be even, got {r} instead."
        )
    q = np.linalg.qr(normal([r, r]))[0]
    a_rI = (normal([layer.in_features, r // 2]) @ q[0::2]).T / np.float32(10)
    b_Or = normal([r // 2, layer.out_features]).T @ q[1::2] / np.float32(10)
    _set_factors(layer, adapter, a_rI, b_Or)
