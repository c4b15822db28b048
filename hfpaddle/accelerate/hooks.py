"""Mirror of ``accelerate.hooks``: what runs just before and after the forward pass of a model."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import paddle

from hfpaddle.accelerate.mirror import fallback
from hfpaddle.accelerate.utils.operations import find_device, send_to_device
from hfpaddle.core.errors import UnsupportedArgumentError

__getattr__ = fallback(__name__)


class ModelHook:
    """Base of hooks. ``no_grad`` runs the forward pass without recording it."""

    no_grad = False

    def init_hook(self, module: Any) -> Any:
        """Called when the hook is attached; returns the module."""
        return module

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[tuple, dict]:
        """Returns the arguments that the forward pass gets."""
        return args, kwargs

    def post_forward(self, module: Any, output: Any) -> Any:
        """Returns the output that the caller gets."""
        return output

    def detach_hook(self, module: Any) -> Any:
        """Called when the hook is taken out; returns the module."""
        return module


class SequentialHook(ModelHook):
    """Several hooks, each applied in turn, at the end too."""

    def __init__(self, *hooks: ModelHook) -> None:
        self.hooks = hooks

    def init_hook(self, module: Any) -> Any:
        for hook in self.hooks:
            module = hook.init_hook(module)
        return module

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[tuple, dict]:
        for hook in self.hooks:
            args, kwargs = hook.pre_forward(module, *args, **kwargs)
        return args, kwargs

    def post_forward(self, module: Any, output: Any) -> Any:
        for hook in self.hooks:
            output = hook.post_forward(module, output)
        return output

    def detach_hook(self, module: Any) -> Any:
        for hook in self.hooks:
            module = hook.detach_hook(module)
        return module


def add_hook_to_module(module: Any, hook: ModelHook, append: bool = False) -> Any:
    """Attach ``hook`` in place of an earlier one, with ``append`` after it; return ``module``."""
    if append and getattr(module, "_hf_hook", None) is not None:
        earlier = module._hf_hook
        remove_hook_from_module(module)
        hook = SequentialHook(earlier, hook)
    if not ("_hf_hook" in vars(module) and "_old_forward" in vars(module)):
        module.__dict__["_old_forward"] = module.forward
    module = hook.init_hook(module)
    module.__dict__["_hf_hook"] = hook

    @functools.wraps(module._old_forward)
    def forward(*args: Any, **kwargs: Any) -> Any:
        current = module._hf_hook
        args, kwargs = current.pre_forward(module, *args, **kwargs)
        if current.no_grad:
            with paddle.no_grad():
                output = module._old_forward(*args, **kwargs)
        else:
            output = module._old_forward(*args, **kwargs)
        return current.post_forward(module, output)

    module.__dict__["forward"] = forward
    return module


def remove_hook_from_module(module: Any, recurse: bool = False) -> Any:
    """Take the hook out, of the modules inside too with ``recurse``; return ``module``."""
    own = vars(module)
    if "_hf_hook" in own:
        own["_hf_hook"].detach_hook(module)
        del own["_hf_hook"]
    if "_old_forward" in own:
        own["forward"] = own.pop("_old_forward")
    if recurse:
        for child in module.children():
            remove_hook_from_module(child, recurse)
    return module


def remove_hook_from_submodules(module: Any) -> None:
    """Take the hooks of ``module`` and of all modules inside out."""
    remove_hook_from_module(module, recurse=True)


def _place(device: Any) -> Any:
    from hfpaddle.torch._device import place_of

    return place_of(device)


class AlignDevicesHook(ModelHook):
    """Moves inputs, and at the start the module's tensors, to ``execution_device``.

    Raises: UnsupportedArgumentError for ``offload`` of weights between forward passes.
    """

    def __init__(
        self,
        execution_device: Any = None,
        offload: bool = False,
        io_same_device: bool = False,
        weights_map: Mapping | None = None,
        offload_buffers: bool = False,
        place_submodules: bool = False,
        skip_keys: str | list[str] | None = None,
        tied_params_map: dict | None = None,
    ) -> None:
        if offload:
            raise UnsupportedArgumentError(
                "AlignDevicesHook(offload=True) is not implemented: weights stay on one device. "
                "Leave it out, or use cpu_offload_with_hook, which moves whole models."
            )
        self.execution_device = execution_device
        self.offload = offload
        self.io_same_device = io_same_device
        self.weights_map = weights_map
        self.offload_buffers = offload_buffers
        self.place_submodules = place_submodules
        self.skip_keys = skip_keys
        self.tied_params_map = tied_params_map
        self.input_device: Any = None

    def init_hook(self, module: Any) -> Any:
        if self.execution_device is not None:
            module.to(_place(self.execution_device))
        return module

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[tuple, dict]:
        if self.io_same_device:
            self.input_device = find_device([args, kwargs])
        if self.execution_device is None:
            return args, kwargs
        moved = send_to_device(kwargs, self.execution_device, skip_keys=self.skip_keys)
        return send_to_device(args, self.execution_device), moved

    def post_forward(self, module: Any, output: Any) -> Any:
        if self.io_same_device and self.input_device is not None:
            output = send_to_device(output, self.input_device, skip_keys=self.skip_keys)
        return output


class CpuOffload(ModelHook):
    """Keeps a model on the CPU until its forward pass, and then on ``execution_device``."""

    def __init__(
        self, execution_device: Any = None, prev_module_hook: UserCpuOffloadHook | None = None
    ) -> None:
        from hfpaddle.accelerate.state import PartialState

        self.prev_module_hook = prev_module_hook
        given = execution_device is not None
        self.execution_device = execution_device if given else PartialState().default_device

    def init_hook(self, module: Any) -> Any:
        module.to(_place("cpu"))
        return module

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[tuple, dict]:
        if self.prev_module_hook is not None:
            self.prev_module_hook.offload()
        module.to(_place(self.execution_device))
        moved = send_to_device(kwargs, self.execution_device)
        return send_to_device(args, self.execution_device), moved


class UserCpuOffloadHook:
    """What ``cpu_offload_with_hook`` returns: sends its model back to the CPU, or lets it go."""

    def __init__(self, model: Any, hook: CpuOffload) -> None:
        self.model = model
        self.hook = hook

    def offload(self) -> None:
        self.hook.init_hook(self.model)

    def remove(self) -> None:
        remove_hook_from_module(self.model)
