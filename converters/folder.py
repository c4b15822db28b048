"""A folder with a model's weights: which files it has, and all their tensors in one table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from hfpaddle.converters.entry import TensorEntry
from hfpaddle.converters.mapped import show
from hfpaddle.converters.pdparams import read_pdparams
from hfpaddle.converters.safetensors import read_metadata, read_safetensors
from hfpaddle.converters.torch_pickle import read_torch
from hfpaddle.core.errors import CheckpointError, MissingFileError

# In the order in which transformers looks, then Paddle's own. Each has an index beside it.
_WEIGHTS = {
    "model.safetensors": "safetensors",
    "pytorch_model.bin": "torch",
    "model_state.pdparams": "pdparams",
}
_READERS: dict[str, Callable[[Path], dict[str, TensorEntry]]] = {
    "safetensors": read_safetensors,
    "torch": read_torch,
    "pdparams": read_pdparams,
}


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one model.

    Attributes:
        files: one file, or the shards in the order in which the index first names them.
        format: ``"safetensors"``, ``"torch"`` or ``"pdparams"``.
        weight_map: tensor name -> file name, from the index; ``None`` for one file.
    """

    files: list[Path]
    format: str
    weight_map: dict[str, str] | None = None

    def metadata(self) -> dict[str, str]:
        """The metadata in the first safetensors file; empty for other formats."""
        return read_metadata(self.files[0]) if self.format == "safetensors" else {}


def candidate_names(variant: str | None = None, use_safetensors: bool | None = None) -> list[str]:
    """File names that may hold the weights, best first, indexes after the file they stand for.

    Args:
        variant: ``"fp16"`` gives ``model.fp16.safetensors``, ``model.safetensors.index.fp16.json``.
        use_safetensors: ``True`` for these alone, ``False`` for anything else, ``None`` for all.
    """
    return list(_candidates(variant, use_safetensors))


def _candidates(variant: str | None, use_safetensors: bool | None) -> dict[str, str]:
    """File name -> format, best first."""
    kinds = {}
    for name, kind in _WEIGHTS.items():
        if use_safetensors is None or use_safetensors is (kind == "safetensors"):
            kinds[_with_variant(name, variant)] = kind
            kinds[_with_variant(f"{name}.index.json", variant)] = kind
    return kinds


def _with_variant(name: str, variant: str | None) -> str:
    stem, suffix = name.rsplit(".", 1)
    return f"{stem}.{variant}.{suffix}" if variant else name


def find_checkpoint(
    folder: str | os.PathLike,
    *,
    variant: str | None = None,
    use_safetensors: bool | None = None,
    subfolder: str = "",
) -> Checkpoint:
    """The best weights that ``folder`` has. Arguments as in ``from_pretrained``.

    Raises:
        MissingFileError: there are none, or the index names a shard that is not there.
        CheckpointError: the index is damaged or names a file outside the folder.
    """
    folder = Path(folder, subfolder)
    for name, kind in _candidates(variant, use_safetensors).items():
        path = folder / name
        if path.is_file():
            if not name.endswith(".json"):
                return Checkpoint([path], kind)
            weight_map = read_index(path)
            files = [folder / shard for shard in dict.fromkeys(weight_map.values())]
            for file in files:
                if not file.is_file():
                    raise MissingFileError(
                        f"{path.name} names the shard {file.name}, which is not in {folder}. "
                        f"Download it too."
                    )
            return Checkpoint(files, kind, weight_map)
    raise _nothing_found(folder, variant, use_safetensors)


def _nothing_found(
    folder: Path, variant: str | None, use_safetensors: bool | None
) -> MissingFileError:
    if not folder.is_dir():
        return MissingFileError(f"{folder} is not a directory with a checkpoint.")
    first, second, third = (_with_variant(name, variant) for name in _WEIGHTS)
    found = ", ".join(sorted(p.name for p in folder.iterdir())[:12]) or "nothing"
    # transformers' wording up to the folder: it names both even if it did not look for the first.
    names = first if use_safetensors else f"{first}, or {second},"
    start = f"Error no file named {names} found in directory {folder}"
    start += "." if use_safetensors else f", nor {third}."
    return MissingFileError(f"{start} It has: {found}.")


def read_index(path: str | os.PathLike) -> dict[str, str]:
    """Tensor name -> shard name, from an index file.

    Raises:
        CheckpointError: not JSON, no ``weight_map``, or a shard name that leaves the folder.
    """
    path = Path(path)
    try:
        weight_map = json.loads(path.read_bytes())["weight_map"]
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise CheckpointError(
            f"{path.name} is not a JSON index with a weight_map ({type(error).__name__}: "
            f"{str(error)[:120]}). Fetch it again."
        ) from error
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{path.name}: weight_map is {show(weight_map)}, not a filled table.")
    for shard in dict.fromkeys(v if isinstance(v, str) else "" for v in weight_map.values()):
        if not _inside(shard):
            raise CheckpointError(
                f"{path.name} names the shard {show(shard)}, which is not a file name inside its "
                f"folder. Do not load this checkpoint unless you know who wrote it."
            )
    return weight_map


def _inside(shard: str) -> bool:
    windows, posix = PureWindowsPath(shard), PurePosixPath(shard)
    anchored = windows.anchor or posix.anchor
    plain = shard not in ("", ".") and "\0" not in shard and shard.isprintable()
    return plain and not anchored and ".." not in windows.parts


def open_checkpoint(
    source: str | os.PathLike | Checkpoint,
    *,
    variant: str | None = None,
    use_safetensors: bool | None = None,
    subfolder: str = "",
) -> dict[str, TensorEntry]:
    """Every tensor of the checkpoint by name, shards merged; nothing is read yet.

    Args:
        source: a folder, with the other arguments as in :func:`find_checkpoint`; or its result.
    Raises:
        MissingFileError: files that are not there.
        CheckpointError: a damaged file, a tensor that its shard lacks, or one in two shards
            that the index does not place.
    """
    if not isinstance(source, Checkpoint):
        source = find_checkpoint(
            source, variant=variant, use_safetensors=use_safetensors, subfolder=subfolder
        )
    read = _READERS[source.format]
    if source.weight_map is None:
        return read(source.files[0])
    weight_map = source.weight_map
    merged: dict[str, TensorEntry] = {}
    placed: dict[str, str] = {}
    shards = dict(zip(dict.fromkeys(weight_map.values()), source.files, strict=True))
    for shard, file in shards.items():
        for name, entry in read(file).items():
            if weight_map.get(name, shard) != shard:
                continue  # a copy that the index does not use
            if name in merged:
                raise CheckpointError(
                    f"tensor {show(name)} is in {placed[name]} and in {shard}, and the index names "
                    f"neither. Remove one."
                )
            merged[name], placed[name] = entry, shard
    for name, shard in weight_map.items():
        if name not in merged:
            raise CheckpointError(
                f"the index places tensor {show(name)} in {shard}, which lacks it. Index "
                f"and shards are of different checkpoints: fetch them again."
            )
    return merged
