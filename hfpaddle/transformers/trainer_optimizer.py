"""The optimizer and the schedule of a Trainer, from its arguments."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn

from hfpaddle import ops
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.layers.basic import LayerNorm
from hfpaddle.transformers.optimization import get_scheduler
from hfpaddle.transformers.optimization_greedy import GreedyLR
from hfpaddle.transformers.trainer_pt_utils import get_parameter_names
from hfpaddle.transformers.training_args import OptimizerNames

# Names whose parameters take no weight decay.
NO_DECAY = (r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)")
ADAMW = (OptimizerNames.ADAMW_TORCH, OptimizerNames.ADAMW_TORCH_FUSED)


def parse_optim_args(text: str | None) -> dict[str, str]:
    """Return ``{"a": "1"}`` for ``"a=1"``, several parted by commas."""
    pairs = (text or "").replace(" ", "").split(",")
    return dict(pair.split("=") for pair in pairs if pair)


def _sgd(optim: Any, args: Any, options: dict[str, str]) -> tuple[Any, dict]:
    names = ("momentum", "dampening", "weight_decay")
    kwargs: dict[str, Any] = {k: float(options[k]) for k in names if k in options}
    if "nesterov" in options:
        kwargs["nesterov"] = options["nesterov"].lower() in ("true", "1", "yes")
    return optim.SGD, kwargs


def optimizer_class(args: Any) -> tuple[Any, dict[str, Any]]:
    """Return the class that ``args.optim`` names and its keywords.

    Raises: UnsupportedArgumentError for optimizers that are not implemented.
    """
    from hfpaddle.torch import optim

    options, name = parse_optim_args(args.optim_args), args.optim
    rate = {"lr": args.learning_rate}
    if name in ADAMW:
        betas = (args.adam_beta1, args.adam_beta2)
        return optim.AdamW, {**rate, "betas": betas, "eps": args.adam_epsilon}
    if name == OptimizerNames.ADAFACTOR:
        from hfpaddle.transformers.optimization import Adafactor

        return Adafactor, {**rate, "scale_parameter": False, "relative_step": False}
    if name == OptimizerNames.SGD:
        cls, kwargs = _sgd(optim, args, options)
        return cls, {**rate, **kwargs}
    if name == OptimizerNames.ADAGRAD and hasattr(optim, "Adagrad"):
        return optim.Adagrad, rate
    if name == OptimizerNames.RMSPROP and hasattr(optim, "RMSprop"):
        return optim.RMSprop, rate
    raise UnsupportedArgumentError(
        f"TrainingArguments(optim={str(getattr(name, 'value', name))!r}) is not implemented "
        "(nearest: 'adamw_torch'). Others: 'adafactor', 'sgd', 'adagrad', 'rmsprop'; or pass "
        "optimizers=(optimizer, scheduler)."
    )


class OptimizerMixin:
    """How a Trainer makes its optimizer and schedule."""

    args: Any
    model: Any
    optimizer: Any
    lr_scheduler: Any
    optimizer_cls_and_kwargs: Any
    _created_lr_scheduler: bool
    _parameters_of: Any

    def create_optimizer_and_scheduler(self, num_training_steps: int) -> None:
        self.create_optimizer()
        self.create_scheduler(num_training_steps=num_training_steps)

    def create_optimizer(self, model: Any = None) -> Any:
        """Make the optimizer, unless there is one: two groups, with and without weight decay."""
        if self.optimizer is not None:
            return self.optimizer
        model = self.model if model is None else model
        decayed = set(self.get_decay_parameter_names(model))
        trained = [(n, p) for n, p in model.named_parameters() if not p.stop_gradient]
        groups: Any = [
            {
                "params": [p for n, p in trained if n in decayed],
                "weight_decay": self.args.weight_decay,
            },
            {"params": [p for n, p in trained if n not in decayed], "weight_decay": 0.0},
        ]
        found = self.optimizer_cls_and_kwargs
        cls, kwargs = found or self.get_optimizer_cls_and_kwargs(self.args, model)
        kwargs = dict(kwargs)
        self.optimizer = cls(kwargs.pop("params", groups), **kwargs)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Make the schedule, unless there is one."""
        if self.lr_scheduler is None:
            self.lr_scheduler = get_scheduler(
                self.args.lr_scheduler_type,
                optimizer=self.optimizer if optimizer is None else optimizer,
                num_warmup_steps=self.args.get_warmup_steps(num_training_steps),
                num_training_steps=num_training_steps,
                scheduler_specific_kwargs=self.args.lr_scheduler_kwargs,
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    @staticmethod
    def get_optimizer_cls_and_kwargs(args: Any, model: Any = None) -> tuple[Any, dict[str, Any]]:
        return optimizer_class(args)

    def get_decay_parameter_names(self, model: Any) -> list[str]:
        """Return the parameters with weight decay: not those of norms, and no biases."""
        return get_parameter_names(model, (nn.LayerNorm, LayerNorm), NO_DECAY)

    @property
    def _scheduled_by_metric(self) -> bool:
        """Whether the schedule steps after evaluations, not after updates."""
        from hfpaddle.torch.optim.lr_scheduler import ReduceLROnPlateau

        return isinstance(self.lr_scheduler, (ReduceLROnPlateau, GreedyLR))

    def _get_learning_rate(self) -> float:
        if self._scheduled_by_metric:
            return self.optimizer.param_groups[0]["lr"]
        rate = self.lr_scheduler.get_last_lr()[0]
        return rate.item() if isinstance(rate, paddle.Tensor) else rate

    def _clip_grad_norm(self, model: Any) -> paddle.Tensor:
        """Scale all gradients so that their joint norm is at most ``max_grad_norm``."""
        return clip_gradients(self._parameters_of(model), self.args.max_grad_norm)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        if grad_norm is None:
            return clip_gradients(self._parameters_of(model), None)
        return grad_norm


@paddle.no_grad()
def clip_gradients(parameters: Any, limit: float | None) -> paddle.Tensor:
    """Return the norm of all gradients; with a ``limit`` scale them in place to at most that."""
    gradients = [g for p in parameters if (g := p.grad) is not None]
    if not gradients:
        return paddle.zeros([])
    total = paddle.sqrt(paddle.sum(paddle.stack([ops.squared_norm(g) for g in gradients])))
    if limit is not None:
        # As torch: the factor has a guard of 1e-6.
        factor = paddle.clip(limit / (total + 1e-6), max=1.0)
        for gradient in gradients:
            ops.scale_(gradient, factor)
    return total
