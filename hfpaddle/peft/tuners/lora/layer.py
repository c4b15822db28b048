"""LoRA beside linear layers, embeddings and convolutions.

Shape letters: O out, I in, r rank, B batch.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.layers.basic import Dropout
from hfpaddle.layers.parameter import assign, empty_parameters, parameter
from hfpaddle.layers.recipe import LowRank
from hfpaddle.layers.vision import PatchConv
from hfpaddle.peft.tuners.layer_base import BaseTunerLayer, check_adapters_to_merge
from hfpaddle.peft.tuners.lora import initial
from hfpaddle.peft.tuners.lora.dora import DoraLayer
from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import (
    ParameterDict,
    compute_dtype,
    kaiming_uniform,
    made_linear,
    new_parameter,
    normal,
    uniform,
    write,
)
from hfpaddle.peft.utils.other import transpose
from hfpaddle.peft.utils.warning import PeftWarning
from hfpaddle.peft.utils.wrappers import by_adapter, take_rows

_LINEAR = (layers.is_linear, layers.is_paddle_linear, layers.is_quantized_linear)

# Results of fewer items are added faster than they are handed to a product.
MOST_SMALL = 1 << 15


class Identity(nn.Layer):
    """No dropout."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x


class LoraLayer(BaseTunerLayer):
    """What LoRA keeps of each adapter, and how its results are added and merged.

    A subclass gives `make_factors`, `initialise`, `get_delta_weight`, `delta` and `combined`.
    """

    adapter_layer_names = (
        "lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector",
    )  # fmt: skip
    other_param_names = (
        "r", "lora_alpha", "scaling", "lora_dropout", "use_dora", "use_rslora", "lora_bias",
    )  # fmt: skip
    fan_in_fan_out = False

    def __init__(
        self, base_layer: nn.Layer, adapter_name: str, config: Any, r: int, lora_alpha: int
    ) -> None:
        super().__init__(base_layer)
        self.r: dict[str, int] = {}
        self.lora_alpha: dict[str, float] = {}
        self.scaling: dict[str, float] = {}
        self.use_dora: dict[str, bool] = {}
        self.use_rslora: dict[str, bool] = {}
        self.lora_bias: dict[str, bool] = {}
        self.lora_dropout = nn.LayerDict()
        self.lora_A, self.lora_B = nn.LayerDict(), nn.LayerDict()
        self.lora_embedding_A, self.lora_embedding_B = ParameterDict(), ParameterDict()
        self.lora_magnitude_vector = nn.LayerDict()
        # Norms that merging divided by, until the adapter is unmerged.
        self._merged_factor: dict[str, paddle.Tensor] = {}
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, r, lora_alpha, config)

    # Building an adapter

    def update_layer(
        self, adapter_name: str, r: int, lora_alpha: float, config: Any, **_: Any
    ) -> None:
        """Add an adapter of rank ``r``. Raises: ValueError unless ``r`` is positive."""
        if r <= 0:
            raise ValueError(f"`r` should be a positive integer value but the value passed is {r}")
        self.check(config, r)
        self.r[adapter_name], self.lora_alpha[adapter_name] = r, lora_alpha
        self.use_rslora[adapter_name] = config.use_rslora
        self.use_dora[adapter_name] = config.use_dora
        self.lora_bias[adapter_name] = config.lora_bias
        self.scaling[adapter_name] = self._plain_scaling(adapter_name)
        p = config.lora_dropout
        self.lora_dropout[adapter_name] = Dropout(p) if p > 0 else Identity()
        self.make_factors(adapter_name, r, config)
        self.initialise(adapter_name, config.init_lora_weights)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        if config.use_dora:
            self.lora_magnitude_vector[adapter_name] = DoraLayer(
                self.combined(adapter_name),
                layers.conv_dims(self.get_base_layer()) > 0,
                self.weight,
            )
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def check(self, config: Any, r: int) -> None:
        """Refuse what this kind of layer cannot do."""
        if config.lora_bias and self.bias is None:
            warnings.warn(
                "`lora_bias=True` was passed but the targeted layer of type "
                f"{type(self.get_base_layer()).__name__} has no bias. This means that merging LoRA "
                "weights won't be possible.",
                PeftWarning,
                stacklevel=4,
            )

    def make_factors(self, adapter: str, r: int, config: Any) -> None:
        raise NotImplementedError

    def initialise(self, adapter: str, init: Any) -> None:
        raise NotImplementedError

    def reset_lora_parameters(self, adapter_name: str, init_lora_weights: Any) -> None:
        """Draw the factors anew."""
        self.initialise(adapter_name, init_lora_weights)

    def _plain_scaling(self, adapter: str) -> float:
        r = self.r[adapter]
        return self.lora_alpha[adapter] / (math.sqrt(r) if self.use_rslora[adapter] else r)

    def set_scale(self, adapter: str, scale: float) -> None:
        """Set the scaling to ``scale`` times the config's."""
        if adapter in self.scaling:
            self.scaling[adapter] = scale * self._plain_scaling(adapter)

    def scale_layer(self, scale: float) -> None:
        """Multiply the scaling of the active adapters."""
        for adapter in self._own(self.active_adapters):
            self.scaling[adapter] *= scale

    def unscale_layer(self, scale: float | None = None) -> None:
        """Undo `scale_layer`; with None, go back to the config's scaling."""
        for adapter in self._own(self.active_adapters):
            new = self._plain_scaling(adapter) if scale is None else self.scaling[adapter] / scale
            self.scaling[adapter] = new

    def _own(self, names: Any) -> list[str]:
        return [name for name in names if name in self.r]

    # Merging

    def get_delta_weight(self, adapter: str) -> paddle.Tensor:
        """What the adapter adds to the base weight, in its shape, float32 at least."""
        raise NotImplementedError

    def combined(self, adapter: str, weight: paddle.Tensor | None = None) -> paddle.Tensor:
        """Base weight plus adapter with the outputs first, for DoRA's norm; float32."""
        raise NotImplementedError

    def dora_shape(self) -> list[int]:
        """How ``[O]`` is laid out to multiply the base weight."""
        raise NotImplementedError

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add adapters to the base weight.

        Raises: ValueError, with ``safe_merge``, if a result is not finite; RuntimeError for a bias
        of the adapter where the base layer has none.
        """
        for adapter in self._own(check_adapters_to_merge(self, adapter_names)):
            self.check_mergeable()
            with paddle.no_grad():
                weight, bias = self._merged_weight(adapter), self._shifted_bias(adapter, 1.0)
            if safe_merge:
                self.checked_finite(weight, adapter)
                if bias is not None:
                    self.checked_finite(bias, adapter)
            self.set_base_weight(weight)
            if bias is not None:
                write(self.get_base_layer().bias, bias)
            self.merged_adapters.append(adapter)

    def check_mergeable(self) -> None:
        """Raise where merging has no meaning."""

    def _merged_weight(self, adapter: str) -> paddle.Tensor:
        weight = self.weight.detach().astype("float32")
        delta = self.get_delta_weight(adapter).astype("float32")
        if not self.use_dora[adapter]:
            return weight + delta
        # The norm is of the weights without any merged adapter, as it was in training.
        base = weight
        for name in reversed(self.merged_adapters):
            base = self._unmerged_weight(base, name, forget=False)
        factor = self.lora_magnitude_vector[adapter].factor(self.combined(adapter, base))
        self._merged_factor[adapter] = factor.reshape(self.dora_shape())
        return self._merged_factor[adapter] * (weight + delta)

    def _unmerged_weight(self, weight: paddle.Tensor, adapter: str, forget: bool) -> paddle.Tensor:
        delta = self.get_delta_weight(adapter).astype("float32")
        if adapter not in self._merged_factor:
            return weight - delta
        factor = self._merged_factor[adapter]
        if forget:
            del self._merged_factor[adapter]
        return weight / factor - delta

    def _shifted_bias(self, adapter: str, sign: float) -> paddle.Tensor | None:
        if not self.lora_bias[adapter]:
            return None
        if self.bias is None:
            raise RuntimeError(
                "Impossible to merge LoRA with `lora_bias=True` because the base layer has no bias."
            )
        own = self.lora_B[adapter].bias.astype("float32") * (sign * self.scaling[adapter])
        return self.bias.astype("float32") + own

    def unmerge(self) -> None:
        """Take every merged adapter out of the base weight again."""
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
            return
        while self.merged_adapters:
            adapter = self.merged_adapters.pop()
            if adapter not in self.r:
                continue
            with paddle.no_grad():
                weight = self.weight.detach().astype("float32")
                self.set_base_weight(self._unmerged_weight(weight, adapter, forget=True))
                bias = self._shifted_bias(adapter, -1.0)
            if bias is not None:
                write(self.get_base_layer().bias, bias)

    # Forward

    def delta(
        self, adapter: str, x: paddle.Tensor, result: paddle.Tensor | None
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """What the adapter adds for input ``x``, in full.

        Args:
            result: what the base layer gave, where DoRA may build on it.
        Returns: the input in the adapter's dtype, and the sum to add.
        """
        raise NotImplementedError

    def forward(self, x: paddle.Tensor, *args: Any, **kwargs: Any) -> paddle.Tensor:
        adapter_names = kwargs.pop("adapter_names", None) or self.batch_adapters
        if adapter_names is not None:
            self._check_mixed(x, adapter_names)
        if self.disable_adapters and self.merged:
            self.unmerge()
        result = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters:
            return result
        if adapter_names is not None:
            return self._mixed_batch(x, result, adapter_names)
        if self.merged:
            return result
        dtype = result.dtype
        for adapter in self._own(self.active_adapters):
            x, result = self.add_delta(adapter, x, result)
        return result if result.dtype == dtype else result.astype(dtype)

    def add_delta(
        self, adapter: str, x: paddle.Tensor, result: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        """The input in the adapter's dtype, and ``result`` with what `delta` adds to it."""
        x, more = self.delta(adapter, x, result)
        return x, result + more

    def _check_mixed(self, x: paddle.Tensor, adapter_names: list[str]) -> None:
        if len(x) != len(adapter_names):
            raise ValueError(
                "Length of `adapter_names` should be the same as the number of inputs, but got "
                f"{len(adapter_names)} and {len(x)} respectively."
            )
        if self.merged:
            raise ValueError(
                "Cannot pass `adapter_names` when there are merged adapters, please call "
                "`unmerge_adapter` first."
            )
        if any(self.use_dora.get(name, False) for name in adapter_names):
            raise ValueError("Cannot pass `adapter_names` when DoRA is enabled.")

    def _mixed_batch(
        self, x: paddle.Tensor, result: paddle.Tensor, adapter_names: list[str]
    ) -> paddle.Tensor:
        """Add to each row what its own adapter gives."""
        parts: list[Any] = [None] * len(adapter_names)
        for adapter, rows in by_adapter(adapter_names).items():
            if adapter not in self.r:  # "__base__", or an adapter without this layer
                continue
            _, more = self.delta(adapter, take_rows(x, rows), None)
            more = more.astype(result.dtype)
            for place, row in enumerate(rows):
                parts[row] = more[place]
        if all(part is None for part in parts):
            return result
        zero = paddle.zeros_like(result[0])
        return result + paddle.stack([zero if part is None else part for part in parts])

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return not self.use_dora.get(adapter_name, False)

    def __repr__(self) -> str:
        return "lora." + super().__repr__()


class Linear(LoraLayer):
    """LoRA beside a linear layer: ``x W^T + scaling * dropout(x) A^T B^T``."""

    def __init__(
        self, base_layer: nn.Layer, adapter_name: str, config: Any, r: int, lora_alpha: int
    ) -> None:
        stored_in_out = layers.is_paddle_linear(_innermost(base_layer))
        self.fan_in_fan_out = config.fan_in_fan_out or stored_in_out
        super().__init__(base_layer, adapter_name, config, r, lora_alpha)

    def check(self, config: Any, r: int) -> None:
        super().check(config, r)
        if config.use_dora and layers.is_quantized_linear(self.get_base_layer()):
            raise UnsupportedArgumentError(
                "LoraConfig: use_dora=True over weights of 8 or 4 bits is not implemented. Leave "
                "it out, or load the model without quantization_config."
            )

    def check_mergeable(self) -> None:
        if layers.is_quantized_linear(self.get_base_layer()):
            raise ValueError(
                "Cannot merge an adapter into weights of 8 or 4 bits. Use it unmerged, or load the "
                "model without quantization_config and merge there."
            )

    def make_factors(self, adapter: str, r: int, config: Any) -> None:
        self.lora_A[adapter] = made_linear(self.in_features, r)
        self.lora_B[adapter] = made_linear(r, self.out_features, config.lora_bias)

    def initialise(self, adapter: str, init: Any) -> None:
        initial.initialise(self, adapter, init)

    def get_delta_weight(self, adapter: str) -> paddle.Tensor:
        a, b = self.lora_A[adapter].weight, self.lora_B[adapter].weight
        dtype = compute_dtype(b)
        product = b.astype(dtype) @ a.astype(dtype)
        return transpose(product, self.fan_in_fan_out) * self.scaling[adapter]

    def combined(self, adapter: str, weight: paddle.Tensor | None = None) -> paddle.Tensor:
        with paddle.no_grad():
            weight = self.weight.astype("float32") if weight is None else weight
            whole = weight + self.get_delta_weight(adapter).astype("float32")
            return transpose(whole, self.fan_in_fan_out)

    def dora_shape(self) -> list[int]:
        return [1, -1] if self.fan_in_fan_out else [-1, 1]

    def delta(
        self, adapter: str, x: paddle.Tensor, result: paddle.Tensor | None
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        a, b = self.lora_A[adapter], self.lora_B[adapter]
        dropout, scaling = self.lora_dropout[adapter], self.scaling[adapter]
        x = self._cast_input_dtype(x, a.weight)
        if adapter not in self.lora_magnitude_vector:
            return x, b(a(dropout(x))) * scaling
        factor = self.lora_magnitude_vector[adapter].factor(self.combined(adapter))
        factor = factor.astype(x.dtype)
        if isinstance(dropout, Identity) or not self.training:
            base = result if self.bias is None else result - self.bias.astype(x.dtype)
        else:  # the base's part must see the same dropout
            x = dropout(x)
            weight = transpose(self.weight.astype(x.dtype), self.fan_in_fan_out)
            base = paddle.matmul(x, weight, transpose_y=True)
        return x, (factor - 1) * base + factor * b(a(x)) * scaling

    def low_rank(self) -> tuple[nn.Layer, tuple[LowRank, ...]] | None:
        """The base layer and what adapters add to it at present, for kernels that run whole blocks;
        None where that is more than products of two factors.
        """
        names = self.batch_adapters
        if self.merged:
            return None if self.disable_adapters or names else (self.base_layer, ())
        if self.disable_adapters:
            return self.base_layer, ()
        own = self._own(self.active_adapters if names is None else dict.fromkeys(names))
        if not all(self._is_low_rank(adapter) for adapter in own):
            return None
        adds = []
        for adapter in own:
            rows = None if names is None else tuple(name == adapter for name in names)
            factors = self.lora_A[adapter], self.lora_B[adapter]
            adds.append(LowRank(*factors, self.scaling[adapter], rows))
        return self.base_layer, tuple(adds)

    def _is_low_rank(self, adapter: str) -> bool:
        if self.use_dora[adapter] or self.lora_bias[adapter] or not self.cast_input_dtype_enabled:
            return False
        dropout = self.lora_dropout[adapter]
        if dropout.training and not isinstance(dropout, Identity):
            return False
        dtypes = {self.lora_A[adapter].weight.dtype, self.lora_B[adapter].weight.dtype}
        return dtypes == {paddle.float32}

    def add_delta(
        self, adapter: str, x: paddle.Tensor, result: paddle.Tensor
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        a, b = self.lora_A[adapter], self.lora_B[adapter]
        if not self._joins(adapter, result):
            return super().add_delta(adapter, x, result)
        # One product adds to the base layer's result, which is then written once and not thrice.
        x = self._cast_input_dtype(x, a.weight)
        low = a(self.lora_dropout[adapter](x)) * self.scaling[adapter]
        flat, low = (t.reshape([-1, t.shape[-1]]) for t in (result, low))
        return x, paddle.addmm(flat, low, b.weight.T).reshape(result.shape)

    def _joins(self, adapter: str, result: paddle.Tensor) -> bool:
        """Whether the second factor can add to ``result`` in one product, and gains by it."""
        b = self.lora_B[adapter]
        hooked = b._forward_pre_hooks or b._forward_post_hooks
        large = math.prod(result.shape) >= MOST_SMALL
        same = result.dtype == b.weight.dtype == paddle.float32
        plain = adapter not in self.lora_magnitude_vector and not self.lora_bias[adapter]
        return large and same and plain and not hooked


class Embedding(LoraLayer):
    """LoRA beside a table: ``A`` ``[r, rows]`` is looked up, ``B`` ``[size, r]`` maps back."""

    def check(self, config: Any, r: int) -> None:
        if config.lora_bias:
            raise ValueError(f"lora_bias={config.lora_bias} is not supported for Embedding.")

    def make_factors(self, adapter: str, r: int, config: Any) -> None:
        a, b = normal([r, self.in_features]), normal([self.out_features, r])
        self.lora_embedding_A[adapter] = new_parameter(a)
        self.lora_embedding_B[adapter] = new_parameter(b)

    def initialise(self, adapter: str, init: Any) -> None:
        initial.check_init(init)
        if str(init).lower() in ("olora", "orthogonal") or str(init).lower().startswith("pissa"):
            raise ValueError(f"Unknown initialization init_lora_weights={init!r} for Embedding.")
        if init:
            a, b = self.lora_embedding_A[adapter], self.lora_embedding_B[adapter]
            write(a, paddle.zeros(a.shape, dtype="float32"))
            write(b, normal(b.shape))

    def get_delta_weight(self, adapter: str) -> paddle.Tensor:
        a, b = self.lora_embedding_A[adapter], self.lora_embedding_B[adapter]
        dtype = compute_dtype(b)
        return (b.astype(dtype) @ a.astype(dtype)).T * self.scaling[adapter]

    def combined(self, adapter: str, weight: paddle.Tensor | None = None) -> paddle.Tensor:
        with paddle.no_grad():
            weight = self.weight.astype("float32") if weight is None else weight
            return (weight + self.get_delta_weight(adapter).astype("float32")).T

    def dora_shape(self) -> list[int]:
        return [1, -1]

    def delta(
        self, adapter: str, x: paddle.Tensor, result: paddle.Tensor | None
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        a, b = self.lora_embedding_A[adapter].T, self.lora_embedding_B[adapter].T
        dtype = compute_dtype(a)
        looked_up = F.embedding(x.astype("int64"), a).astype(dtype)
        pad = layers.pad_index(self.get_base_layer())
        if pad is not None and not looked_up.stop_gradient:
            looked_up = paddle.where((x == pad).unsqueeze(-1), looked_up.detach(), looked_up)
        dora = adapter in self.lora_magnitude_vector
        if dora:
            factor = self.lora_magnitude_vector[adapter].factor(self.combined(adapter))
            factor = factor.astype(dtype)
            more = factor * (looked_up @ b.astype(dtype)) * self.scaling[adapter]
        else:
            more = looked_up @ b.astype(dtype) * self.scaling[adapter]
        scale = layers.embed_scale(self.get_base_layer())
        if scale is not None:
            more = more * scale.astype(more.dtype)
        return x, (factor - 1) * result + more if dora else more


class ConvFactor(nn.Layer):
    """One factor of a convolution's adapter, with weight ``[out, in / groups, *kernel]``."""

    def __init__(
        self, shape: list[int], settings: dict[str, Any], bias: bool, patches: bool
    ) -> None:
        super().__init__()
        self.settings, self.patches = settings, patches
        with empty_parameters():
            self.weight = parameter(shape)
            self.bias = parameter(shape[:1]) if bias else None
        assign(self.weight, paddle.to_tensor(kaiming_uniform(shape)))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(shape[1:]))
            assign(self.bias, paddle.to_tensor(uniform(shape[:1], -bound, bound)))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        weight = self.weight.astype(x.dtype)
        bias = None if self.bias is None else self.bias.astype(x.dtype)
        if self.patches:  # channels come last, the kernel is one pixel
            out = paddle.matmul(x, weight.flatten(1), transpose_y=True)
            return out if bias is None else out + bias
        convolve = (F.conv1d, F.conv2d, F.conv3d)[weight.ndim - 3]
        return convolve(x, weight, bias, **self.settings)


class _ConvNd(LoraLayer):
    """LoRA beside a convolution: ``A`` has its kernel and strides, ``B`` a kernel of one pixel."""

    dims = 0

    def check(self, config: Any, r: int) -> None:
        super().check(config, r)
        groups = layers.conv_settings(self.get_base_layer())["groups"]
        if groups > 1:
            warnings.warn(
                "LoRA adapter added to ConvNd layer with groups > 1. Merging is not supported.",
                stacklevel=4,
            )
        if r % groups:
            raise ValueError(
                f"Targeting a {type(self.get_base_layer()).__name__} with groups={groups} and rank "
                f"{r}: the rank must be divisible by the groups. Choose another rank or do not "
                "target this layer."
            )

    def make_factors(self, adapter: str, r: int, config: Any) -> None:
        base = self.get_base_layer()
        settings = layers.conv_settings(base)
        patches, ones = isinstance(base, PatchConv), [1] * self.dims
        kernel = list(base.weight.shape[2:])
        # The original leaves dilation out.
        first = {"stride": settings["stride"], "padding": settings["padding"]}
        self.lora_A[adapter] = ConvFactor([r, self.in_features, *kernel], first, False, False)
        shape = [self.out_features, r // settings["groups"], *ones]
        second = {"groups": settings["groups"]}
        self.lora_B[adapter] = ConvFactor(shape, second, config.lora_bias, patches)

    def initialise(self, adapter: str, init: Any) -> None:
        initial.check_init(init)
        if init in (True, "gaussian"):
            initial.reset_parameters(self, adapter, init)
        elif init:
            raise ValueError(f"Unknown initialization init_lora_weights={init!r} for convolutions.")

    def get_delta_weight(self, adapter: str) -> paddle.Tensor:
        a, b = self.lora_A[adapter].weight, self.lora_B[adapter].weight
        dtype = compute_dtype(b)
        flat = b.astype(dtype).flatten(1) @ a.astype(dtype).flatten(1)
        return flat.reshape(list(self.weight.shape)) * self.scaling[adapter]

    def combined(self, adapter: str, weight: paddle.Tensor | None = None) -> paddle.Tensor:
        with paddle.no_grad():
            weight = self.weight.astype("float32") if weight is None else weight
            return weight + self.get_delta_weight(adapter).astype("float32")

    def check_mergeable(self) -> None:
        if layers.conv_settings(self.get_base_layer())["groups"] > 1:
            raise NotImplementedError(
                "Merging is not supported for _ConvNd layers with groups > 1!"
            )

    def dora_shape(self) -> list[int]:
        return [-1] + [1] * (self.dims + 1)

    def delta(
        self, adapter: str, x: paddle.Tensor, result: paddle.Tensor | None
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        a, b = self.lora_A[adapter], self.lora_B[adapter]
        dropout, scaling = self.lora_dropout[adapter], self.scaling[adapter]
        x = self._cast_input_dtype(x, a.weight)
        patches = isinstance(self.get_base_layer(), PatchConv)

        def through(value: paddle.Tensor) -> paddle.Tensor:
            middle = a(value)
            return b(middle.transpose([0, 2, 3, 1]) if patches else middle) * scaling

        if adapter not in self.lora_magnitude_vector:
            return x, through(dropout(x))
        shape = [-1] if patches else [1, -1] + [1] * self.dims
        factor = self.lora_magnitude_vector[adapter].factor(self.combined(adapter))
        factor = factor.astype(x.dtype).reshape(shape)
        if not isinstance(dropout, Identity) and self.training:
            x = dropout(x)
            result = self.base_layer(x)
        base = result if self.bias is None else result - self.bias.astype(x.dtype).reshape(shape)
        return x, (factor - 1) * base + factor * through(x)


class Conv1d(_ConvNd):
    dims = 1


class Conv2d(_ConvNd):
    dims = 2


class Conv3d(_ConvNd):
    dims = 3


def _innermost(layer: Any) -> Any:
    return layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer


def dispatch_default(
    target: nn.Layer, adapter_name: str, config: Any, r: int, lora_alpha: float
) -> LoraLayer | None:
    """The adapter layer for ``target``, or None if there is none for its kind."""
    base = _innermost(target)
    if layers.is_embedding(base):
        cls: Any = Embedding
    elif dims := layers.conv_dims(base):
        cls = (Conv1d, Conv2d, Conv3d)[dims - 1]
    elif any(is_kind(base) for is_kind in _LINEAR):
        cls = Linear
        if config.fan_in_fan_out:
            warnings.warn(
                "fan_in_fan_out is set to True but the target module is `torch.nn.Linear`. Setting "
                "fan_in_fan_out to False.",
                stacklevel=2,
            )
            config.fan_in_fan_out = False
    elif layers.is_conv1d_linear(base):
        cls = Linear
        if not config.fan_in_fan_out:
            warnings.warn(
                "fan_in_fan_out is set to False but the target module is `Conv1D`. Setting "
                "fan_in_fan_out to True.",
                stacklevel=2,
            )
            config.fan_in_fan_out = True
    else:
        return None
    return cls(target, adapter_name, config=config, r=r, lora_alpha=lora_alpha)
