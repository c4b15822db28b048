"""VB-LoRA beside linear layers.

Shape letters: O out, I in, r rank, h shared vectors, b their length, k chosen ones.
"""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from hfpaddle import ops
from hfpaddle.layers.basic import Dropout
from hfpaddle.peft.tuners.additive import AdditiveLayer
from hfpaddle.peft.tuners.lora.layer import Identity
from hfpaddle.peft.tuners.targets import SimpleTuner
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import ParameterDict, new_parameter, normal, uniform
from hfpaddle.peft.utils.constants import TRANSFORMERS_MODELS_TO_VBLORA_TARGET_MODULES_MAPPING
from hfpaddle.peft.utils.other import transpose


class VBLoRALayer(AdditiveLayer):
    """Logits ``[r, I / b, h]`` and ``[O / b, r, h]`` choose and weigh shared vectors."""

    adapter_layer_names = ("vblora_logits_A", "vblora_logits_B", "vblora_vector_bank")
    other_param_names = ("r", "topk", "vblora_dropout")

    def make_holders(self) -> None:
        self.r: dict[str, int] = {}
        self.topk: dict[str, int] = {}
        self.vblora_dropout = nn.LayerDict()
        self.vblora_logits_A, self.vblora_logits_B = ParameterDict(), ParameterDict()
        self.vblora_vector_bank = ParameterDict()  # in its place comes the tuner's, ``[h, b]``

    def has(self, adapter: str) -> bool:
        return adapter in self.vblora_logits_A

    def update_layer(self, adapter_name: str, config: Any, bank: Any = None) -> None:
        """Add an adapter. Raises: ValueError for sizes that do not fit the layer."""
        r, length, count = config.r, config.vector_length, config.num_vectors
        for name, value in (("r", r), ("topk", config.topk)):
            if value <= 0:
                raise ValueError(f"`{name}` {value} should be a positive integer value")
        inner, out = int(self.in_features or 0), int(self.out_features or 0)
        for name, size in (("in_features", inner), ("out_features", out)):
            if size % length:
                raise ValueError(f"`{name}` {size} must be divisible by `vector_length` {length}")
        self.vblora_vector_bank = bank
        self.r[adapter_name], self.topk[adapter_name] = r, config.topk
        p, std = config.vblora_dropout, config.init_logits_std
        self.vblora_dropout[adapter_name] = Dropout(p) if p > 0 else Identity()
        a, b = normal([r, inner // length, count], std), normal([out // length, r, count], std)
        self.vblora_logits_A[adapter_name] = new_parameter(a)
        self.vblora_logits_B[adapter_name] = new_parameter(b)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _mixed(self, logits: paddle.Tensor, adapter: str) -> paddle.Tensor:
        """``[..., h]`` logits to the mixtures ``[..., b]`` of the ``k`` likeliest vectors."""
        top, index = paddle.topk(logits.astype("float32"), self.topk[adapter], axis=-1)
        bank = self.vblora_vector_bank[adapter].astype("float32")
        return (F.softmax(top, axis=-1).unsqueeze(-1) * F.embedding(index, bank)).sum(axis=-2)

    def factors(self, adapter: str) -> tuple[paddle.Tensor, paddle.Tensor]:
        """``A`` ``[r, I]`` and ``B`` ``[O, r]``.

        Raises: RuntimeError for training on logits that a file has only the chosen of.
        """
        logits = self.vblora_logits_A[adapter]
        if self.training and bool(paddle.isinf(logits[0, 0]).any()):
            raise RuntimeError(
                "Found infinity values in VB-LoRA logits. Ensure training was not resumed from a "
                "`save_only_topk_weights` model."
            )
        r = self.r[adapter]
        b = self._mixed(self.vblora_logits_B[adapter], adapter).transpose([0, 2, 1])
        return self._mixed(logits, adapter).reshape([r, -1]), b.reshape([-1, r])

    def get_delta_weight(self, adapter: str, **_: Any) -> paddle.Tensor:
        a_rI, b_Or = self.factors(adapter)
        return transpose(b_Or @ a_rI, self.fan_in_fan_out)

    def activation(self, adapter: str, x: paddle.Tensor) -> paddle.Tensor:
        a_rI, b_Or = self.factors(adapter)
        x = self._cast_input_dtype(x, a_rI)
        return ops.linear(ops.linear(self.vblora_dropout[adapter](x), a_rI), b_Or)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return True

    def __repr__(self) -> str:
        return "vblora." + super().__repr__()


class VBLoRAModel(SimpleTuner):
    """A model with VB-LoRA in it; it holds the vectors of all layers."""

    uses_shared_state = True
    prefix = "vblora_"
    tuner_layer_cls = VBLoRALayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_VBLORA_TARGET_MODULES_MAPPING

    @classmethod
    def supports(cls, base: Any) -> bool:
        return layers.is_linear(base) or layers.is_conv1d_linear(base)

    def _pre_injection_hook(self, model: nn.Layer, config: Any, adapter_name: str) -> None:
        self.vblora_vector_bank = ParameterDict()

    def sizes(self, config: Any, key: str) -> dict[str, Any]:
        name = next(k for k, known in self.peft_config.items() if known is config)
        bound = config.init_vector_bank_bound
        # Drawn again for every layer: so does the original, and the draws that follow depend on it.
        bank = uniform([config.num_vectors, config.vector_length], -bound, bound)
        self.vblora_vector_bank[name] = new_parameter(bank)
        return {"bank": self.vblora_vector_bank}

    # State dicts

    @classmethod
    def _get_adapter_state_dict(
        cls, model: Any, config: Any, adapter_name: str, state_dict: dict[str, Any]
    ) -> dict[str, Any]:
        kept = super()._get_adapter_state_dict(model, config, adapter_name, state_dict)
        own = f"base_model.vblora_vector_bank.{adapter_name}"
        kept = {k: v for k, v in kept.items() if ".vblora_vector_bank." not in k or k == own}
        if not config.save_only_topk_weights:
            return kept
        sizes = ((2**8, "uint8"), (2**15, "int16"), (2**31, "int32"))
        dtype = next((name for size, name in sizes if config.num_vectors < size), "int64")
        for key in [key for key in kept if "vblora_logits" in key]:
            top, index = paddle.topk(kept.pop(key).astype("float32"), config.topk, axis=-1)
            kept[f"{key}_topk_indices"] = index.astype(dtype)
            # The weights sum to one: the last follows from the others.
            kept[f"{key}_topk_weights"] = F.softmax(top, axis=-1)[:, :, :-1].contiguous()
        return kept

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        head, _, last = key.rpartition(".")
        if last.startswith(f"{adapter_name}_topk_"):
            return f"{head}_{last.removeprefix(f'{adapter_name}_')}"
        return super()._remove_adapter_name_from_key(key, adapter_name)

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: Any, config: Any, adapter_name: str, state_dict: dict[str, Any]
    ) -> dict[str, Any]:
        state_dict = dict(state_dict)
        end = "_topk_indices"
        for key in [key for key in state_dict if key.endswith(end)]:
            plain = key.removesuffix(end)
            index = state_dict.pop(key).astype("int64")
            weights = state_dict.pop(f"{plain}_topk_weights")
            weights = paddle.concat([weights, 1 - weights.sum(axis=-1, keepdim=True)], axis=-1)
            shape = [*weights.shape[:-1], config.num_vectors]
            empty = paddle.full(shape, float("-inf"), dtype="float32").to(weights.place)
            state_dict[plain] = paddle.put_along_axis(empty, index, weights.log(), axis=-1)
        state_dict = super()._remap_adapter_state_dict_for_load(
            model, config, adapter_name, state_dict
        )
        end = f".vblora_vector_bank.{adapter_name}"
        bank = next((v for k, v in state_dict.items() if k.endswith(end)), None)
        if bank is not None:  # the layers' name for the same parameter
            state_dict |= {name: bank for name in model.state_dict() if name.endswith(end)}
        return state_dict
