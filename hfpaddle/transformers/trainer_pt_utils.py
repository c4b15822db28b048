"""Mirror of ``transformers.trainer_pt_utils``: what the Trainer does with nested tensors and order.

Shape letters: B batch, S sequence, V vocabulary or classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from transformers import BatchEncoding as _Encoding

from hfpaddle.core import rng
from hfpaddle.ops.cross_entropy import summed


def _mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply ``function`` to the leaves of lists, tuples and mappings."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(function, v) for v in value))
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(function, v) for v in value)
    if isinstance(value, (Mapping, _Encoding)):
        changed = {k: _mapped(function, v) for k, v in value.items()}
        return changed if isinstance(value, _Encoding) else type(value)(changed)
    return function(value)


def nested_detach(tensors: Any) -> Any:
    return _mapped(lambda t: t.detach() if isinstance(t, paddle.Tensor) else t, tensors)


def to_array(tensor: Any) -> np.ndarray:
    """Return the values of a tensor; numpy has no bfloat16, so that becomes float32."""
    if not isinstance(tensor, paddle.Tensor):
        return np.asarray(tensor)
    return (tensor.astype("float32") if tensor.dtype == paddle.bfloat16 else tensor).numpy()


def nested_numpify(tensors: Any) -> Any:
    return _mapped(to_array, tensors)


def nested_truncate(tensors: Any, limit: int) -> Any:
    return _mapped(lambda t: t[:limit] if len(t.shape) else t, tensors)


def _pad_and_join(one: Any, other: Any, padding_index: int) -> Any:
    """Join on the first axis, filling the second with ``padding_index`` to the longer one."""
    arrays = isinstance(one, np.ndarray)
    if not arrays and one.ndim == 0:
        one, other = one.reshape([1]), other.reshape([1])
    elif arrays:
        one, other = np.atleast_1d(one), np.atleast_1d(other)
    if one.ndim == 1 or one.shape[1] == other.shape[1]:
        return np.concatenate((one, other)) if arrays else paddle.concat([one, other])
    length = max(one.shape[1], other.shape[1])

    def widen(t: Any) -> Any:
        if t.shape[1] == length:
            return t
        shape = [t.shape[0], length - t.shape[1], *t.shape[2:]]
        if arrays:
            fill = np.full_like(t, padding_index, shape=shape)
            return np.concatenate((t, fill), axis=1)
        fill = paddle.full(shape, padding_index, dtype=t.dtype).to(t.place)
        return paddle.concat([t, fill], axis=1)

    return _pad_and_join(widen(one), widen(other), padding_index)


def nested_concat(tensors: Any, new_tensors: Any, padding_index: int = -100) -> Any:
    """Join two nests of the same structure, leaf by leaf, on the first axis."""
    if isinstance(tensors, (list, tuple)):
        pairs = zip(tensors, new_tensors, strict=True)
        return type(tensors)(nested_concat(a, b, padding_index) for a, b in pairs)
    if isinstance(tensors, Mapping):
        joined = {k: nested_concat(v, new_tensors[k], padding_index) for k, v in tensors.items()}
        return type(tensors)(joined)
    if not isinstance(tensors, (paddle.Tensor, np.ndarray)):
        raise TypeError(f"Unsupported type for concatenation: got {type(tensors)}")
    return _pad_and_join(tensors, new_tensors, padding_index)


def numpy_pad_and_concatenate(array1: Any, array2: Any, padding_index: int = -100) -> np.ndarray:
    """Join two arrays on the first axis, the narrower one widened on the second."""
    one, other = (np.atleast_1d(array) for array in (array1, array2))
    return _pad_and_join(one, other, padding_index)


def torch_pad_and_concatenate(tensor1: Any, tensor2: Any, padding_index: int = -100) -> Any:
    """Join two tensors on the first axis, the narrower one widened on the second."""
    one, other = (t if t.ndim else t.reshape([1]) for t in (tensor1, tensor2))
    return _pad_and_join(one, other, padding_index)


def find_batch_size(tensors: Any) -> int | None:
    """Return the length of the first tensor or array in ``tensors``, None if there is none."""
    if isinstance(tensors, (Mapping, _Encoding)):
        tensors = list(tensors.values())
    if isinstance(tensors, (list, tuple)):
        return next((n for n in map(find_batch_size, tensors) if n is not None), None)
    if isinstance(tensors, (paddle.Tensor, np.ndarray)) and tensors.ndim:
        return tensors.shape[0]
    return None


class EvalLoopContainer:
    """What an evaluation collects: one joined nest, or with ``do_nested_concat=False`` a list."""

    def __init__(self, do_nested_concat: bool = True, padding_index: int = -100) -> None:
        self.do_nested_concat = do_nested_concat
        self.padding_index = padding_index
        self.tensors: Any = None
        self.arrays: Any = None

    def add(self, tensors: Any) -> None:
        if self.tensors is None:
            self.tensors = tensors if self.do_nested_concat else [tensors]
        elif self.do_nested_concat:
            self.tensors = nested_concat(self.tensors, tensors, self.padding_index)
        else:
            self.tensors.append(tensors)

    def to_cpu_and_numpy(self) -> None:
        """Move what was collected to numpy arrays."""
        if self.tensors is None:
            return
        arrays = nested_numpify(self.tensors)
        if self.arrays is None:
            self.arrays = arrays
        elif self.do_nested_concat:
            self.arrays = nested_concat(self.arrays, arrays, self.padding_index)
        else:
            self.arrays.extend(arrays)
        self.tensors = None

    def get_arrays(self) -> Any:
        self.to_cpu_and_numpy()
        return self.arrays


def denumpify_detensorize(metrics: Any) -> Any:
    """Return Python numbers for numpy scalars and tensors of one element, at any depth."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.generic) or (isinstance(value, paddle.Tensor) and value.size == 1):
            return value.item()
        return value

    return _mapped(plain, metrics)


@dataclass
class LabelSmoother:
    """Cross entropy against labels of which ``epsilon`` is spread over all classes."""

    epsilon: float = 0.1
    ignore_index: int = -100

    def __call__(
        self,
        model_output: Any,
        labels: paddle.Tensor,
        shift_labels: bool = False,
        num_items_in_batch: Any = None,
    ) -> paddle.Tensor:
        """Return the float32 scalar loss of logits ``[..., V]`` against integer ``labels``."""
        logits = model_output["logits"] if isinstance(model_output, dict) else model_output[0]
        if shift_labels:
            logits, labels = logits[..., :-1, :], labels[..., 1:]
        classes = logits.shape[-1]
        logits = logits.reshape([-1, classes]).astype("float32")
        # Paddle's own log_softmax takes seconds for a row of a large vocabulary on a CPU.
        shifted = logits - logits.detach().max(axis=-1, keepdim=True)
        surprise = paddle.log(summed(paddle.exp(shifted))) - shifted
        labels = labels.reshape([-1])
        counted = (labels != self.ignore_index).astype("float32")
        target = paddle.clip(labels, min=0).unsqueeze(-1)
        chosen = paddle.take_along_axis(surprise, target, axis=-1).squeeze(-1) * counted
        spread = surprise.sum(axis=-1) * counted
        items = counted.sum() if num_items_in_batch is None else num_items_in_batch
        if isinstance(items, paddle.Tensor):
            items = items.astype("float32").to(surprise.place)
        return (1 - self.epsilon) * (chosen.sum() / items) + self.epsilon * (
            spread.sum() / (items * classes)
        )


def get_length_grouped_indices(
    lengths: list[int], batch_size: int, mega_batch_mult: int | None = None, generator: Any = None
) -> list[int]:
    """Return all indices, shuffled and then sorted by falling length within large groups.

    The longest of all comes first, so that a lack of memory shows early.
    """
    if mega_batch_mult is None:
        mega_batch_mult = min(len(lengths) // (batch_size * 4), 50) or 1
    order = (generator or rng.default_generator).randperm(len(lengths))
    size = mega_batch_mult * batch_size
    groups = [np.asarray(order[i : i + size]).tolist() for i in range(0, len(lengths), size)]
    groups = [sorted(group, key=lambda i: lengths[i], reverse=True) for group in groups]
    longest = int(np.argmax([lengths[group[0]] for group in groups]))
    groups[0][0], groups[longest][0] = groups[longest][0], groups[0][0]
    return [i for group in groups for i in group]


def lengths_of(dataset: Any, model_input_name: str | None = None) -> list[int]:
    """Return the length of the main input of each example.

    Raises: ValueError if examples are no mappings with such a field.
    """
    name = model_input_name or "input_ids"
    if not isinstance(dataset[0], (Mapping, _Encoding)) or name not in dataset[0]:
        raise ValueError(
            "Can only automatically infer lengths for datasets whose items are dictionaries with "
            f"an '{name}' key."
        )
    return [len(example[name]) for example in dataset]


class LengthGroupedSampler:
    """Order in which examples of like length come together, with some randomness."""

    def __init__(
        self,
        batch_size: int,
        dataset: Any = None,
        lengths: Any = None,
        model_input_name: str | None = None,
        generator: Any = None,
    ) -> None:
        if dataset is None and lengths is None:
            raise ValueError("One of dataset and lengths must be provided.")
        self.batch_size = batch_size
        found = lengths_of(dataset, model_input_name) if lengths is None else lengths
        self.lengths = found.tolist() if isinstance(found, (paddle.Tensor, np.ndarray)) else found
        self.generator = generator

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(
            get_length_grouped_indices(list(self.lengths), self.batch_size, None, self.generator)
        )


def get_parameter_names(
    model: Any, forbidden_layer_types: Iterable[type], forbidden_layer_names: Any = None
) -> list[str]:
    """Return the names of parameters outside of forbidden layers, and of forbidden names."""
    patterns = [re.compile(pattern) for pattern in forbidden_layer_names or ()]
    forbidden = tuple(forbidden_layer_types)

    def allowed(name: str) -> bool:
        return not any(pattern.search(name.lower()) for pattern in patterns)

    names = []
    for name, child in model.named_children():
        if isinstance(child, forbidden):
            continue
        inner = get_parameter_names(child, forbidden, forbidden_layer_names)
        names += [f"{name}.{n}" for n in inner if allowed(f"{name}.{n}")]
    return names + [name for name in model._parameters if allowed(name)]


def get_model_param_count(model: Any, trainable_only: bool = False) -> int:
    """Count the elements of all parameters, or of those that are trained."""
    kept = [p for p in model.parameters() if not (trainable_only and p.stop_gradient)]
    return sum(int(np.prod(p.shape)) for p in kept)


_SHARDS = (
    "DistributedLengthGroupedSampler",
    "DistributedSamplerWithLoop",
    "IterableDatasetShard",
    "ShardSampler",
)


def __getattr__(name: str) -> Any:
    if name in _SHARDS:
        from hfpaddle.transformers import trainer_shards

        return getattr(trainer_shards, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
