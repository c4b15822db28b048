"""What peft asks about other packages; hfpaddle uses none of them, so the answer is no."""

from __future__ import annotations

from typing import Any


def _no(*_: Any, **__: Any) -> bool:
    """Whether adapters can use the package: they cannot."""
    return False


is_bnb_available = is_bnb_4bit_available = is_gptqmodel_available = is_optimum_available = _no
is_torch_tpu_available = is_aqlm_available = is_eetq_available = is_hqq_available = _no
is_inc_available = is_torchao_available = is_te_available = is_te_pytorch_available = _no
