"""The class that every model derives from: construction, moves, embeddings, and the way to disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import paddle
import transformers
from paddle import nn

from hfpaddle import backends
from hfpaddle.converters.keymap import KeyMap
from hfpaddle.core.dtypes import as_dtype, dtype_name, is_dtype
from hfpaddle.core.errors import UnsupportedArgumentError, WeightMismatchError
from hfpaddle.core.logging import warn_once
from hfpaddle.layers.basic import Conv1D, Embedding, Linear
from hfpaddle.layers.parameter import (
    empty_parameters,
    fill,
    initialized,
    normal,
    parameter,
)
from hfpaddle.modeling import loading, saving
from hfpaddle.modeling.adapters import AdapterMixin, adapter_folder, integration, load_with_adapter
from hfpaddle.modeling.config_rules import building, recording, refuse_unread
from hfpaddle.modeling.initial import fill_missing, initialize
from hfpaddle.modeling.resizing import resize_layer, resize_rows

_no_init: ContextVar[bool] = ContextVar("no_init", default=False)


@contextlib.contextmanager
def no_init_weights() -> Iterator[None]:
    """Within it, new models keep empty parameters: the loader fills them."""
    token = _no_init.set(True)
    try:
        yield
    finally:
        _no_init.reset(token)


class IncompatibleKeys(NamedTuple):
    """What `PreTrainedModel.load_state_dict` found on one side only."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        return tuple.__repr__(self) if any(self) else "<All keys matched successfully>"


class ModelMeta(type):
    """Wraps construction: the outermost model checks its config, ties and initialises weights."""

    def __call__(cls, config: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(config, transformers.PretrainedConfig):
            raise TypeError(
                f"Parameter config in `{cls.__name__}(config)` should be an instance of class "
                f"`PreTrainedConfig`, not {type(config).__name__}. To create a model from a "
                f"pretrained model use `{cls.__name__}.from_pretrained(PRETRAINED_MODEL_NAME)`."
            )
        if building():
            return super().__call__(config, *args, **kwargs)
        with empty_parameters(), recording(config) as read:
            model = super().__call__(config, *args, **kwargs)
        refuse_unread(config, read, cls.neutral_config_keys)
        model.tie_weights()
        if not _no_init.get():
            initialize(model, PreTrainedModel)
            model.check_initialized()
        return model


class PreTrainedModel(AdapterMixin, nn.Layer, metaclass=ModelMeta):
    """A Paddle model that reads and writes Hub checkpoints.

    Class attributes that a family sets:
        config_class: transformers' config class.
        base_model_prefix: attribute that holds the backbone in classes with a head.
        embedding_path: attribute path of the token embedding inside the backbone.
        output_embedding_path: attribute path of the vocabulary projection, or None.
        key_map: rules between checkpoint names and ours.
        neutral_config_keys: config fields of this family that change no number.
        plan: name pattern -> layout over the tensor-parallel axis.
        keep_in_float32: parts of parameter names that loading never casts to less.
        keep_in_float32_from_half: those that loading as float16 (not bfloat16) keeps in float32.
        optional_keys: buffers that a checkpoint may lack: their initial value is right then.
    """

    config_class: Any = None
    base_model_prefix = "model"
    embedding_path = "embed_tokens"
    output_embedding_path: str | None = None
    key_map = KeyMap()
    neutral_config_keys: frozenset[str] = frozenset()
    plan: dict[str, str] = {}
    keep_in_float32: tuple[str, ...] = ()
    keep_in_float32_from_half: tuple[str, ...] = ()
    optional_keys: tuple[str, ...] = ()
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    gradient_checkpointing = False
    model_type: str | None = None
    from_checkpoint = False
    is_quantized = False  # some weights are stored in 8 or 4 bits
    _untied: frozenset[str] = frozenset()

    def __init__(self, config: Any, *_: Any, **__: Any) -> None:
        super().__init__()
        self.config = config
        self.name_or_path = config.name_or_path
        self.generation_config: Any = None
        if self.can_generate():
            self.generation_config = loading.default_generation_config(config)

    @classmethod
    def make_siblings(cls, model_type: str) -> list[type]:
        """Return the further classes of this family that registration derives from this one."""
        return []

    @classmethod
    def can_generate(cls) -> bool:
        return hasattr(cls, "prepare_inputs_for_generation")

    # Construction and initialisation

    @classmethod
    def _from_config(cls, config: Any, **kwargs: Any) -> Any:
        return loading.from_config(cls, config, **kwargs)

    from_config = _from_config

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike | None, *args: Any, **kwargs: Any
    ) -> Any:
        """Load weights and config from a folder, the Hub cache or the Hub.

        Takes the original's arguments; see docs/loading.md for each. Returns the model in eval
        mode, or ``(model, info)`` with ``output_loading_info=True``.

        Raises: MissingFileError, CheckpointError, UnsafeCheckpointError, WeightMismatchError,
        UnsupportedConfigError, UnsupportedModelError, UnsupportedArgumentError, DeviceError.
        """
        name = pretrained_model_name_or_path
        folder = adapter_folder(name)
        if folder is None:
            return loading.from_pretrained(cls, name, *args, **kwargs)
        return load_with_adapter(
            lambda base, **kw: loading.from_pretrained(cls, base, *args, **kw), folder, **kwargs
        )

    def init_weights(self) -> None:
        """Fill every parameter that has no memory yet, tied ones by what they are tied to."""
        self.tie_weights()
        fill_missing(self)
        self.check_initialized()

    def check_initialized(self) -> None:
        """Raise RuntimeError if the family's `_init_weights` left a parameter without memory."""
        left = [name for name, p in self.named_parameters() if not initialized(p)]
        if left:
            raise RuntimeError(f"{type(self).__name__}._init_weights left {left[:5]} empty.")

    post_init = init_weights

    def _init_weights(self, layer: nn.Layer) -> None:
        """Initialise the empty parameters of one layer as the original library does.

        A layer may carry ``init_std``, its own standard deviation.
        """
        std = getattr(layer, "init_std", None) or self.initializer_std()
        norm = "Norm" in type(layer).__name__
        for name, param in layer._parameters.items():
            if param is None or initialized(param):
                continue
            if norm and name == "weight":
                fill(param, 1.0 - getattr(layer, "offset", 0.0))
            elif name == "weight" and isinstance(layer, (Linear, Conv1D, Embedding)):
                fill(param, normal(std))
                if isinstance(layer, Embedding) and layer.padding_idx is not None:
                    with paddle.no_grad():
                        param[layer.padding_idx] = 0.0
            elif "bias" in name:
                fill(param, 0.0)
            else:
                fill(param, normal(std))

    def initializer_std(self) -> float:
        for key in ("initializer_range", "init_std", "initializer_factor"):
            if hasattr(self.config, key):
                return getattr(self.config, key) or 0.02
        return 0.02

    def tie_weights(self, *_: Any, **__: Any) -> None:
        """Make tied names one parameter, as the key map and the config say."""
        for target, source in self.active_ties().items():
            layer, name = self._owner(target)
            source_layer, source_name = self._owner(source)
            layer._parameters[name] = source_layer._parameters[source_name]

    def active_ties(self) -> dict[str, str]:
        """Return ``{target: source}`` of the tied parameter names that this model has."""
        names = {name for name, _ in self.named_parameters(remove_duplicate=False)}
        ties = {}
        for tie in self.key_map.ties:
            wanted = tie.when is None or bool(getattr(self.config, tie.when, False))
            present = tie.target in names and tie.source in names
            if wanted and present and tie.target not in self._untied:
                ties[tie.target] = tie.source
        return ties

    def untie(self, target: str) -> None:
        """Give the tied name ``target`` a parameter of its own, still empty, from now on."""
        layer, name = self._owner(target)
        with empty_parameters():
            layer._parameters[name] = parameter(layer._parameters[name].shape)
        self._untied = self._untied | {target}

    def load_state_dict(
        self, state_dict: dict[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy tensors into the parameters and buffers of these names, cast to their dtype.

        ``assign`` is accepted: values are copied either way.
        Returns: names that are missing and unexpected. Raises: WeightMismatchError for any of these
        if ``strict``, and for another shape always; nothing is copied then.
        """
        targets = self.state_dict()
        missing = [name for name in targets if name not in state_dict]
        unexpected = [name for name in state_dict if name not in targets]
        problems = []
        if strict:
            for kind, names in (("Unexpected", unexpected), ("Missing", missing)):
                if names:
                    listed = ", ".join(f'"{name}"' for name in names)
                    problems.append(f"{kind} key(s) in state_dict: {listed}. ")
        shared = {name: state_dict[name] for name in targets if name in state_dict}
        for name, value in shared.items():
            ours, theirs = list(targets[name].shape), list(value.shape)
            if ours != theirs:
                problems.append(
                    f"size mismatch for {name}: copying a param with shape {theirs} from "
                    f"checkpoint, the shape in current model is {ours}."
                )
        if problems:
            listed = "\n\t".join(problems)
            raise WeightMismatchError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{listed}"
            )
        with paddle.no_grad():
            for name, value in shared.items():
                target = targets[name]
                target.set_value(paddle.to_tensor(value).astype(target.dtype).to(target.place))
        return IncompatibleKeys(missing, unexpected)

    def _owner(self, path: str) -> tuple[nn.Layer, str]:
        """Return the layer that holds the parameter at ``path`` and its name there."""
        *parents, name = path.split(".")
        layer: Any = self
        for part in parents:
            layer = getattr(layer, part)
        return layer, name

    # What it is and where it is

    def _first_parameter(self) -> paddle.Tensor:
        return next(p for p in self.parameters() if p.is_floating_point())

    @property
    def device(self) -> Any:
        """Device of the first parameter, an object with ``type`` and ``index``."""
        return backends.device_object(self._first_parameter().place)

    @property
    def dtype(self) -> Any:
        """Paddle dtype of the first floating parameter: how weights are stored."""
        return self._first_parameter().dtype

    @property
    def base_model(self) -> Any:
        return getattr(self, self.base_model_prefix, self)

    @property
    def framework(self) -> str:
        return "pd"

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Count parameters, tied ones once."""
        skip = set()
        if exclude_embeddings:
            skip = {id(m.weight) for m in self.sublayers() if isinstance(m, Embedding)}
        return sum(
            getattr(p, "logical_size", p.size)  # that of a quantised weight is not its bytes
            for p in self.parameters()
            if id(p) not in skip and not (only_trainable and p.stop_gradient)
        )

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Return the bytes of all parameters, and of buffers if asked."""
        tensors = list(self.parameters()) + (list(self.buffers()) if return_buffers else [])
        return sum(t.size * t.element_size() for t in tensors)

    # Moves

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move and cast in place: by device, dtype, both, or a tensor that has them.

        Only floating parameters and buffers are cast. Raises: DeviceError for an absent device.
        """
        device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
        kwargs.pop("non_blocking", None), kwargs.pop("blocking", None)
        if kwargs:
            raise TypeError(f"to() got unexpected keyword arguments {sorted(kwargs)}")
        for arg in args:
            if isinstance(arg, paddle.Tensor):
                device, dtype = arg.place, arg.dtype
            elif is_dtype(arg):
                dtype = arg
            elif arg is not None and not isinstance(arg, bool):
                device = arg
        place = None if device is None else backends.resolve_device(device)
        dtype = None if dtype is None else as_dtype(dtype)
        if self.is_quantized and dtype is not None:
            raise UnsupportedArgumentError(
                f"to({dtype_name(dtype)}): the weights of this model are quantised and cannot be "
                "cast. Load it with dtype=... and without quantization_config."
            )
        if self.is_quantized and place is not None and not backends.shares_host_memory(place):
            raise UnsupportedArgumentError(
                f"to({place}): quantised weights run on the CPU alone. Load the model without "
                "quantization_config."
            )
        self._to_impl(device=place, dtype=dtype, floating_only=True)
        self.tie_weights()
        return self

    def cuda(self, device: int | str | None = None) -> Any:
        return self.to("cuda" if device is None else device)

    def cpu(self) -> Any:
        return self.to("cpu")

    def half(self) -> Any:
        return self.to(paddle.float16)

    def bfloat16(self) -> Any:
        return self.to(paddle.bfloat16)

    def float(self) -> Any:
        return self.to(paddle.float32)

    def double(self) -> Any:
        return self.to(paddle.float64)

    # Embeddings

    def get_input_embeddings(self) -> nn.Layer:
        layer, name = self.base_model._owner(self.base_model.embedding_path)
        return getattr(layer, name)

    def set_input_embeddings(self, value: nn.Layer) -> None:
        layer, name = self.base_model._owner(self.base_model.embedding_path)
        setattr(layer, name, value)

    def get_output_embeddings(self) -> nn.Layer | None:
        if self.output_embedding_path is None:
            return None
        layer, name = self._owner(self.output_embedding_path)
        return getattr(layer, name)

    def set_output_embeddings(self, new_embeddings: nn.Layer) -> None:
        if self.output_embedding_path is None:
            raise UnsupportedArgumentError(f"{type(self).__name__} has no output embeddings.")
        layer, name = self._owner(self.output_embedding_path)
        setattr(layer, name, new_embeddings)

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nn.Layer:
        """Grow or shrink the vocabulary of the input embedding and the output projection.

        Args:
            new_num_tokens: rows wanted; None keeps the number.
            pad_to_multiple_of: round up to a multiple of this.
            mean_resizing: new rows are drawn close to the mean of the old ones, else as in a new
                model; both as the original draws them.
        Returns: the input embedding.
        """
        table = self.get_input_embeddings()
        if new_num_tokens is None and pad_to_multiple_of is None:
            return table
        rows = table.weight.shape[0] if new_num_tokens is None else new_num_tokens
        if pad_to_multiple_of is not None:
            if not isinstance(pad_to_multiple_of, int):
                raise ValueError(f"pad_to_multiple_of={pad_to_multiple_of!r} is not an integer")
            rows = -(-rows // pad_to_multiple_of) * pad_to_multiple_of
        head = self.get_output_embeddings()
        tied = head is not None and head.weight is table.weight
        std = self.initializer_std()
        if rows != table.weight.shape[0]:
            resize_layer(self, table, rows, mean_resizing, std)
        if tied:
            head.weight, head.out_features = table.weight, rows
            if getattr(head, "bias", None) is not None and head.bias.shape[0] != rows:
                resize_rows(self, head, "bias", rows)
        elif head is not None and head.weight.shape[0] != rows:
            resize_layer(self, head, rows, mean_resizing, std)
        self.config.get_text_config().vocab_size = self.vocab_size = rows
        self._after_resize(rows)
        self.tie_weights()
        return table

    def _after_resize(self, rows: int) -> None:
        """Resize what a family keeps per token besides the two tables."""

    # Training switches

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict | None = None
    ) -> None:
        """Recompute each block in the backward pass instead of keeping its activations."""
        if not self.supports_gradient_checkpointing:
            raise ValueError(f"{type(self).__name__} does not support gradient checkpointing.")
        for key in gradient_checkpointing_kwargs or {}:
            if key != "use_reentrant":
                warn_once(f"gradient_checkpointing_enable: {key} has no effect on Paddle.")
        for layer in self.sublayers(include_self=True):
            if isinstance(layer, PreTrainedModel):
                layer.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        for layer in self.sublayers(include_self=True):
            if isinstance(layer, PreTrainedModel):
                layer.gradient_checkpointing = False

    @property
    def is_gradient_checkpointing(self) -> bool:
        return self.gradient_checkpointing

    def enable_input_require_grads(self) -> None:
        """Let the embedding's output require a gradient, for adapters under checkpointing."""

        def require(layer: Any, inputs: Any, output: paddle.Tensor) -> paddle.Tensor:
            output.stop_gradient = False
            return output

        self._require_grads_hook = self.get_input_embeddings().register_forward_post_hook(require)

    def disable_input_require_grads(self) -> None:
        self._require_grads_hook.remove()

    def set_attn_implementation(self, attn_implementation: str) -> None:
        loading.check_attention(attn_implementation)
        self.config._attn_implementation = attn_implementation

    # To disk

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Write config, generation config and weights; see `hfpaddle.modeling.saving`.

        Of a model with adapters in it the active one is written, and nothing else.
        """
        if self._hf_peft_config_loaded:
            integration().save_pretrained(self, save_directory, kwargs.get("state_dict"))
            return
        saving.save_pretrained(self, save_directory, **kwargs)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> Any:
        """Upload what `save_pretrained` writes; see `hfpaddle.modeling.saving`."""
        return saving.push_to_hub(self, repo_id, **kwargs)
