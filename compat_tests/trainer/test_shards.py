"""Samplers and datasets that share one order among processes give the original's indices."""

import numpy as np
import paddle
import pytest
import transformers.trainer_pt_utils as reference

import hfpaddle.transformers.trainer_pt_utils as ours

LENGTHS = [23, 64, 7]


class Stream:
    """An iterable dataset without a generator."""

    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(100, 100 + self.n))

    def __len__(self):
        return self.n


def same(make, *names):
    """``make(library)`` gives the same items, and the same length, from both libraries."""
    mine, theirs = make(ours), make(reference)
    assert len(mine) == len(theirs)
    items = [list(mine), list(theirs)]
    assert items[0] == items[1] and items[0]
    for name in names:
        assert getattr(mine, name) == getattr(theirs, name)


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("drop_last", [False, True])
def test_distributed(n, rank, drop_last):
    where = {"num_replicas": 3, "rank": rank, "seed": 5, "drop_last": drop_last}

    def looped(library):
        sampler = library.DistributedSamplerWithLoop(list(range(n)), 4, **where)
        sampler.set_epoch(2)
        return sampler

    def grouped(library):
        lengths = [(i * 7) % 11 + 1 for i in range(n)]
        sampler = library.DistributedLengthGroupedSampler(2, lengths=lengths, **where)
        sampler.set_epoch(1)
        return sampler

    same(looped)
    same(grouped, "total_size", "lengths")


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("n", [*LENGTHS, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_shards(n, index, drop_last):
    where = {"batch_size": 2, "drop_last": drop_last, "num_processes": 2, "process_index": index}
    if n < 4 and drop_last:
        assert list(ours.ShardSampler(list(range(n)), **where)) == []
        return
    mine, theirs = (lib.ShardSampler(list(range(n)), **where) for lib in (ours, reference))
    assert list(mine) == list(theirs)
    assert mine.total_num_samples == theirs.total_num_samples
    same(lambda library: library.IterableDatasetShard(Stream(n), **where), "num_examples")


def test_a_generator_of_the_dataset_is_seeded():
    from hfpaddle import torch

    class Shuffled:
        generator = torch.Generator()

        def __iter__(self):
            return iter(torch.randperm(8, generator=self.generator).tolist())

    shard = ours.IterableDatasetShard(Shuffled(), 2, num_processes=2, seed=3)
    shard.set_epoch(4)
    again = list(shard)
    assert again == list(shard)
    want = torch.randperm(8, generator=torch.Generator().manual_seed(7)).tolist()
    assert again == [*want[:2], *want[4:6]]


def test_pad_and_concatenate():
    one, other = np.arange(6).reshape(2, 3), np.arange(10).reshape(2, 5)
    for pair in ((one, other), (other, one), (one, one), (np.array(3), np.array(4))):
        got = ours.numpy_pad_and_concatenate(*pair, padding_index=-1)
        want = reference.numpy_pad_and_concatenate(*pair, -1)
        np.testing.assert_array_equal(got, want)
        got = ours.torch_pad_and_concatenate(*map(paddle.to_tensor, pair), padding_index=-1)
        np.testing.assert_array_equal(got.numpy(), want)


def test_lengths_are_needed():
    with pytest.raises(ValueError, match="dataset and lengths"):
        ours.DistributedLengthGroupedSampler(2, num_replicas=1, rank=0)
