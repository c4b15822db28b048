"""Data of a Trainer: loaders in upstream's order, and a feed that remembers where it is.

The order of examples is upstream's for the same seed. Like the loader that upstream uses, the feed
is one batch ahead, so that random collators and dropout draw in the same order.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from transformers.trainer_utils import RemoveColumnsCollator, has_length
from transformers.utils import logging

from hfpaddle.core import rng
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.transformers import trainer_random
from hfpaddle.transformers.trainer_pt_utils import LengthGroupedSampler
from hfpaddle.transformers.trainer_utils import seed_worker

logger = logging.get_logger("transformers.trainer")  # so that its verbosity counts


class SeedableRandomSampler:
    """A new permutation for each epoch, from ``seed`` plus the epoch's number."""

    def __init__(self, data_source: Any, seed: int) -> None:
        self.data_source = data_source
        self.initial_seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.data_source)

    def __iter__(self) -> Iterator[int]:
        generator = rng.Generator().manual_seed(self.epoch + self.initial_seed)
        yield from generator.randperm(len(self.data_source)).tolist()
        self.epoch += 1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class _Resumed:
    """A batch sampler without its first batches, which sets random states after drawing those."""

    def __init__(self, batch_sampler: Any, skipped: int, state: dict[str, Any]) -> None:
        self.batch_sampler, self.skipped, self.state = batch_sampler, skipped, state

    def __iter__(self) -> Iterator[list[int]]:
        batches = itertools.islice(self.batch_sampler, self.skipped, None)
        first = next(batches, None)
        trainer_random.restore(self.state)
        if first is not None:
            yield first
            yield from batches

    def __len__(self) -> int:
        return len(self.batch_sampler) - self.skipped


def is_iterable(dataset: Any) -> bool:
    """Tell whether ``dataset`` can only be read in its own order."""
    from hfpaddle.torch.utils.data import IterableDataset

    # That of the package datasets derives from real torch's where that is installed, and has a
    # __getitem__ that only raises.
    named = any(cls.__name__ == "IterableDataset" for cls in type(dataset).__mro__)
    return named or isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__")


def as_stream(dataset: Any) -> Any:
    """Return ``dataset`` as the loader's IterableDataset, which those of other packages are not."""
    from hfpaddle.torch.utils.data import IterableDataset

    class Stream(IterableDataset):
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __iter__(self) -> Iterator[Any]:
            return iter(self.inner)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.__dict__["inner"], name)

    return dataset if isinstance(dataset, IterableDataset) else Stream(dataset)


def is_hub_dataset(dataset: Any) -> bool:
    """Tell whether ``dataset`` is a ``datasets.Dataset``, without importing that package."""
    return any(
        cls.__module__ == "datasets.arrow_dataset" and cls.__name__ == "Dataset"
        for cls in type(dataset).__mro__
    )


def set_epoch(loader: Any, epoch: int) -> None:
    """Tell a loader, its dataset and its samplers which epoch begins."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    parts = (loader, getattr(loader, "dataset", None), batch_sampler)
    for part in (*parts, getattr(batch_sampler, "sampler", None)):
        if callable(getattr(part, "set_epoch", None)):
            part.set_epoch(epoch)


class Feed:
    """Batches of one pass over ``loader``, read one ahead.

    Attributes:
        last: whether the batch given last was the final one.
        started: random state when the pass began.
        ahead: random state before the batch that is ready was made.
    """

    def __init__(self, loader: Any) -> None:
        self.last = False
        self.started = trainer_random.snapshot()
        self._batches = iter(loader)
        self._advance()

    @classmethod
    def resumed(cls, loader: Any, skipped: int, states: dict[str, Any]) -> Feed:
        """Begin where an earlier feed stood after giving ``skipped`` batches, at least 1.

        Args:
            states: what its `states` returned.
        """
        feed = cls.__new__(cls)
        feed.last = False
        feed.started = trainer_random.from_json(states["started"])
        ahead = trainer_random.from_json(states["ahead"])
        trainer_random.restore(feed.started)
        if type(loader).__module__.startswith("hfpaddle.") and not loader.num_workers:
            if loader.batch_sampler is not None and not is_iterable(loader.dataset):
                sampler = _Resumed(loader.batch_sampler, skipped, ahead)
                feed._batches = iter(
                    type(loader)(
                        loader.dataset, batch_sampler=sampler, collate_fn=loader.collate_fn
                    )
                )
                feed._advance()
                feed.ahead = ahead
                return feed
        feed._batches = iter(loader)
        for _ in itertools.islice(feed._batches, skipped):
            pass
        if not getattr(loader, "num_workers", 0):  # workers have streams of their own
            trainer_random.restore(ahead)
        feed._advance()
        return feed

    def _advance(self) -> None:
        self.ahead = trainer_random.snapshot()
        self._next = next(self._batches, None)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._next is None:
            raise StopIteration
        batch = self._next
        self._advance()
        self.last = self._next is None
        return batch

    def states(self) -> dict[str, Any]:
        """Return what `resumed` needs, as JSON."""
        return {
            "started": trainer_random.to_json(self.started),
            "ahead": trainer_random.to_json(self.ahead),
        }


class DataMixin:
    """The loaders of a Trainer."""

    args: Any
    model: Any
    data_collator: Any
    train_dataset: Any
    eval_dataset: Any
    processing_class: Any
    label_names: list[str]
    _train_batch_size: int
    _signature_columns: list[str] | None

    def get_train_dataloader(self) -> Any:
        """Return the loader of ``train_dataset``. Override it for your own."""
        if self.train_dataset is None:
            raise ValueError("Trainer: training requires a train_dataset.")
        return self._get_dataloader(
            self.train_dataset,
            "Training",
            self._train_batch_size,
            self._get_train_sampler,
            is_training=True,
        )

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """Return the loader of ``eval_dataset``: a dataset, a name of several, or the own one."""
        if eval_dataset is None and self.eval_dataset is None:
            raise ValueError("Trainer: evaluation requires an eval_dataset.")
        key = eval_dataset if isinstance(eval_dataset, str) else "eval"
        kept = self.__dict__.setdefault("_eval_dataloaders", {})
        if self.args.dataloader_persistent_workers and key in kept:
            return kept[key]
        if isinstance(eval_dataset, str):
            eval_dataset = self.eval_dataset[eval_dataset]
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        size = self.args.eval_batch_size
        loader = self._get_dataloader(dataset, "Evaluation", size, self._get_eval_sampler)
        if self.args.dataloader_persistent_workers:
            kept[key] = loader
        return loader

    def get_test_dataloader(self, test_dataset: Any) -> Any:
        size = self.args.eval_batch_size
        return self._get_dataloader(test_dataset, "test", size, self._get_eval_sampler)

    def num_examples(self, dataloader: Any) -> int:
        """Count the examples behind ``dataloader``, or estimate them from its batches."""
        try:
            return len(dataloader.dataset)
        except (NameError, AttributeError, TypeError):
            return len(dataloader) * self.args.per_device_train_batch_size

    def _get_dataloader(
        self,
        dataset: Any,
        description: str,
        batch_size: int,
        sampler_fn: Callable[[Any], Any] | None = None,
        is_training: bool = False,
        dataloader_key: str | None = None,
    ) -> Any:
        from hfpaddle.torch.utils.data import DataLoader

        collate = self.data_collator
        if is_hub_dataset(dataset):
            dataset = self._remove_unused_columns(dataset, description)
        else:
            collate = self._get_collator_with_removed_columns(collate, description)
        args = self.args
        options: dict[str, Any] = {
            "batch_size": batch_size,
            "collate_fn": collate,
            "num_workers": args.dataloader_num_workers,
            "drop_last": args.dataloader_drop_last,
        }
        if args.dataloader_num_workers:
            options["persistent_workers"] = args.dataloader_persistent_workers
            options["prefetch_factor"] = args.dataloader_prefetch_factor
            options["multiprocessing_context"] = args.dataloader_multiprocessing_context
            options["in_order"] = args.dataloader_in_order
            if is_training:
                workers = args.dataloader_num_workers
                options["worker_init_fn"] = functools.partial(
                    seed_worker, num_workers=workers, rank=args.process_index
                )
        if is_iterable(dataset):
            # Upstream keeps the last batch of a stream, whatever dataloader_drop_last says.
            options["drop_last"] = False
            dataset = as_stream(dataset)
        elif sampler_fn is not None and (sampler := sampler_fn(dataset)) is not None:
            options["sampler"] = sampler
        loader = DataLoader(dataset, **options)
        loader._reseeds_workers = True  # so that a resumed run draws what this one draws
        return loader

    def _lengths(self, dataset: Any) -> tuple[Any, str | None]:
        """Return the column of lengths, if any, and the name of the main input."""
        column = self.args.length_column_name
        known = is_hub_dataset(dataset) and column in dataset.column_names
        processing = self.processing_class
        name = processing.model_input_names[0] if processing is not None else None
        return (list(dataset[column]) if known else None), name

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Return the order of training that ``train_sampling_strategy`` names."""
        from hfpaddle.torch.utils.data import RandomSampler, SequentialSampler

        dataset = self.train_dataset if train_dataset is None else train_dataset
        strategy = self.args.train_sampling_strategy
        if dataset is None or not has_length(dataset):
            return None
        if strategy == "group_by_length":
            lengths, name = self._lengths(dataset)
            size = self._train_batch_size * self.args.gradient_accumulation_steps
            return LengthGroupedSampler(size, dataset, lengths, name)
        if strategy == "batch_rebalance":
            raise UnsupportedArgumentError(
                "TrainingArguments(train_sampling_strategy='batch_rebalance') balances batches "
                "over several devices and is not implemented. Use 'group_by_length'."
            )
        if strategy == "sequential":
            return SequentialSampler(dataset)
        if not self.args.use_seedable_sampler:
            return RandomSampler(dataset)
        seed = self.args.data_seed
        return SeedableRandomSampler(dataset, rng.initial_seed() if seed is None else seed)

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        from hfpaddle.torch.utils.data import SequentialSampler

        if eval_dataset is None or not has_length(eval_dataset):
            return None
        if self.args.train_sampling_strategy == "group_by_length":
            lengths, name = self._lengths(eval_dataset)
            seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
            generator = rng.Generator().manual_seed(seed)
            size = self.args.eval_batch_size
            return LengthGroupedSampler(size, eval_dataset, lengths, name, generator)
        return SequentialSampler(eval_dataset)

    def _set_signature_columns_if_needed(self) -> None:
        """Remember what the model's forward takes, and the usual names of labels."""
        if self._signature_columns is None:
            model = self.model
            # A model with adapters around it takes what the one inside takes.
            model = model.get_base_model() if hasattr(model, "get_base_model") else model
            names = list(inspect.signature(model.forward).parameters)
            labels = [n for n in ("label", "label_ids", *self.label_names) if n not in names]
            self._signature_columns = [*names, *labels]

    def _remove_unused_columns(self, dataset: Any, description: str | None = None) -> Any:
        """Return ``dataset`` without the columns that the model does not take.

        Raises: ValueError if none would be left.
        """
        if not self.args.remove_unused_columns:
            return dataset
        self._set_signature_columns_if_needed()
        taken = self._signature_columns or []
        ignored = [name for name in dataset.column_names if name not in taken]
        if len(ignored) == len(dataset.column_names):
            raise ValueError(
                f"No columns in the dataset match the model's forward method signature: "
                f"({', '.join(taken)}). The following columns have been ignored: "
                f"[{', '.join(ignored)}]. Please check the dataset and model. You may need to set "
                "`remove_unused_columns=False` in `TrainingArguments`."
            )
        if ignored:
            logger.info(f"{description} set: columns that forward does not take: {ignored}.")
        return dataset.remove_columns(ignored)

    def _get_collator_with_removed_columns(
        self, data_collator: Any, description: str | None = None
    ) -> Any:
        if not self.args.remove_unused_columns:
            return data_collator
        self._set_signature_columns_if_needed()
        return RemoveColumnsCollator(
            data_collator=data_collator,
            signature_columns=self._signature_columns,
            logger=logger,
            description=description,
            model_name=type(self.model).__name__,
        )
