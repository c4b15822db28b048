"""Recurrent layers, with torch's names and layouts of weights and torch's stream of first values.

Shape letters: T steps, B batch, I input size, H hidden size, L layers, D directions, G gates.
Gates lie in torch's order, which is Paddle's too: input, forget, cell, output for LSTM; reset,
update, new for GRU. Paddle's kernel runs one layer; dropout between layers draws torch's masks.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import paddle
from paddle import _C_ops

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.torch._half import lifted
from hfpaddle.torch.nn import functional as F
from hfpaddle.torch.nn import init
from hfpaddle.torch.nn.modules.module import Module
from hfpaddle.torch.nn.parameter import empty_parameter
from hfpaddle.torch.nn.utils.rnn import PackedSequence

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

Tensor = paddle.Tensor
_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


class RNNBase(Module):
    """Several recurrent layers, in one direction or two."""

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
        proj_size: int = 0, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an "
                "element being zeroed"
            )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero "
                f"dropout expects num_layers greater than 1, but got dropout={dropout} and "
                f"num_layers={num_layers}",
                stacklevel=3,
            )
        for name, value in (("input_size", input_size), ("hidden_size", hidden_size),
                            ("num_layers", num_layers)):  # fmt: skip
            if not isinstance(value, int):
                raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
            if value <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if proj_size:
            raise UnsupportedArgumentError(
                f"{type(self).__name__}: proj_size={proj_size} has no implementation here. Leave "
                "it out and add a Linear after the layer."
            )
        if mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self.mode, self.input_size, self.hidden_size = mode, input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional, self.proj_size = float(dropout), bidirectional, 0
        gates = _GATES[mode] * hidden_size
        directions = 2 if bidirectional else 1
        self._all_weights = []
        for layer in range(num_layers):
            inner = input_size if layer == 0 else hidden_size * directions
            shapes = [[gates, inner], [gates, hidden_size], [gates], [gates]]
            for suffix in ("", "_reverse")[:directions]:
                names = [f"{part}_l{layer}{suffix}" for part in _PARTS[: 4 if bias else 2]]
                for name, shape in zip(names, shapes, strict=False):
                    self.register_parameter(name, empty_parameter(shape, device, dtype))
                self._all_weights.append(names)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within 1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Nothing to do: the kernel takes the weights as they lie."""

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0,
                    "bidirectional": False}  # fmt: skip
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """``[T, B, I]`` (``[B, T, I]`` if batch_first, ``[T, I]`` without B, or packed).

        Returns: ``[T, B, D * H]`` laid out as the input, and the last states ``[D * L, B, H]``.
        """
        packed = input if isinstance(input, PackedSequence) else None
        if packed is not None:
            x, lengths, lay, spread = _unpacked(packed)
        else:
            if input.ndim not in (2, 3):
                raise ValueError(
                    f"{self.mode.split('_')[0]}: Expected input to be 2D or 3D, got {input.ndim}D "
                    "instead"
                )
            single = input.ndim == 2
            x = paddle.unsqueeze(input, 1) if single else input
            if self.batch_first and not single:
                x = paddle.transpose(x, [1, 0, 2])
            lengths = lay = spread = None
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                f"{x.shape[-1]}"
            )
        states = self._first_states(x, hx, packed, packed is None and single)
        out, last = self._run(x, states, lengths, lay, spread)
        if packed is not None:
            data = lay(out)
            result = PackedSequence(data, *packed[1:])
            last = [_reordered(s, packed.unsorted_indices) for s in last]
        else:
            result = paddle.transpose(out, [1, 0, 2]) if self.batch_first and not single else out
            if single:
                result, last = paddle.squeeze(out, 1), [paddle.squeeze(s, 1) for s in last]
        return result, tuple(last) if self.mode == "LSTM" else last[0]

    def _first_states(self, x: Tensor, hx: Any, packed: Any, single: bool) -> list[Tensor]:
        count = self.num_layers * (2 if self.bidirectional else 1)
        shape = [count, x.shape[1], self.hidden_size]
        if hx is None:
            return [paddle.zeros(shape, x.dtype)] * (2 if self.mode == "LSTM" else 1)
        states = list(hx) if isinstance(hx, (tuple, list)) else [hx]
        if single:
            states = [paddle.unsqueeze(s, 1) for s in states]
        for name, state in zip(("hidden[0]", "hidden[1]"), states, strict=False):
            if list(state.shape) != shape:
                raise RuntimeError(f"Expected {name} size {tuple(shape)}, got {list(state.shape)}")
        if packed is not None:
            states = [_reordered(s, packed.sorted_indices) for s in states]
        return states

    def _run(self, x, states, lengths, lay, spread) -> tuple[Tensor, list[Tensor]]:
        directions = 2 if self.bidirectional else 1
        last: list[list[Tensor]] = [[] for _ in states]
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                # The mask is drawn for the items that are there, as torch draws it.
                data = F.dropout(x if lay is None else lay(x), self.dropout)
                x = data if lay is None else spread(data)
            first, end = layer * directions, (layer + 1) * directions
            weights = self.all_weights[first:end]
            x, *ends = _layer(
                x, [s[first:end] for s in states], weights, lengths, self.mode, self.hidden_size
            )
            for kept, state in zip(last, ends, strict=True):
                kept.append(state)
        return x, [paddle.concat(kept) if len(kept) > 1 else kept[0] for kept in last]


@lifted
def _layer(x, states, weights, lengths, mode, hidden) -> tuple:
    """One layer by Paddle's kernel: ``[T, B, D * H]`` and the last states ``[D, B, H]``."""
    flat = [w for group in weights for w in group[:2]]
    flat += [b for group in weights for b in group[2:] or [_zeros(group[0])] * 2]
    if any(not value.stop_gradient for value in (x, *states, *flat)):
        flat = [_live(weight) for weight in flat]
    out, _, ends = _C_ops.rnn(
        x, states, flat, lengths, paddle.empty([0], "uint8"), 0.0, len(weights) == 2, x.shape[-1],
        hidden, 1, mode, 0, False,
    )  # fmt: skip
    return out, *ends


def _zeros(weight: Tensor) -> Tensor:
    return paddle.zeros([weight.shape[0]], weight.dtype)


def _live(weight: Tensor) -> Tensor:
    """The kernel's backward writes the gradient of every weight, of the frozen ones too."""
    if weight.stop_gradient:
        weight = weight.detach()
        weight.stop_gradient = False
    return weight


def _reordered(x: Tensor, index: Tensor | None) -> Tensor:
    return x if index is None else paddle.index_select(x, index, axis=1)


def _unpacked(packed: PackedSequence) -> tuple:
    """``[T, B, I]`` with zeros, lengths ``[B]``, and functions to and from the packed layout."""
    sizes = packed.batch_sizes.tolist()
    steps, batch = len(sizes), sizes[0]
    places = [t * batch + b for t, n in enumerate(sizes) for b in range(n)]
    where = [len(places)] * (steps * batch)  # one past the last: a row of zeros
    for source, target in enumerate(places):
        where[target] = source
    places, where = paddle.to_tensor(places, "int64"), paddle.to_tensor(where, "int64")
    lengths = paddle.to_tensor([sum(n > b for n in sizes) for b in range(batch)], "int32")

    def lay(x: Tensor) -> Tensor:
        return paddle.gather(paddle.reshape(x, [steps * batch, -1]), places)

    def spread(data: Tensor) -> Tensor:
        data = paddle.concat([data, paddle.zeros([1, data.shape[-1]], data.dtype)])
        return paddle.reshape(paddle.gather(data, where), [steps, batch, -1])

    return spread(packed.data), lengths, lay, spread


class RNN(RNNBase):
    """h = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu of it."""

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
        *args: Any, **kwargs: Any,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        self_mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(self_mode, input_size, hidden_size, num_layers, *args, **kwargs)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory. Source: Hochreiter, Schmidhuber (1997)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)


class GRU(RNNBase):
    """Gated recurrent units. Source: arXiv:1406.1078."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("GRU", *args, **kwargs)


class RNNCellBase(Module):
    """One step of a recurrent layer."""

    mode: str

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        gates = num_chunks * hidden_size
        self.weight_ih = empty_parameter([gates, input_size], device, dtype)
        self.weight_hh = empty_parameter([gates, hidden_size], device, dtype)
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, empty_parameter([gates], device, dtype) if bias else None)
        self.reset_parameters()

    reset_parameters = RNNBase.reset_parameters

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        text += "" if self.bias else f", bias={self.bias}"
        shown = getattr(self, "nonlinearity", "tanh")
        return text if shown == "tanh" else f"{text}, nonlinearity={shown}"

    def _step(self, mode: str, input: Tensor, states: Any) -> list[Tensor]:
        if input.ndim not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 1D or 2D, got {input.ndim}D instead"
            )
        single = input.ndim == 1
        x = paddle.unsqueeze(input, 0) if single else input
        if states is None:
            zeros = paddle.zeros([x.shape[0], self.hidden_size], x.dtype)
            states = [zeros, zeros] if mode == "LSTM" else [zeros]
        elif single:
            states = [paddle.unsqueeze(s, 0) for s in states]
        weights = [w for w in (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
                   if w is not None]  # fmt: skip
        states = [paddle.unsqueeze(s, 0) for s in states]
        _, *ends = _layer(
            paddle.unsqueeze(x, 0), states, [weights], None, mode, self.hidden_size
        )  # fmt: skip
        ends = [paddle.squeeze(s, 0) for s in ends]
        return [paddle.squeeze(s, 0) for s in ends] if single else ends


class RNNCell(RNNCellBase):
    """One step of :class:`RNN`."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        states = None if hx is None else [hx]
        return self._step(f"RNN_{self.nonlinearity.upper()}", input, states)[0]


class LSTMCell(RNNCellBase):
    """One step of :class:`LSTM`: the new ``(h, c)``."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Tensor]:
        h, c = self._step("LSTM", input, hx)
        return h, c


class GRUCell(RNNCellBase):
    """One step of :class:`GRU`."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step("GRU", input, None if hx is None else [hx])[0]
