"""Modules that an adapter trains in full, beside the originals."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import paddle
from paddle import nn

from hfpaddle.peft.utils import layers
from hfpaddle.peft.utils.arrays import set_requires_grad


def by_adapter(names: Sequence[str]) -> dict[str, list[int]]:
    """Rows of a batch by the adapter that each asks for."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    return rows


def take_rows(x: paddle.Tensor, rows: list[int]) -> paddle.Tensor:
    """``x[rows]``."""
    return paddle.index_select(x, paddle.to_tensor(rows, place=x.place), axis=0)


def join_rows(parts: list[paddle.Tensor], rows: list[list[int]]) -> paddle.Tensor:
    """Put parts of a batch back into its order."""
    order = [row for part in rows for row in part]
    back = sorted(range(len(order)), key=order.__getitem__)
    return take_rows(paddle.concat(parts, axis=0), back)


class AuxiliaryTrainingWrapper(nn.Layer):
    """A module of the base model with something of each adapter beside it.

    A subclass gives `init_modules`, `update`, the forward passes, and the names of what it saves.
    """

    original_module: Any
    adapter_layer_names: tuple[str, ...] = ()
    other_param_names: tuple[str, ...] = ()
    merged_adapters: list[str] = []
    what = "training wrapper"
    has_status = True  # False if an adapter layer inside has it

    def __init__(self, module_to_save: nn.Layer, adapter_name: str, **kwargs: Any) -> None:
        super().__init__()
        self._active_adapter: Any = [adapter_name]
        self._disable_adapters = False
        self._adapters: set[str] = set()
        self.batch_adapters: list[str] | None = None
        self.init_modules(module_to_save, adapter_name, **kwargs)
        self.update(adapter_name, **kwargs)
        self.check_module()

    def init_modules(self, module: nn.Layer, adapter_name: str, **kwargs: Any) -> None:
        """Keep ``module``, and make the attributes that hold what adapters have."""
        raise NotImplementedError

    def check_module(self) -> None:
        from hfpaddle.peft.tuners.tuners_utils import BaseTunerLayer

        containers = (nn.LayerDict, nn.LayerList, nn.ParameterList)
        if isinstance(self.original_module, (*containers, BaseTunerLayer)):
            raise TypeError(f"{self.what} cannot be applied to {type(self.original_module)}")

    @property
    def disable_adapters(self) -> bool:
        return self._disable_adapters

    @property
    def active_adapter(self) -> Any:
        return self._active_adapter

    @property
    def active_adapters(self) -> list[str]:
        active = self._active_adapter
        return [active] if isinstance(active, str) else active

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "_sub_layers" not in self.__dict__ or "_active_adapter" not in self.__dict__:
                raise
        return getattr(self._current(), name)

    def _current(self) -> Any:
        """The module whose attributes are shown: the active adapter's or the original."""
        return self.original_module

    def update(self, adapter_name: str, **kwargs: Any) -> None:
        """Make what ``adapter_name`` needs."""
        self._adapters.add(adapter_name)

    def _check_forward_args(self, args: tuple, adapter_names: list[str] | None) -> None:
        if adapter_names is not None and args and len(args[0]) != len(adapter_names):
            raise ValueError(
                "Length of `adapter_names` should be the same as the number of inputs, but got "
                f"{len(adapter_names)} and {len(args[0])} respectively."
            )

    def _forward_wrapped(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _forward_one(self, x: paddle.Tensor, adapter: str, *args: Any, **kwargs: Any) -> Any:
        """The forward pass of one adapter on the rows that ask for it."""
        raise NotImplementedError

    def _forward_passthrough(self, *args: Any, **kwargs: Any) -> Any:
        return self.original_module(*args, **kwargs)

    def _mixed_batch_forward(
        self, x: paddle.Tensor, *args: Any, adapter_names: list[str], **kwargs: Any
    ) -> Any:
        original = self.original_module
        simple = layers.is_linear(original) or layers.is_embedding(original)
        if not simple and not layers.conv_dims(original):
            raise TypeError(
                "Mixed batching is only supported for linear, embedding and convolution modules, "
                f"not for {type(original).__name__}."
            )
        groups = by_adapter(adapter_names)
        parts = []
        for adapter, rows in groups.items():
            part = take_rows(x, rows)
            if adapter == "__base__":
                parts.append(original(part, *args, **kwargs))
            else:
                parts.append(self._forward_one(part, adapter, *args, **kwargs))
        return join_rows(parts, list(groups.values()))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        adapter_names = kwargs.pop("adapter_names", None) or self.batch_adapters
        self._check_forward_args(args, adapter_names)
        known = all(adapter in self._adapters for adapter in self.active_adapters)
        if self.disable_adapters or not known:
            return self._forward_passthrough(*args, **kwargs)
        if adapter_names is None:
            return self._forward_wrapped(*args, **kwargs)
        return self._mixed_batch_forward(*args, adapter_names=adapter_names, **kwargs)

    def enable_adapters(self, enabled: bool) -> None:
        self._disable_adapters = not enabled

    def check_set_adapter(self, adapter_name: str | list[str]) -> str | None:
        """The one of ``adapter_name`` that this wrapper knows; None if there is none.

        Raises: ValueError for none at all, or for several that it knows.
        """
        if isinstance(adapter_name, str):
            return adapter_name
        if not adapter_name:
            raise ValueError("Please specify at least one adapter to set")
        own = [name for name in adapter_name if name in self._get_available_adapters()]
        if len(own) > 1:
            raise ValueError(f"Only one adapter can be set at a time for {self}, got {len(own)}")
        return own[0] if own else None

    def set_adapter(self, adapter_names: str | list[str], inference_mode: bool = False) -> None:
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        for name in names:
            if name not in self._adapters:
                raise ValueError(f"Adapter {name} not found in {self._adapters}")
        self._active_adapter = adapter_names if isinstance(adapter_names, str) else names

    def delete_adapter(self, adapter_name: str, new_active_adapters: list[str] | None) -> None:
        raise NotImplementedError

    def _check_new_active(self, new_active_adapters: Any) -> None:
        if isinstance(new_active_adapters, (list, tuple)) and len(new_active_adapters) > 1:
            raise ValueError(
                f"Attempted to set multiple ({new_active_adapters}) adapters at once for "
                f"{type(self).__name__}, which is not allowed."
            )

    def set_requires_grad(
        self, adapter_names: str | Sequence[str], requires_grad: bool = True
    ) -> None:
        names = {adapter_names} if isinstance(adapter_names, str) else set(adapter_names)
        for path in self.adapter_layer_names:
            holder: Any = self
            for part in path.split("."):
                holder = getattr(holder, part)
            for key, item in holder.items():
                if key in names:
                    set_requires_grad(item, requires_grad)

    def _get_available_adapters(self) -> set[str]:
        raise NotImplementedError

    def adapter_state_dict_load_map(self, adapter_name: str) -> dict[str, str]:
        """Name in a file -> name in this module's state dict, of what the adapter saves."""
        raise NotImplementedError

    def adapter_state_dict(self, adapter_name: str, state_dict: dict[str, Any]) -> dict[str, Any]:
        """What the adapter saves, out of this module's state dict."""
        load_map = self.adapter_state_dict_load_map(adapter_name)
        return {key: state_dict[ours] for key, ours in load_map.items()}

    def unload_and_optionally_merge_module(
        self, merge: bool, safe_merge: bool, adapter_names: list[str] | None
    ) -> nn.Layer:
        raise NotImplementedError


class ModulesToSaveWrapper(AuxiliaryTrainingWrapper):
    """A module and a full copy of it for each adapter; the active adapter's copy is called."""

    adapter_layer_names = ("modules_to_save",)
    what = "modules_to_save"

    def init_modules(self, module: nn.Layer, adapter_name: str, **kwargs: Any) -> None:
        self.original_module = module
        self.modules_to_save = nn.LayerDict()

    def _current(self) -> Any:
        active = self.active_adapters
        if self.disable_adapters or not active or active[0] not in self.modules_to_save:
            return self.original_module
        return self.modules_to_save[active[0]]

    def _forward_wrapped(self, *args: Any, **kwargs: Any) -> Any:
        if not self.active_adapters:
            return self.original_module(*args, **kwargs)
        return self.modules_to_save[self.active_adapters[0]](*args, **kwargs)

    def _forward_one(self, x: paddle.Tensor, adapter: str, *args: Any, **kwargs: Any) -> Any:
        return self.modules_to_save[adapter](x, *args, **kwargs)

    def update(self, adapter_name: str, **kwargs: Any) -> None:
        super().update(adapter_name)
        if adapter_name not in self.modules_to_save:
            self.modules_to_save[adapter_name] = copy.deepcopy(self.original_module)
        set_requires_grad(self.original_module, False)
        if adapter_name == self.active_adapter:
            set_requires_grad(self.modules_to_save[adapter_name], True)

    def enable_adapters(self, enabled: bool) -> None:
        super().enable_adapters(enabled)
        if enabled:
            for name in self.active_adapters:
                set_requires_grad(self.modules_to_save[name], True)
        else:
            set_requires_grad(self.modules_to_save, False)

    def set_adapter(self, adapter_names: str | list[str], inference_mode: bool = False) -> None:
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        if len(names) > 1:
            raise ValueError(
                f"Attempted to set multiple ({names}) adapters at once for modules_to_save."
            )
        for name in names:
            if name not in self._adapters:
                raise ValueError(f"Adapter {name} not found in {self._adapters}")
        for name in self.active_adapters:
            set_requires_grad(self.modules_to_save[name], False)
        if not names:
            self._active_adapter = []
            return
        set_requires_grad(self.modules_to_save[names[0]], not inference_mode)
        self._active_adapter = names[0]

    def delete_adapter(self, adapter_name: str, new_active_adapters: list[str] | None) -> None:
        if adapter_name not in self.modules_to_save:
            return
        self._check_new_active(new_active_adapters)
        self._adapters.discard(adapter_name)
        new = new_active_adapters[0] if new_active_adapters else None
        if new is None or new not in self.modules_to_save:
            self._active_adapter = []
        elif self.active_adapters != [new]:
            self.set_adapter(new)
        del self.modules_to_save[adapter_name]

    def adapter_state_dict_load_map(self, adapter_name: str) -> dict[str, str]:
        if adapter_name not in self._adapters:
            return {}
        names = self.modules_to_save[adapter_name].state_dict()
        return {name: f"modules_to_save.{adapter_name}.{name}" for name in names}

    def unload_and_optionally_merge_module(
        self, merge: bool, safe_merge: bool, adapter_names: list[str] | None
    ) -> nn.Layer:
        if not self.active_adapters:
            return self.original_module
        return self.modules_to_save[self.active_adapters[0]]

    def _get_available_adapters(self) -> set[str]:
        return set(self.modules_to_save.keys())
