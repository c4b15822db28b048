"""``hfpaddle.torch.utils.data`` against torch's: order, batches, workers, draws."""

from __future__ import annotations

import collections
import os
import random
import warnings

import numpy as np
import pytest
import torch as theirs
import torch.utils.data as their_data
from torch.utils.data.distributed import DistributedSampler as TheirDistributed

import hfpaddle.torch as ours
import hfpaddle.torch.utils.data as our_data

ours.install_methods()
BOTH = (theirs, their_data), (ours, our_data)
Point = collections.namedtuple("Point", "x y")


class Squares:
    """A map-style dataset of plain numbers."""

    def __init__(self, n=23):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if i >= self.n:
            raise IndexError(i)
        return {"x": np.float32([i, i * i]), "i": i, "name": str(i)}


def plain(value):
    if hasattr(value, "tolist"):
        return (str(value.dtype).split(".")[-1], value.tolist())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(*map(plain, value)) if hasattr(value, "_fields") else [
            plain(item) for item in value
        ]  # fmt: skip
    return value


def both(function):
    """What ``function(library, data)`` gives with torch and here, from the same seed."""
    results = []
    for library, data in BOTH:
        library.manual_seed(7)
        results.append((plain(function(library, data)), library.rand(1).item()))
    return results


LOADERS = [
    {"batch_size": 4},
    {"batch_size": 4, "shuffle": True},
    {"batch_size": 5, "shuffle": True, "drop_last": True},
    {"batch_size": None, "shuffle": True},
    {"batch_size": 4, "shuffle": True, "num_workers": 2},
    {"batch_size": 4, "num_workers": 3, "prefetch_factor": 1, "drop_last": True},
    {"batch_size": 4, "shuffle": True, "num_workers": 2, "persistent_workers": True},
    {"batch_size": None, "num_workers": 2},
]


@pytest.mark.parametrize("options", LOADERS, ids=str)
def test_batches_of_two_epochs(options):
    def epochs(library, data):
        loader = data.DataLoader(Squares(), **options)
        return [len(loader), *(list(loader) for _ in range(2))]

    want, got = both(epochs)
    assert got == want  # the last number shows that as much was drawn


def test_generator_and_samplers():
    def orders(library, data):
        generator = library.Generator().manual_seed(3)
        source, weights = Squares(9), [0.1, 0.0, 3.0, 1.0]
        samplers = [
            data.RandomSampler(source),
            data.RandomSampler(source, generator=generator),
            data.RandomSampler(source, replacement=True, num_samples=40, generator=generator),
            data.RandomSampler(source, num_samples=25),
            data.SequentialSampler(source),
            data.SubsetRandomSampler([5, 3, 8, 1]),
            data.WeightedRandomSampler(weights, 10),
            data.WeightedRandomSampler(weights, 3, replacement=False, generator=generator),
            data.BatchSampler(data.RandomSampler(source), 4, drop_last=False),
        ]
        loader = data.DataLoader(source, 2, shuffle=True, generator=generator)
        return [*(list(s) for s in samplers), *(len(s) for s in samplers), list(loader)]

    want, got = both(orders)
    assert got == want


@pytest.mark.parametrize("n", [3, 10])
@pytest.mark.parametrize(
    "options", [{}, {"shuffle": False}, {"drop_last": True, "seed": 5}], ids=str
)
def test_distributed_sampler(n, options):
    for rank in range(4):
        want = TheirDistributed(Squares(n), 4, rank, **options)
        got = our_data.DistributedSampler(Squares(n), 4, rank, **options)
        for epoch in range(2):
            want.set_epoch(epoch)
            got.set_epoch(epoch)
            assert (list(got), len(got)) == (list(want), len(want))


def test_random_split_and_combinations():
    def split(library, data):
        parts = data.random_split(Squares(10), [0.5, 0.25, 0.25])
        parts += data.random_split(range(5), [3, 2], library.Generator().manual_seed(1))
        both = data.ConcatDataset([parts[0], parts[1]])
        rows = data.TensorDataset(library.arange(6).reshape(3, 2), library.ones(3))
        stack = data.StackDataset(a=rows, b=range(3))
        return [
            *([part[i] for i in range(len(part))] for part in parts), both[-1], len(both),
            rows[1], stack[2], data.Subset(rows, [2, 0])[1], len(parts[0] + parts[1]),
        ]  # fmt: skip

    want, got = both(split)
    assert got == want
    with pytest.raises(ValueError, match="Sum of input lengths"):
        our_data.random_split(range(5), [3, 3])


def batches(library):
    return [
        [1, 2], [1.5, 2.0], ["a", "b"], [True, False], [np.float32(1), np.float32(2)],
        [np.ones((2, 3)), np.zeros((2, 3))], [{"a": 1, "b": (1.0, "x")}, {"a": 2, "b": (2.0, "y")}],
        [(1, [2, 3]), (4, [5, 6])], [Point(1, 2.0), Point(3, 4.0)],
        [library.ones(2), library.zeros(2)], [library.ones(2).bool(), library.zeros(2).bool()],
        [collections.OrderedDict(a=1), collections.OrderedDict(a=2)],
        [np.array(3), np.array(4)],
    ]  # fmt: skip


def test_default_collate_and_convert():
    def collated(library, data):
        rows = batches(library)
        return [[data.default_collate(b) for b in rows], [data.default_convert(b) for b in rows]]

    want, got = both(collated)
    for a, b in zip(got[0][0] + got[0][1], want[0][0] + want[0][1], strict=True):
        assert a == b and type(a) is type(b)
    half = our_data.default_collate([ours.ones(2).bfloat16()] * 2)
    assert half.dtype is ours.bfloat16 and half.tolist() == [[1.0, 1.0]] * 2
    with pytest.raises(RuntimeError, match="equal size"):
        our_data.default_collate([[1, 2], [1]])
    with pytest.raises(RuntimeError, match="equal size"):
        our_data.default_collate([ours.ones(2), ours.ones(3)])
    with pytest.raises(TypeError, match="default_collate"):
        our_data.default_collate([object()])


def stream_class(data):
    class Stream(data.IterableDataset):
        def __iter__(self):
            info = data.get_worker_info()
            first, step = (0, 1) if info is None else (info.id, info.num_workers)
            return iter(range(first, 11, step))

        def __len__(self):
            return 11

    return Stream()


@pytest.mark.parametrize("workers", [0, 2, 3])
@pytest.mark.parametrize("options", [{"batch_size": 3}, {"batch_size": None},
                                     {"batch_size": 2, "drop_last": True}], ids=str)  # fmt: skip
def test_iterable_datasets(workers, options):
    def epochs(library, data):
        loader = data.DataLoader(stream_class(data), num_workers=workers, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [list(loader), list(loader)]

    want, got = both(epochs)
    assert got == want


class Draws:
    """Draws in the worker, from each of the three generators."""

    def __init__(self, library, data):
        self.library, self.data = library, data

    def __len__(self):
        return 6

    def __getitem__(self, i):
        info = self.data.get_worker_info()
        return (
            info.id, info.num_workers, info.seed, self.library.rand(1).item(), random.random(),
            np.random.rand(), os.environ.get("STARTED", "no"),
        )  # fmt: skip


def start(worker):
    os.environ["STARTED"] = f"worker {worker}"


def test_workers_are_seeded_and_started_as_torchs():
    def drawn(library, data):
        loader = data.DataLoader(
            Draws(library, data), num_workers=2, worker_init_fn=start, collate_fn=list
        )
        return list(loader)

    want, got = both(drawn)
    assert got == want and want[0][1][0][-1] == "worker 1"
    assert our_data.get_worker_info() is None and "STARTED" not in os.environ


class Broken(Squares):
    def __getitem__(self, i):
        if i == 5:
            raise KeyError("five")
        return i


class Dying(Squares):
    def __getitem__(self, i):
        os._exit(3)


def test_errors_of_workers():
    got = []
    loader = our_data.DataLoader(Broken(), batch_size=2, num_workers=2)
    with pytest.raises(KeyError, match="Caught KeyError in DataLoader worker process 0"):
        for batch in loader:
            got.append(batch.tolist())
    assert got == [[0, 1], [2, 3]]


def test_a_dead_worker_is_noticed(monkeypatch):
    from hfpaddle.torch.utils.data import dataloader

    monkeypatch.setattr(dataloader, "LOOK_S", 0.2)
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(our_data.DataLoader(Dying(), num_workers=1))


def test_leaving_a_pass_ends_its_workers():
    loader = our_data.DataLoader(Squares(), num_workers=2)
    iterator = iter(loader)
    next(iterator)
    processes = iterator._processes
    iterator.close()
    assert not any(process.is_alive() for process in processes)


def test_tensors_of_every_kind_come_out_of_workers():
    kinds = [ours.ones(2).bfloat16(), ours.tensor([True]), ours.tensor(3), ours.ones(1, 0)]
    loader = our_data.DataLoader(range(2), num_workers=1, collate_fn=lambda _: kinds)
    for batch in loader:
        assert [plain(t) for t in batch] == [plain(t) for t in kinds]
        assert [t.dtype for t in batch] == [t.dtype for t in kinds]


@pytest.mark.parametrize(("options", "message"), [
    ({"shuffle": True, "sampler": range(3)}, "mutually exclusive with shuffle"),
    ({"batch_sampler": [[0]], "batch_size": 2}, "batch_sampler option is mutually"),
    ({"batch_size": None, "drop_last": True}, "mutually exclusive with drop_last"),
    ({"batch_size": 0}, "batch_size should be a positive"),
    ({"num_workers": -1}, "non-negative"),
    ({"prefetch_factor": 2}, "prefetch_factor"),
    ({"persistent_workers": True}, "persistent_workers"),
], ids=str)  # fmt: skip
def test_wrong_arguments_raise_as_torch(options, message):
    for _, data in BOTH:
        if message == "mutually exclusive with drop_last" or data is our_data:
            with pytest.raises(ValueError, match=message):
                data.DataLoader(Squares(), **options)
        else:
            with pytest.raises(ValueError):
                data.DataLoader(Squares(), **options)


def test_what_is_missing_says_so():
    with pytest.raises(AttributeError, match="DataPipe"):
        _ = our_data.IterDataPipe
    with pytest.raises(ValueError, match="in_order"):
        our_data.DataLoader(Squares(), in_order=False)
