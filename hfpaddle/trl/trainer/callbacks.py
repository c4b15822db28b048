"""Mirror of ``trl.trainer.callbacks``."""

from __future__ import annotations

from typing import Any

import paddle
from transformers import TrainerCallback


class SyncRefModelCallback(TrainerCallback):
    """Move the reference model towards the model every ``ref_model_sync_steps`` updates."""

    def __init__(self, ref_model: Any, accelerator: Any = None) -> None:
        self.ref_model = ref_model

    @staticmethod
    @paddle.no_grad()
    def sync_target_model(model: Any, target_model: Any, alpha: float) -> None:
        """Set each weight of ``target_model`` to alpha of the model's and the rest of its own."""
        pairs = zip(target_model.parameters(), model.parameters(), strict=True)
        for target, weight in pairs:
            paddle.assign(target * (1.0 - alpha) + weight * alpha, output=target)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.ref_model is not None and state.global_step % args.ref_model_sync_steps == 0:
            self.sync_target_model(kwargs["model"], self.ref_model, args.ref_model_mixup_alpha)
