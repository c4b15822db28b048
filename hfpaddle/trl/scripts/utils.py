"""Mirror of ``trl.scripts.utils``: arguments of scripts, their parser, and mixtures of datasets."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from argparse import _SubParsersAction
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from transformers.hf_argparser import HfArgumentParser

from hfpaddle.trl.trainer.base_config import option

logger = logging.getLogger(__name__)


@dataclass
class DatasetConfig:
    """One dataset of a mixture; the arguments of ``datasets.load_dataset``.

    Attributes:
        columns: columns to keep; None for all.
        fraction: share of it in the mixture; given for all datasets or none.
    """

    path: str
    name: str | None = None
    data_dir: str | None = None
    data_files: str | list[str] | dict[str, str] | None = None
    split: str = "train"
    columns: list[str] | None = None
    fraction: float | None = None


@dataclass
class DatasetMixtureConfig:
    """Arguments of scripts about several datasets; see `get_dataset`."""

    datasets: list[DatasetConfig] = field(
        default_factory=list, metadata={"help": "Datasets of the mixture; in a YAML file."}
    )
    streaming: bool = option(False, "Read the datasets as streams.")
    test_split_size: float | None = option(None, "Share or number of examples to test on.")

    def __post_init__(self) -> None:
        self.datasets = [DatasetConfig(**d) if isinstance(d, dict) else d for d in self.datasets]


@dataclass
class ScriptArguments:
    """Arguments of scripts about one dataset."""

    dataset_name: str | None = option(None, "Folder or name of the dataset.")
    dataset_config: str | None = option(None, "Configuration of the dataset.")
    dataset_train_split: str = option("train", "Split to train on.")
    dataset_test_split: str = option("test", "Split to evaluate on.")
    dataset_streaming: bool = option(False, "Read the dataset as a stream.")
    ignore_bias_buffers: bool = option(False, "For several processes; no effect on one.")


def init_zero_verbose() -> None:
    """Log errors and warnings alone, in short lines; through rich if it is there."""
    from transformers.utils import is_rich_available

    if is_rich_available():
        from rich.logging import RichHandler

        handler: logging.Handler = RichHandler()
    else:
        handler = logging.StreamHandler()
    logging.basicConfig(
        format="%(message)s", datefmt="[%X]", handlers=[handler], level=logging.ERROR
    )

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        logging.warning(f"{filename}:{lineno}: {category.__name__}: {message}")

    warnings.showwarning = show


def _or_none(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let an argument's type take ``none`` and ``null`` for None."""

    def parse(text: str) -> Any:
        return None if text.lower() in ("none", "null") else convert(text)

    parse.__name__ = getattr(convert, "__name__", "value")  # argparse's messages name it
    return parse


class TrlParser(HfArgumentParser):
    """HfArgumentParser that reads ``--config FILE.yaml`` first.

    The file's values are defaults, which the command line overrides; its ``env`` holds environment
    variables. Arguments of a type other than str that may be None take ``none`` on the line.
    """

    def __init__(self, dataclass_types: Any = None, **kwargs: Any) -> None:
        types = [] if dataclass_types is None else dataclass_types
        types = list(types) if isinstance(types, Iterable) else [types]
        for cls in types:
            if "config" in cls.__dataclass_fields__:
                raise ValueError(
                    f"Dataclass {cls.__name__} has a field named 'config'. This field is reserved "
                    "for the config file path and should not be used in the dataclass."
                )
        super().__init__(dataclass_types=types, **kwargs)

    @staticmethod
    def _parse_dataclass_field(parser: Any, field: Any) -> None:
        optional = type(None) in getattr(field.type, "__args__", ())
        HfArgumentParser._parse_dataclass_field(parser, field)
        action, kind = parser._actions[-1], field.type
        if optional and kind not in (str, bool) and action.type is kind and action.nargs is None:
            action.type = _or_none(kind)

    def parse_args_and_config(
        self,
        args: Iterable[str] | None = None,
        return_remaining_strings: bool = False,
        fail_with_unknown_args: bool = True,
        separate_remaining_strings: bool = False,
    ) -> tuple[Any, ...]:
        """Return an instance of each dataclass, from the command line and the file of --config.

        Args:
            return_remaining_strings: return what no dataclass takes as well.
            fail_with_unknown_args: raise for such in the file.
            separate_remaining_strings: those of the file and of the line as two lists.
        Raises: ValueError for a file that is no mapping, or has unknown arguments.
        """
        args = list(sys.argv[1:] if args is None else args)
        left: list[str] = []
        if "--config" in args:
            at = args.index("--config")
            path = args[at + 1]
            del args[at : at + 2]
            left = self.set_defaults_with_config(**_read_config(path))
        output = self.parse_args_into_dataclasses(
            args=args, return_remaining_strings=return_remaining_strings
        )
        if return_remaining_strings:
            *found, rest = output
            ends = (left, rest) if separate_remaining_strings else (left + rest,)
            return (*found, *ends)
        if fail_with_unknown_args and left:
            raise ValueError(
                f"Unknown arguments from config file: {left}. Please remove them, add them to the "
                "dataclass, or set `fail_with_unknown_args=False`."
            )
        return output

    def set_defaults_with_config(self, **kwargs: Any) -> list[str]:
        """Make ``kwargs`` defaults, of subparsers too. Returns those that none has, as strings."""
        used: set[str] = set()

        def apply(parser: Any) -> None:
            for action in parser._actions:
                if isinstance(action, _SubParsersAction):
                    for inner in action.choices.values():
                        apply(inner)
                elif action.dest in kwargs:
                    action.default, action.required = kwargs[action.dest], False
                    used.add(action.dest)

        apply(self)
        rest = {k: v for k, v in kwargs.items() if k not in used}
        return [text for key, value in rest.items() for text in (f"--{key}", str(value))]


def _read_config(path: str) -> dict[str, Any]:
    """Read a YAML mapping, and set the environment variables that its ``env`` names."""
    import yaml

    with open(path, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    if not isinstance(config, dict):
        raise ValueError(f"Config file {path} must contain a YAML mapping.")
    variables = config.pop("env", {})
    if not isinstance(variables, dict):
        raise ValueError("`env` field should be a dict in the YAML file.")
    os.environ.update({key: str(value) for key, value in variables.items()})
    return config


def get_dataset(mixture_config: DatasetMixtureConfig) -> Any:
    """Load the datasets of a mixture, one after the other, into a DatasetDict.

    With ``fraction``, the first rows of each in these proportions, as many as the data allow.

    Raises: ValueError for no dataset, fractions of some alone, or fractions of streams.
    """
    import datasets

    configs, streaming = mixture_config.datasets, mixture_config.streaming
    if not configs:
        raise ValueError("No datasets were loaded from the mixture configuration")
    parts = []
    for config in configs:
        names = ("path", "name", "data_dir", "data_files", "split")
        part = datasets.load_dataset(
            **{name: getattr(config, name) for name in names}, streaming=streaming
        )
        parts.append(part if config.columns is None else part.select_columns(config.columns))
    fractions = [config.fraction for config in configs]
    if any(share is not None for share in fractions):
        if None in fractions:
            raise ValueError("`fraction` must be set for all datasets in the mixture or none.")
        if streaming:
            raise ValueError("Using a dataset `fraction` is not supported with streaming datasets.")
        weights = [share / sum(fractions) for share in fractions]
        pairs = list(zip(parts, weights, strict=True))
        total = min(len(part) / weight for part, weight in pairs if weight > 0)
        parts = [part.select(range(round(weight * total))) for part, weight in pairs]
    combined = datasets.concatenate_datasets(parts)
    if mixture_config.test_split_size is not None:
        return combined.train_test_split(test_size=mixture_config.test_split_size)
    return datasets.DatasetDict({"train": combined})
