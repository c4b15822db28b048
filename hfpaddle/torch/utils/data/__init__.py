"""``torch.utils.data``: datasets, samplers, loader. Same order as torch for the same seed."""

from __future__ import annotations

from typing import NoReturn

from hfpaddle.core.errors import nearest as _nearest
from hfpaddle.torch.utils.data import dataloader, dataset, distributed, sampler
from hfpaddle.torch.utils.data._utils.worker import WorkerInfo
from hfpaddle.torch.utils.data.dataloader import (
    DataLoader,
    default_collate,
    default_convert,
    get_worker_info,
)
from hfpaddle.torch.utils.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from hfpaddle.torch.utils.data.distributed import DistributedSampler
from hfpaddle.torch.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler", "ChainDataset", "ConcatDataset", "DataLoader", "Dataset", "DistributedSampler",
    "IterableDataset", "RandomSampler", "Sampler", "SequentialSampler", "StackDataset", "Subset",
    "SubsetRandomSampler", "TensorDataset", "WeightedRandomSampler", "WorkerInfo", "dataloader",
    "dataset", "default_collate", "default_convert", "distributed", "get_worker_info",
    "random_split", "sampler",
]  # fmt: skip


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"hfpaddle's torch.utils.data has no attribute {name!r}{_nearest(name, __all__)}"
    )
