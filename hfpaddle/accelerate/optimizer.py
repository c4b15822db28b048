"""Mirror of ``accelerate.optimizer``: an optimizer that waits until gradients are complete."""

from __future__ import annotations

import inspect
from typing import Any

import paddle

from hfpaddle.accelerate.mirror import fallback
from hfpaddle.accelerate.state import AcceleratorState, GradientState


class AcceleratedOptimizer:
    """Wraps an optimizer of the torch surface, or Paddle's own.

    ``step`` and ``zero_grad`` do nothing while gradients accumulate.
    """

    def __init__(self, optimizer: Any, device_placement: bool = True, scaler: Any = None) -> None:
        self.optimizer = optimizer
        self.scaler = scaler
        self.accelerator_state = AcceleratorState()
        self.gradient_state = GradientState()
        self.device_placement = device_placement
        self._is_overflow = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "optimizer":
            raise AttributeError(name)
        return getattr(self.optimizer, name)

    @property
    def __class__(self) -> type:  # isinstance(x, torch.optim.Optimizer) holds, as upstream
        wrapped = self.__dict__.get("optimizer")
        return type(self) if wrapped is None else type(wrapped)

    @property
    def param_groups(self) -> Any:
        if isinstance(self.optimizer, paddle.optimizer.Optimizer):
            return self.optimizer._param_groups
        return self.optimizer.param_groups

    @param_groups.setter
    def param_groups(self, param_groups: Any) -> None:
        self.optimizer.param_groups = param_groups

    def state_dict(self) -> Any:
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: Any) -> None:
        if hasattr(self.optimizer, "load_state_dict"):
            self.optimizer.load_state_dict(state_dict)
        else:
            self.optimizer.set_state_dict(state_dict)

    def saved_state(self) -> Any:
        """Return the state for a checkpoint.

        Paddle's own optimizers key it by names that count the layers made in a process; here the
        parameter's position stands for its name.
        """
        state = self.state_dict()
        if not isinstance(self.optimizer, paddle.optimizer.Optimizer):
            return state
        return {self._renamed(key, False): value for key, value in state.items()}

    def load_saved_state(self, state: Any) -> None:
        """Go back to what :meth:`saved_state` returned."""
        if isinstance(self.optimizer, paddle.optimizer.Optimizer):
            state = {self._renamed(key, True): value for key, value in state.items()}
        self.load_state_dict(state)

    def _renamed(self, key: str, back: bool) -> str:
        groups = self.optimizer._parameter_list
        params = [p for g in groups for p in (g["params"] if isinstance(g, dict) else [g])]
        for index, parameter in enumerate(params):
            pair = (f"{parameter.name}_", f"#{index}#")
            old, new = reversed(pair) if back else pair
            if key.startswith(old):
                return new + key[len(old) :]
        return key

    def zero_grad(self, set_to_none: bool | None = None) -> None:
        """Drop gradients, unless they are still accumulating."""
        if not self.gradient_state.sync_gradients:
            return
        if not hasattr(self.optimizer, "zero_grad"):
            self.optimizer.clear_grad(set_to_zero=set_to_none is False)
        elif "set_to_none" in inspect.signature(self.optimizer.zero_grad).parameters:
            self.optimizer.zero_grad(set_to_none=True if set_to_none is None else set_to_none)
        elif set_to_none is not None:
            raise ValueError("`set_to_none` is not supported by this optimizer's zero_grad.")
        else:
            self.optimizer.zero_grad()

    def step(self, closure: Any = None) -> None:
        """Update, unless gradients are still accumulating."""
        if not self.gradient_state.sync_gradients:
            return
        if self.scaler is not None:
            before = self.scaler.get_scale()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self._is_overflow = self.scaler.get_scale() < before
        elif closure is None:
            self.optimizer.step()
        else:
            self.optimizer.step(closure)

    @property
    def step_was_skipped(self) -> bool:
        """Whether the last update was left out because a gradient overflowed."""
        return self._is_overflow

    def train(self) -> None:
        if callable(getattr(self.optimizer, "train", None)):
            self.optimizer.train()

    def eval(self) -> None:
        if callable(getattr(self.optimizer, "eval", None)):
            self.optimizer.eval()


__getattr__ = fallback(__name__)
