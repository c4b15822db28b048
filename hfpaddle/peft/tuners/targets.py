"""What configs and tuners of the smaller methods share."""

from __future__ import annotations

import warnings
from typing import Any

from paddle import nn

from hfpaddle.peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer, get_pattern_key
from hfpaddle.peft.utils import layers


def settle_targets(config: Any, regex_alone: bool = False, pattern_alone: bool = False) -> None:
    """Make sets of lists of names, and check the choice of layers as peft does for the method.

    Args:
        regex_alone: a regular expression and a choice of layers exclude each other.
        pattern_alone: ``layers_pattern`` may stand without ``layers_to_transform``.
    Raises: ValueError for what is not allowed.
    """
    for name in ("target_modules", "exclude_modules"):
        if isinstance(getattr(config, name, None), list):
            setattr(config, name, set(getattr(config, name)))
    if regex_alone and isinstance(config.target_modules, str):
        for name in ("layers_to_transform", "layers_pattern"):
            if getattr(config, name) is not None:
                raise ValueError(f"`{name}` cannot be used when `target_modules` is a str.")
    lone = getattr(config, "layers_pattern", None) and config.layers_to_transform is None
    if lone and not pattern_alone:
        raise ValueError(
            "When `layers_pattern` is specified, `layers_to_transform` must also be specified. "
        )


class SimpleTuner(BaseTuner):
    """A tuner with one adapter layer class, made from the target, the config and some sizes.

    A method gives `supports`, and `sizes` if they differ between modules.
    """

    notes_layout = True  # whether the config is told how weights are stored

    @classmethod
    def supports(cls, base: Any) -> bool:
        """Whether the method can adapt a module of this kind."""
        return layers.is_linear(base) or layers.is_paddle_linear(base)

    def sizes(self, config: Any, key: str) -> dict[str, Any]:
        """Rank and the like of the module ``key``; by default those with patterns."""
        ranks = getattr(config, "rank_pattern", None)
        if ranks is None:
            return {}
        alphas = config.alpha_pattern or {}
        return {
            "r": ranks.get(get_pattern_key(ranks, key), config.r),
            "alpha": alphas.get(get_pattern_key(alphas, key), config.alpha),
        }

    def _create_and_replace(
        self, peft_config: Any, adapter_name: str, target: nn.Layer, target_name: str,
        parent: nn.Layer, current_key: str,
    ) -> None:  # fmt: skip
        sizes = self.sizes(peft_config, current_key)
        if isinstance(target, self.tuner_layer_cls):
            target.update_layer(adapter_name, peft_config, **sizes)
            return
        base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        if not self.supports(base):
            raise TypeError(f"Target module {target} is not supported by {type(self).__name__}.")
        if self.notes_layout:
            settle_layout(base, peft_config)
        new = self.tuner_layer_cls(target, adapter_name, peft_config, **sizes)
        if adapter_name not in self.active_adapters:
            for param in new.parameters():
                param.stop_gradient = True
        self._replace_module(parent, target_name, new, target)


def settle_layout(base: Any, config: Any) -> None:
    """Set ``fan_in_fan_out`` as the module stores its weight, with a warning."""
    if not hasattr(config, "fan_in_fan_out"):
        return
    kinds = (
        (layers.is_linear, False, "torch.nn.Linear"),
        (layers.is_conv1d_linear, True, "Conv1D"),
    )
    for is_kind, wanted, name in kinds:
        if is_kind(base) and config.fan_in_fan_out is not wanted:
            warnings.warn(
                f"fan_in_fan_out is set to {not wanted} but the target module is `{name}`. Setting "
                f"fan_in_fan_out to {wanted}.",
                stacklevel=5,
            )
            config.fan_in_fan_out = wanted
