"""FourierFT beside linear layers.

Shape letters: O out, I in, n frequencies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle

from hfpaddle.core import rng
from hfpaddle.peft.tuners.additive import AdditiveLayer
from hfpaddle.peft.utils.arrays import ParameterDict, new_parameter, normal


class FourierFTLayer(AdditiveLayer):
    """A linear layer to which the inverse transform of a sparse spectrum is added."""

    adapter_layer_names = ("fourierft_spectrum",)
    other_param_names = (
        "fourierft_n_frequency", "fourierft_scaling", "fourierft_random_loc_seed", "indices",
    )  # fmt: skip

    def make_holders(self) -> None:
        self.fourierft_n_frequency: dict[str, int] = {}
        self.fourierft_scaling: dict[str, float] = {}
        self.fourierft_random_loc_seed: dict[str, int] = {}
        self.indices: dict[str, np.ndarray] = {}
        self.fourierft_spectrum = ParameterDict()

    def has(self, adapter: str) -> bool:
        return adapter in self.fourierft_spectrum

    def update_layer(self, adapter_name: str, config: Any, n_frequency: int = 1000) -> None:
        """Add an adapter.

        Raises: ValueError unless ``n_frequency`` is from 1 to the number of weights.
        """
        if n_frequency <= 0:
            raise ValueError(
                "`n_frequency` should be a positive integer value but the value passed is "
                f"{n_frequency}"
            )
        out, inner = int(self.out_features or 0), int(self.in_features or 0)
        if n_frequency > out * inner:
            raise ValueError(
                "`n_frequency` should be less than or equal to the product of the input and "
                f"output dimensions but the value passed is {n_frequency} and the product is "
                f"{out * inner}"
            )
        places = first_of_permutation(out * inner, n_frequency, config.random_loc_seed)
        self.indices[adapter_name] = np.stack([places // inner, places % inner])
        self.fourierft_n_frequency[adapter_name] = n_frequency
        self.fourierft_scaling[adapter_name] = config.scaling
        self.fourierft_random_loc_seed[adapter_name] = config.random_loc_seed
        drawn = normal([n_frequency])
        self.fourierft_spectrum[adapter_name] = new_parameter(drawn * (not config.init_weights))
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def get_delta_weight(self, adapter: str, **_: Any) -> paddle.Tensor:
        values_n = self.fourierft_spectrum[adapter]
        out, inner = int(self.out_features or 0), int(self.in_features or 0)
        rows, columns = self.indices[adapter]
        index = paddle.to_tensor((rows * inner + columns)[:, None], place=values_n.place)
        spectrum = paddle.scatter_nd(index, values_n.astype("float32"), [out * inner])
        delta = paddle.fft.ifft2(spectrum.reshape([out, inner]).astype("complex64")).real()
        delta = (delta * self.fourierft_scaling[adapter]).astype(values_n.dtype)
        return delta.T if self.fan_in_fan_out else delta

    def __repr__(self) -> str:
        return "fourierft." + super().__repr__()


def first_of_permutation(n: int, count: int, seed: int) -> np.ndarray:
    """The first ``count`` numbers of ``torch.randperm(n)`` from ``seed``.

    Only so many are exchanged: a weight has millions of places, and few are wanted.
    """
    generator = rng.Generator().manual_seed(seed)
    steps = min(count, n - 1)
    draws = generator.random_u32(steps).astype("int64") % (n - np.arange(steps))
    moved: dict[int, int] = {}
    found = []
    for i in range(count):
        j = i + int(draws[i]) if i < steps else i
        found.append(moved.get(j, j))
        moved[j] = moved.get(i, i)
    return np.array(found, "int64")
