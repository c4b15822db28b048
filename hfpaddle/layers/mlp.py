"""Feed-forward blocks.

Shape letters: B batch, S sequence, H hidden, I intermediate.
"""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn

from hfpaddle import ops
from hfpaddle.layers.activations import activation, activation_name
from hfpaddle.layers.basic import Linear
from hfpaddle.layers.recipe import MLPRecipe, linear_recipe


class GatedMLP(nn.Layer):
    """``down_proj(act(gate_proj(x)) * up_proj(x))``. Source: arXiv:2002.05202.

    ``names`` are the attribute names of gate, up and down projection in the checkpoint.
    """

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        act: str = "silu",
        bias: bool = False,
        names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj"),
    ) -> None:
        super().__init__()
        self.names = names
        setattr(self, names[0], Linear(hidden_size, intermediate_size, bias))
        setattr(self, names[1], Linear(hidden_size, intermediate_size, bias))
        setattr(self, names[2], Linear(intermediate_size, hidden_size, bias))
        self.act_fn = activation(act)

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        gate, up, down = (getattr(self, name) for name in self.names)
        return down(ops.gated(gate(x_BSH), up(x_BSH), self.act_fn))

    def recipe(self) -> MLPRecipe | None:
        """Return what a kernel needs to compute this; None for subclasses."""
        if type(self) is not GatedMLP:
            return None
        gate, up, down = (linear_recipe(getattr(self, name)) for name in self.names)
        return mlp_recipe(up, down, self.act_fn, gate, gated=True)


class FusedGatedMLP(nn.Layer):
    """`GatedMLP` whose first projection's rows are those of the gate, then those of the rest.

    ``names`` are the two attribute names of the checkpoint.
    """

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        act: str = "silu",
        bias: bool = False,
        names: tuple[str, str] = ("gate_up_proj", "down_proj"),
    ) -> None:
        super().__init__()
        self.names = names
        setattr(self, names[0], Linear(hidden_size, 2 * intermediate_size, bias))
        setattr(self, names[1], Linear(intermediate_size, hidden_size, bias))
        self.activation_fn = activation(act)

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        first, second = (getattr(self, name) for name in self.names)
        gate_BSI, up_BSI = first(x_BSH).chunk(2, axis=-1)
        return second(ops.gated(gate_BSI, up_BSI, self.activation_fn))

    def recipe(self) -> MLPRecipe | None:
        """Return what a kernel needs to compute this; None for subclasses."""
        if type(self) is not FusedGatedMLP:
            return None
        first, second = (getattr(self, name) for name in self.names)
        half = first.weight.shape[0] // 2
        gate, up = linear_recipe(first, 0, half), linear_recipe(first, half)
        return mlp_recipe(up, linear_recipe(second), self.activation_fn, gate, gated=True)


class MLP(nn.Layer):
    """``second(act(first(x)))``; ``names`` are the two attribute names of the checkpoint."""

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        act: str = "gelu",
        bias: bool = True,
        names: tuple[str, str] = ("fc1", "fc2"),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.names, self.p = names, dropout
        setattr(self, names[0], Linear(hidden_size, intermediate_size, bias))
        setattr(self, names[1], Linear(intermediate_size, hidden_size, bias))
        self.act_fn = activation(act)

    def forward(self, x_BSH: paddle.Tensor) -> paddle.Tensor:
        first, second = (getattr(self, name) for name in self.names)
        return ops.dropout(second(self.act_fn(first(x_BSH))), self.p, self.training)

    def recipe(self) -> MLPRecipe | None:
        """Return what a kernel needs to compute this; None for subclasses."""
        if type(self) is not MLP:
            return None
        up, down = (linear_recipe(getattr(self, name)) for name in self.names)
        return mlp_recipe(up, down, self.act_fn)


def mlp_recipe(
    up: Any, down: Any, act: Any, gate: Any = None, gated: bool = False
) -> MLPRecipe | None:
    """Put the parts together; None if a projection has no recipe, or the function no name."""
    name = activation_name(act)
    if up is None or down is None or name is None or (gated and gate is None):
        return None
    return MLPRecipe(up, down, name, gate)
