"""From a folder, the Hub cache or the Hub to a model, every tensor accounted for.

The order: config, files, tensor entries (nothing read yet), an empty model, then each entry is
matched to a parameter, checked for shape, and handed over without a copy where dtype and device
allow it. What stays empty is initialised and reported; nothing is written anywhere.
"""

from __future__ import annotations

import copy
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import paddle
import transformers

from hfpaddle import backends
from hfpaddle.converters import folder
from hfpaddle.converters.entry import TensorEntry
from hfpaddle.converters.mapped import release_pages, tensor_bytes
from hfpaddle.converters.pdparams import is_paddlenlp_layout, pdparams_to_hub
from hfpaddle.core.dtypes import as_dtype, dtype_name, floating_dtype
from hfpaddle.core.errors import (
    CheckpointError,
    MissingFileError,
    UnsupportedArgumentError,
    UnsupportedModelError,
    WeightMismatchError,
    nearest,
)
from hfpaddle.core.logging import warn_once
from hfpaddle.layers.basic import Linear
from hfpaddle.layers.parameter import assign, drawn_as, initialized
from hfpaddle.modeling import quantization
from hfpaddle.modeling.hub import WHERE, find_file, need_file, resolve_revision
from hfpaddle.modeling.report import LoadReport

logger = logging.getLogger("hfpaddle")

ATTENTION = ("eager", "sdpa")
# Arguments of the original that change nothing here; each is listed in docs/differences.md.
INERT = (
    *("proxies", "tqdm_class", "offload_buffers", "offload_state_dict", "disable_mmap"),
    *("allow_all_kernels", "adapter_name", "code_revision"),
    # What transformers itself drops, from older scripts.
    *("mirror", "from_tf", "from_flax"),
)
# What they ask for is always so; the last are transformers' own notes to itself.
ALWAYS_SO = (
    *("low_cpu_mem_usage", "weights_only"),
    *("_fast_init", "_from_auto", "_from_pipeline", "_commit_hash"),
)
REFUSED = {
    "load_in_4bit": "quantization_config=hfpaddle.WeightOnlyConfig(bits=4)",
    "load_in_8bit": "quantization_config=hfpaddle.WeightOnlyConfig(bits=8)",
    "max_memory": "device_map with one device",
    "offload_folder": "device_map with one device",
    "tp_plan": "one device",
    "tp_size": "one device",
    "device_mesh": "one device",
    "distributed_config": "one device",
    "use_kernels": "the default kernels",
    "kernel_config": "the default kernels",
    "adapter_kwargs": "the base model",
    "fusion_config": "the default",
    "experts_implementation": "the default",
}


# What `parse` takes out of the keywords of a call.
ARGUMENTS = frozenset(
    (
        *(*INERT, *ALWAYS_SO, *REFUSED, *WHERE),
        *("use_auth_token", "trust_remote_code", "device_map"),
        *("dtype", "torch_dtype", "attn_implementation", "variant", "use_safetensors"),
        *("gguf_file", "ignore_mismatched_sizes", "key_mapping", "state_dict"),
        *("generation_config", "output_loading_info"),
        "quantization_config",
    )
)


@dataclass
class Request:
    """The arguments of one ``from_pretrained`` call, sorted by what they decide."""

    name: str
    hub: dict[str, Any]
    subfolder: str = ""
    variant: str | None = None
    use_safetensors: bool | None = None
    gguf_file: str | None = None
    dtype: Any = "auto"
    device: str = "cpu"
    attention: str | None = None
    ignore_mismatched: bool = False
    key_mapping: dict[str, str] | None = None
    state_dict: dict[str, paddle.Tensor] | None = None
    generation_config: Any = None
    quantization: Any = None
    rest: dict[str, Any] = field(default_factory=dict)


def check_attention(name: str | None) -> None:
    """Raise UnsupportedArgumentError unless ``name`` is an attention that exists here."""
    if name is not None and name not in ATTENTION:
        raise UnsupportedArgumentError(
            f"attn_implementation={name!r} is not available (nearest: 'sdpa'). "
            f"Known: {list(ATTENTION)}; both run the fastest kernel that fits the device."
        )


def parse(name: Any, kwargs: dict[str, Any]) -> Request:
    """Take the loader's own arguments out of ``kwargs``; refuse what cannot be honoured."""
    if kwargs.pop("trust_remote_code", None):
        warn_once(
            "trust_remote_code=True: code from checkpoints is never run here; the native "
            "implementation of the model is used, or an error names its model_type."
        )
    for key, instead in REFUSED.items():
        if kwargs.pop(key, None):
            raise UnsupportedArgumentError(
                f"from_pretrained: {key} is not supported (nearest: {instead})."
            )
    for key in (*INERT, *ALWAYS_SO):
        if kwargs.pop(key, None) and key in INERT:
            warn_once(f"from_pretrained: {key} has no effect; see docs/differences.md.")
    name = os.fspath(name) if name is not None else ""
    if name and kwargs.get("state_dict") is not None:
        raise ValueError(
            "`state_dict` cannot be passed together with a model name or a `gguf_file`. Give None "
            "for the name, and config=..., to load tensors that you hold."
        )
    dtype = kwargs.pop("dtype", None)
    old = kwargs.pop("torch_dtype", None)
    dtype = dtype if dtype is not None else old if old is not None else "auto"
    attention = kwargs.pop("attn_implementation", None)
    check_attention(attention)
    if "use_auth_token" in kwargs:
        kwargs["token"] = kwargs.pop("use_auth_token")
    hub = {key: kwargs.pop(key) for key in WHERE if key in kwargs and key != "subfolder"}
    hub["revision"] = resolve_revision(name, **hub)
    device = backends.resolve_device_map(kwargs.pop("device_map", None))
    return Request(
        name=name,
        hub={key: value for key, value in hub.items() if value is not None},
        subfolder=kwargs.pop("subfolder", "") or "",
        variant=kwargs.pop("variant", None),
        use_safetensors=kwargs.pop("use_safetensors", None),
        dtype=dtype,
        device=device,
        attention=attention,
        ignore_mismatched=kwargs.pop("ignore_mismatched_sizes", False),
        key_mapping=kwargs.pop("key_mapping", None),
        state_dict=kwargs.pop("state_dict", None),
        generation_config=kwargs.pop("generation_config", None),
        # Before the file's name, which it looks at, is taken out.
        quantization=parse_quantization(kwargs, device),
        gguf_file=kwargs.pop("gguf_file", None),
        rest=kwargs,
    )


def parse_quantization(kwargs: dict[str, Any], device: str) -> Any:
    """Take ``quantization_config`` out of ``kwargs``; see `hfpaddle.modeling.quantization`."""
    value = kwargs.pop("quantization_config", None)
    wanted = quantization.requested(value, kwargs.get("gguf_file"))
    if wanted is not None and not backends.shares_host_memory(device):
        raise UnsupportedArgumentError(
            f"from_pretrained: quantization_config on {device} is not supported (nearest: "
            "device_map='cpu', or no quantization_config)."
        )
    return wanted


# Config


def load_config(config_class: Any, request: Request, source: Any) -> Any:
    """Return the config in ``source``, the call's arguments that name a field of it applied.

    Such arguments leave ``request.rest``.
    """
    from hfpaddle.modeling.configs import config_from_pretrained

    config, unused = config_from_pretrained(
        source,
        config_class=config_class,
        gguf_file=request.gguf_file,
        subfolder=request.subfolder,
        return_unused_kwargs=True,
        **request.hub,
        **request.rest,
    )
    request.rest = unused
    return config


def prepare_config(cls: Any, config: Any, request: Request) -> Any:
    """Check that ``config`` fits ``cls`` and apply the call's choices to it."""
    expected = cls.config_class
    if expected is not None and not isinstance(config, expected):
        raise UnsupportedModelError(
            f"{cls.__name__} takes a {expected.__name__}, but {request.name!r} has a "
            f"{type(config).__name__} (model_type {config.model_type!r})."
        )
    if getattr(config, "quantization_config", None):
        method = config.quantization_config
        method = method.get("quant_method") if isinstance(method, dict) else method
        raise UnsupportedArgumentError(
            f"{request.name!r} holds weights quantised with {method!r}, which is not supported "
            "(nearest: its unquantised checkpoint, or a GGUF file with gguf_file=...)."
        )
    if request.attention:
        config._attn_implementation = request.attention
    return config


def default_generation_config(config: Any) -> Any:
    """Return the generation settings that a config alone implies."""
    return transformers.GenerationConfig.from_model_config(config)


def load_generation_config(model: Any, request: Request, overrides: dict[str, Any]) -> None:
    """Read generation_config.json, or what older checkpoints keep of it in config.json."""
    if not model.can_generate() or request.gguf_file:
        return
    if request.generation_config is not None:
        settings = request.generation_config.to_dict()
        model.generation_config = type(model.generation_config).from_dict(settings)
        return
    if not request.name:
        return
    read = transformers.GenerationConfig.from_pretrained
    where = {"subfolder": request.subfolder, **request.hub}
    if find_file(request.name, "generation_config.json", **where) is None:
        model.generation_config = read(
            request.name,
            config_file_name="config.json",
            _from_model_config=True,
            **where,
            **overrides,
        )
        return
    try:
        model.generation_config = read(request.name, **where, **overrides)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{request.name}: generation_config.json is malformed: {error}"
        ) from error


# Files and entries


def find_weights(request: Request) -> folder.Checkpoint:
    """Return the weight files of a folder, or of a Hub repository after fetching them."""
    if os.path.isdir(request.name):
        return folder.find_checkpoint(
            request.name,
            variant=request.variant,
            use_safetensors=request.use_safetensors,
            subfolder=request.subfolder,
        )
    if os.path.isfile(request.name):
        raise UnsupportedArgumentError(
            f"from_pretrained({request.name!r}): give the folder that holds the file "
            "(for GGUF: from_pretrained(folder, gguf_file=name))."
        )
    where = {**request.hub, "subfolder": request.subfolder}
    names = folder.candidate_names(request.variant, request.use_safetensors)
    for name in names:
        path = find_file(request.name, name, **where)
        if path is not None:
            if name.endswith(".json"):
                for shard in dict.fromkeys(folder.read_index(path).values()):
                    if find_file(request.name, shard, **where) is None:
                        raise MissingFileError(
                            f"{request.name}: {name} names the shard {shard}, which is missing."
                        )
            return folder.find_checkpoint(
                path.parent, variant=request.variant, use_safetensors=request.use_safetensors
            )
    raise MissingFileError(
        f"{request.name} does not appear to have a file named {', '.join(names[:4])}."
    )


def open_weights(model: Any, checkpoint: folder.Checkpoint) -> dict[str, TensorEntry]:
    """Return the checkpoint's tensors under Hub names, PaddleNLP's layout undone."""
    entries = folder.open_checkpoint(checkpoint)
    model_type = model.config.model_type
    pdparams = checkpoint.format == "pdparams"
    metadata = {"format": "pd"} if pdparams else checkpoint.metadata()
    if is_paddlenlp_layout(entries, metadata, model_type):
        linears = linear_weights(model)
        return pdparams_to_hub(entries, linears, model_type=model_type)
    return entries


def linear_weights(model: Any) -> set[str]:
    """Return the Hub's names of all weights that a Linear multiplies by."""
    layers = model.named_sublayers(include_self=True)
    return {model.key_map.to_hub(f"{name}.weight") for name, x in layers if isinstance(x, Linear)}


# Matching


def make_plan(
    model: Any, entries: dict[str, TensorEntry], key_mapping: Any = None
) -> tuple[dict[str, TensorEntry], LoadReport]:
    """Match checkpoint names to parameters and persistent buffers, through the key map.

    Returns: which entry fills which name, and what is left over on either side.
    """
    wanted = dict(model.state_dict())
    filled: dict[str, TensorEntry] = {}
    report = LoadReport()
    renamed: dict[str, TensorEntry] = {}
    for name, entry in entries.items():
        ours = name
        for pattern, replacement in (key_mapping or {}).items():
            ours = re.sub(pattern, replacement, ours)
        ours = model.key_map.to_ours(ours)
        if ours is None:
            report.dropped.add(name)
        else:
            renamed[ours] = entry
    renamed = fit_prefix(model, wanted, renamed)
    settle_ties(model, wanted, renamed, report)
    for name, entry in renamed.items():
        if name not in wanted:
            report.unexpected_keys.add(name)
        elif tuple(wanted[name].shape) != tuple(entry.shape):
            mismatch = (name, tuple(entry.shape), tuple(wanted[name].shape))
            report.mismatched_keys.add(mismatch)
        else:
            filled[name] = entry
    report.loaded = len(filled)
    report.missing_keys |= set(wanted) - set(renamed) - set(model.optional_keys)
    return filled, report


def settle_ties(
    model: Any, wanted: dict[str, Any], found: dict[str, TensorEntry], report: LoadReport
) -> None:
    """Leave one name of each tied pair in ``wanted`` and ``found``, whichever the checkpoint has.

    A pair of which the checkpoint holds two different tensors is not one: it is untied.
    """
    for target, source in model.active_ties().items():
        if source in found and target in found and not same_values(found[source], found[target]):
            logger.warning(
                "The config ties %s to %s, but the checkpoint has different values for them: they "
                "are NOT tied. Set tie_word_embeddings=False in config.json to silence this.",
                target,
                source,
            )
            model.untie(target)
            continue
        if target in found:
            found.setdefault(source, found[target])
            del found[target]
        elif source not in found:
            report.missing_keys.add(target)
        del wanted[target]


def same_values(one: TensorEntry, other: TensorEntry) -> bool:
    """Tell whether two tensors are equal, bit for bit."""
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    a, b = tensor_bytes(one.load()), tensor_bytes(other.load())
    if a.ctypes.data == b.ctypes.data:
        return True
    step = 1 << 24
    return all(np.array_equal(a[i : i + step], b[i : i + step]) for i in range(0, len(a), step))


def fit_prefix(
    model: Any, wanted: Iterable[str], found: dict[str, TensorEntry]
) -> dict[str, TensorEntry]:
    """Add or remove the backbone's prefix where a head model and a backbone's checkpoint meet."""
    prefix = model.base_model_prefix + "."
    wanted = set(wanted)

    def fit(name: str) -> str:
        if name.startswith(prefix) and name.removeprefix(prefix) in wanted:
            return name.removeprefix(prefix)
        return prefix + name if prefix + name in wanted else name

    return {fit(name): entry for name, entry in found.items()}


def check(model: Any, report: LoadReport, request: Request) -> None:
    """Log the report if there is something to say.

    Raises: WeightMismatchError for wrong shapes unless ``ignore_mismatched_sizes``, and for a
    checkpoint of which nothing fits.
    """
    if report.mismatched_keys and not request.ignore_mismatched:
        listed = "; ".join(
            f"{name}: checkpoint {theirs}, model {ours}"
            for name, theirs, ours in sorted(report.mismatched_keys)[:5]
        )
        raise WeightMismatchError(
            f"Error(s) in loading state_dict for {type(model).__name__}: size mismatch for "
            f"{listed}. Pass ignore_mismatched_sizes=True to initialise these anew."
        )
    if not report.loaded and not report.mismatched_keys:
        strange = sorted(report.unexpected_keys)
        example = nearest(strange[0] if strange else "", report.missing_keys)
        raise WeightMismatchError(
            f"{request.name!r}: none of its {len(strange)} tensors fits {type(model).__name__}; "
            f"first: {strange[:3]}{example}."
        )
    table = report.table()
    if table:
        logger.warning("%s LOAD REPORT from: %s\n%s", type(model).__name__, request.name, table)


# Dtype


def choose_dtype(requested: Any, config: Any, entries: dict[str, TensorEntry]) -> Any:
    """Return the Paddle dtype for floating weights.

    ``"auto"`` means the config's dtype, else that of the checkpoint's first floating tensor.
    """
    if requested != "auto":
        return floating_dtype(requested)
    declared = getattr(config, "dtype", None)
    if declared is not None:
        return as_dtype(declared)
    for entry in entries.values():
        if "float" in entry.dtype:
            return as_dtype(entry.dtype)
    return paddle.float32


def fill_model(model: Any, filled: dict[str, TensorEntry], dtype: Any, device: str) -> None:
    """Hand each entry's tensor to its parameter: shared where it can be, else cast or moved."""
    targets = model.state_dict()
    parameters = {name for name, _ in model.named_parameters()}
    layers = model.sublayers(include_self=True)
    kinds = ["keep_in_float32"]
    kinds += ["keep_in_float32_from_half"] if dtype == paddle.float16 else []
    precise = {part for layer in layers for kind in kinds for part in getattr(layer, kind, ())}
    for name, entry in filled.items():
        source = tensor = entry.load()
        wanted = dtype
        if any(f".{part}." in f".{name}." for part in precise):
            wanted = paddle.float32
        if name in parameters and tensor.is_floating_point() and tensor.dtype != wanted:
            tensor = tensor.astype(wanted)
        if not backends.shares_host_memory(device):
            tensor = tensor.to(device)
        assign(targets[name], tensor)
        if tensor is not source:
            release_pages(source)


# Entry points


def from_pretrained(cls: Any, name: Any, *args: Any, config: Any = None, **kwargs: Any) -> Any:
    """See `PreTrainedModel.from_pretrained`."""
    want_info = kwargs.pop("output_loading_info", False)
    request = parse(name, kwargs)
    overrides = dict(request.rest)
    if isinstance(config, transformers.PretrainedConfig):
        config = copy.deepcopy(config)
    else:
        config = load_config(cls.config_class, request, request.name if config is None else config)
    config = prepare_config(cls, config, request)
    config.name_or_path = request.name
    model, entries = build(cls, config, args, request)
    filled, report = make_plan(model, entries, request.key_mapping)
    check(model, report, request)
    dtype = choose_dtype(request.dtype, config, entries)
    filled = quantization.quantize_layers(model, filled, request.quantization)
    fill_model(model, filled, dtype, request.device)
    finish(model, dtype, request)
    load_generation_config(model, request, overrides)
    return (model, report.to_dict()) if want_info else model


def build(cls: Any, config: Any, args: tuple, request: Request) -> tuple[Any, dict]:
    """Return an empty model and the entries that shall fill it."""
    from hfpaddle.modeling.base import no_init_weights

    given = request.state_dict is not None
    checkpoint = None if given or request.gguf_file else find_weights(request)
    with no_init_weights():
        model = cls(config, *args, **request.rest)
    if given:
        return model, entries_of(request.state_dict)
    if checkpoint is None:
        return model, gguf_entries(model, request)
    return model, open_weights(model, checkpoint)


def entries_of(state_dict: Any) -> dict[str, TensorEntry]:
    """Wrap tensors that the user already holds."""
    return {
        name: TensorEntry(
            name, tuple(t.shape), dtype_name(t.dtype), lambda t=t: t.detach().cpu(), "state_dict"
        )
        for name, t in state_dict.items()
    }


def gguf_entries(model: Any, request: Request) -> dict[str, TensorEntry]:
    """Read a GGUF file under Hub names."""
    from hfpaddle.converters.gguf import read_gguf

    assert request.gguf_file is not None
    where = {**request.hub, "subfolder": request.subfolder}
    path = need_file(request.name, request.gguf_file, **where)
    return read_gguf(path).entries([model.key_map.to_hub(name) for name in model.state_dict()])


def finish(model: Any, dtype: Any, request: Request) -> None:
    """Initialise what the checkpoint lacks, read generation settings, switch to eval mode."""
    empty = [p for p in model.parameters() if not initialized(p)]
    if empty:
        with drawn_as(dtype_name(dtype)):
            model.init_weights()
        for param in empty:
            value = param if param.dtype == dtype else param.astype(dtype)
            assign(param, value.to(request.device))
    model.tie_weights()
    if request.device != "cpu":
        model._to_impl(device=request.device)
    model.config.dtype = dtype_name(dtype)
    model.from_checkpoint = True
    model.eval()


def from_config(cls: Any, config: Any, **kwargs: Any) -> Any:
    """Build a model with new weights; ``dtype`` (default: the config's) and
    ``attn_implementation`` as on loading.
    """
    dtype, old = kwargs.pop("dtype", None), kwargs.pop("torch_dtype", None)
    dtype = next((d for d in (dtype, old, config.dtype) if d is not None and d != "auto"), None)
    attention = kwargs.pop("attn_implementation", None)
    for key in ("trust_remote_code", "code_revision"):
        kwargs.pop(key, None)
    check_attention(attention)
    if attention:
        config._attn_implementation = attention
    with drawn_as(None if dtype is None else dtype_name(floating_dtype(dtype))):
        model = cls(config, **kwargs)
    if dtype is not None:
        model.to(floating_dtype(dtype))
        config.dtype = dtype_name(dtype)
    return model
