"""A process that reads samples for a DataLoader."""

from __future__ import annotations

import io
import os
import pickle
import queue
import random
import traceback
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle

from hfpaddle.torch._dtypes import BY_NAME, NAMES

PARENT_CHECK_S = 5.0  # seconds between two looks whether the parent lives


@dataclass
class WorkerInfo:
    """What ``get_worker_info`` gives in a worker."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Which worker this process is; None in the main process."""
    return _info


# Tensors travel as numpy arrays.


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, paddle.Tensor):
            name = NAMES[value.dtype]
            plain = value.detach()
            if name == "bfloat16":
                plain = paddle.view(plain, "int16")
            return _tensor, (np.asarray(plain), name)
        return NotImplemented


def _tensor(array: np.ndarray, name: str) -> paddle.Tensor:
    made = paddle.to_tensor(array, place=paddle.CPUPlace())
    return paddle.view(made, BY_NAME[name]) if name == "bfloat16" else made


def packed(value: Any) -> bytes:
    """``value`` as bytes."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=5).dump(value)
    return buffer.getvalue()


class Failure:
    """An error of a worker, to be raised again in the main process."""

    def __init__(self, error: BaseException, worker: int) -> None:
        self.kind, self.text, self.worker = type(error), traceback.format_exc(), worker
        try:
            pickle.loads(pickle.dumps(self.kind))
        except Exception:
            self.kind = RuntimeError

    def reraise(self) -> None:
        """Raise an error of the same type, with the text of the worker."""
        where = f"in DataLoader worker process {self.worker}"
        message = f"Caught {self.kind.__name__} {where}.\nOriginal {self.text}"
        try:
            error = self.kind(message)
        except Exception:
            error = RuntimeError(message)
        raise error


class Exhausted:
    """The iterable dataset of a worker has ended."""


@dataclass
class Resume:
    """A new pass of persistent workers begins, with new random streams if there is a seed."""

    base_seed: int | None = None


def fetcher(dataset: Any, iterable: bool, auto: bool, collate_fn: Any, drop_last: bool) -> Any:
    """A function from indices to a batch; it raises StopIteration when an iterable ends."""
    if not iterable:

        def by_index(indices: Any) -> Any:
            if not auto:
                return collate_fn(dataset[indices])
            if callable(getattr(dataset, "__getitems__", None)):
                return collate_fn(dataset.__getitems__(indices))
            return collate_fn([dataset[i] for i in indices])

        return by_index
    source, ended = iter(dataset), []

    def in_order(indices: Any) -> Any:
        if not auto:
            return collate_fn(next(source))
        if ended:
            raise StopIteration
        rows: list = []
        for _ in indices:
            try:
                rows.append(next(source))
            except StopIteration:
                ended.append(True)
                break
        if not rows or (drop_last and len(rows) < len(indices)):
            raise StopIteration
        return collate_fn(rows)

    return in_order


def numpy_seed(base_seed: int, worker: int) -> np.ndarray:
    """Words for ``np.random.seed``, other than those of ``random`` and torch."""
    entropy = [worker, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    return np.random.SeedSequence(entropy).generate_state(4)


def _seed(base_seed: int, worker: int) -> None:
    from hfpaddle.torch._random import manual_seed

    random.seed(base_seed + worker)
    manual_seed(base_seed + worker)
    np.random.seed(numpy_seed(base_seed, worker))


def run(
    kind: tuple, index_queue: Any, result_queue: Any, base_seed: int, init_fn: Any, worker: int,
    workers: int, parent: int,
) -> None:  # fmt: skip
    """The life of a worker: take (number, indices), give (number, worker, bytes).

    ``kind`` holds the arguments of :func:`fetcher`.
    """
    global _info
    paddle.set_device("cpu")
    _seed(base_seed, worker)
    _info = WorkerInfo(worker, workers, base_seed + worker, kind[0])
    fetch, failure = None, None
    try:
        if init_fn is not None:
            init_fn(worker)
        fetch = fetcher(*kind)
    except Exception as error:
        failure = Failure(error, worker)
    while True:
        try:
            task = index_queue.get(timeout=PARENT_CHECK_S)
        except queue.Empty:
            if os.getppid() != parent:
                return
            continue
        if task is None:
            return
        if isinstance(task, Resume):
            if task.base_seed is not None:
                _seed(task.base_seed, worker)
                if init_fn is not None:
                    init_fn(worker)
            fetch, failure = fetcher(*kind), None
            continue
        number, indices = task
        value, failure = _answer(fetch, indices, failure, worker)
        result_queue.put((number, worker, value))


def _answer(fetch: Any, indices: Any, failure: Any, worker: int) -> tuple[bytes, Any]:
    if failure is not None:
        return packed(failure), None
    try:
        return packed(fetch(indices)), None
    except StopIteration:
        return packed(Exhausted()), None
    except Exception as error:
        return packed(Failure(error, worker)), None
