"""AdaLoRA beside linear layers and convolutions, and the pruning of its singular values.

Shape letters: O out, I in (times kernel), r rank.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddle import nn

from hfpaddle.layers.basic import Dropout
from hfpaddle.peft.tuners.additive import AdditiveLayer
from hfpaddle.peft.tuners.lora.layer import Identity
from hfpaddle.peft.utils.arrays import ParameterDict, new_parameter, normal, write

_TINY = 1e-5


class AdaLoraLayer(AdditiveLayer):
    """``scaling / rank * B diag(E) A``: ``A`` ``[r, I]``, ``E`` ``[r, 1]``, ``B`` ``[O, r]``."""

    adapter_layer_names = ("lora_A", "lora_B", "lora_E")
    other_param_names = ("r", "lora_alpha", "scaling", "lora_dropout", "ranknum")

    def make_holders(self) -> None:
        self.r: dict[str, int] = {}
        self.lora_alpha: dict[str, float] = {}
        self.scaling: dict[str, float] = {}
        self.lora_dropout = nn.LayerDict()
        for name in ("lora_A", "lora_B", "lora_E", "ranknum"):
            setattr(self, name, ParameterDict())

    def has(self, adapter: str) -> bool:
        return adapter in self.lora_A

    def update_layer(self, adapter_name: str, config: Any, r: int = 0) -> None:
        """Add an adapter, or make one anew with another rank."""
        if r < 0:
            raise ValueError(f"`r` should be a positive integer or 0, but the value passed is {r}")
        alpha = config.lora_alpha
        self.r[adapter_name], self.lora_alpha[adapter_name] = r, alpha
        self.scaling[adapter_name] = alpha if alpha > 0 else float(r)
        p = config.lora_dropout
        self.lora_dropout[adapter_name] = Dropout(p) if p > 0 else Identity()
        weight = self.get_base_layer().weight
        out, inner = self.out_features, int(weight.size) // self.out_features
        drawn = [normal([r, inner]), normal([r, 1]), normal([out, r])]
        normal([1])  # what the original draws for the number of ranks
        if config.init_lora_weights:
            drawn = [normal([r, inner], 0.02), np.zeros([r, 1], "float32"), normal([out, r], 0.02)]
        for name, values in zip(("lora_A", "lora_E", "lora_B"), drawn, strict=True):
            getattr(self, name)[adapter_name] = new_parameter(values)
        count = new_parameter(np.full([1], r, "float32"))
        count.stop_gradient = True
        self.ranknum[adapter_name] = count
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def get_delta_weight(self, adapter: str, **_: Any) -> paddle.Tensor:
        a, b, e = (h[adapter] for h in (self.lora_A, self.lora_B, self.lora_E))
        weight = (b @ (a * e)) * self.scaling[adapter] / (self.ranknum[adapter] + _TINY)
        weight = weight.T if self.fan_in_fan_out else weight
        return weight.reshape(list(self.get_base_layer().weight.shape))

    def activation(self, adapter: str, x: paddle.Tensor) -> paddle.Tensor:
        x = self._cast_input_dtype(x, self.lora_A[adapter])
        return self.apply_weight(self.get_delta_weight(adapter), self.lora_dropout[adapter](x))

    def __repr__(self) -> str:
        return "adalora.SVDLinear" + super().__repr__().removeprefix(type(self).__name__)


class RankAllocator:
    """Decides after each step which singular values are worth keeping.

    Importance of a value is its size times its gradient's, smoothed; of a singular value, its own
    plus the mean of its two vectors'.
    """

    def __init__(self, model: nn.Layer, peft_config: Any, adapter_name: str) -> None:
        self.peft_config, self.adapter_name = peft_config, adapter_name
        for name in ("beta1", "beta2"):
            value = getattr(peft_config, name)
            if not 0 < value < 1:
                raise ValueError(f"AdaLoraConfig: {name}={value} must lie between 0 and 1.")
        self.reset_ipt()
        names = [n for n, _ in model.named_parameters() if f"lora_A.{adapter_name}" in n]
        parameters = dict(model.named_parameters())
        self.init_bgt = sum(int(parameters[name].shape[0]) for name in names)
        self.name_set = sorted(name.replace("lora_A", "%s") for name in names)
        self.target_bgt = peft_config.target_r * len(self.name_set)

    def set_total_step(self, total_step: int) -> None:
        self.peft_config.total_step = total_step

    def reset_ipt(self) -> None:
        """Forget what was observed."""
        self.exp_avg_ipt: dict[str, paddle.Tensor] = {}
        self.exp_avg_unc: dict[str, paddle.Tensor] = {}

    def budget_schedule(self, step: int) -> tuple[int, bool]:
        """(number of singular values after this step, whether to prune now); a cubic decay."""
        config = self.peft_config
        if step <= config.tinit:
            return self.init_bgt, False
        if step > config.total_step - config.tfinal:
            return self.target_bgt, True
        left = 1 - (step - config.tinit) / (config.total_step - config.tfinal - config.tinit)
        budget = int((self.init_bgt - self.target_bgt) * left**3 + self.target_bgt)
        return budget, step % config.deltaT == 0

    @paddle.no_grad()
    def update_ipt(self, model: nn.Layer) -> None:
        """Observe the gradients of this step."""
        b1, b2 = self.peft_config.beta1, self.peft_config.beta2
        for name, param in model.named_parameters():
            if "lora_" not in name or self.adapter_name not in name:
                continue
            if param.grad is None:
                raise ValueError(
                    f"update_and_allocate: {name} has no gradient. Call it after backward and "
                    "before the gradients are cleared."
                )
            now = (param * param.grad).abs().detach()
            zero = paddle.zeros_like(now)
            mean = b1 * self.exp_avg_ipt.get(name, zero) + (1 - b1) * now
            self.exp_avg_ipt[name] = mean
            spread = (now - mean).abs()
            self.exp_avg_unc[name] = b2 * self.exp_avg_unc.get(name, zero) + (1 - b2) * spread

    def _score(self, name: str) -> paddle.Tensor:
        return self.exp_avg_ipt[name] * self.exp_avg_unc[name]

    @paddle.no_grad()
    def mask_to_budget(self, model: nn.Layer, budget: int) -> dict[str, list[bool]]:
        """Zero the least important singular values; return which are left, by name."""
        scores = {}
        for name in self.name_set:
            own = self._score(name % "lora_E").flatten()
            rows = self._score(name % "lora_A").mean(axis=1)
            columns = self._score(name % "lora_B").mean(axis=0)
            scores[name % "lora_E"] = own + rows + columns
        ordered = np.sort(np.concatenate([score.numpy() for score in scores.values()]))
        threshold = float(ordered[self.init_bgt - budget - 1]) if self.init_bgt > budget else -1.0
        pattern = {}
        parameters = dict(model.named_parameters())
        for name, score in scores.items():
            kept = (score > threshold).numpy()
            write(parameters[name], parameters[name].numpy() * kept[:, None])
            pattern[name] = kept.tolist()
        return pattern

    def update_and_allocate(
        self, model: nn.Layer, global_step: int, force_mask: bool = False
    ) -> tuple[int, dict[str, list[bool]] | None]:
        """Observe, and prune if it is time."""
        if global_step < self.peft_config.total_step - self.peft_config.tfinal:
            self.update_ipt(model)
        budget, due = self.budget_schedule(global_step)
        return budget, self.mask_to_budget(model, budget) if due or force_mask else None

    def mask_using_rank_pattern(self, model: nn.Layer, rank_pattern: dict[str, Any]) -> None:
        """Zero again what was pruned."""
        for name, param in model.named_parameters():
            if f"lora_E.{self.adapter_name}" in name:
                short = name.replace(f".{self.adapter_name}", "")
                kept = rank_pattern[name] if name in rank_pattern else rank_pattern[short]
                write(param, param.numpy() * np.asarray(kept, "float32")[:, None])
