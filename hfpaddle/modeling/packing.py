"""What a caller says about packed samples: read it, or refuse it.

Samples stand behind one another in a row without padding, as `DataCollatorWithFlattening` gives
them. What tells where each begins, first that is given: ``cu_seq_lens_q`` and ``cu_seq_lens_k``
(bounds, ``[samples + 1]`` from 0 to the number of tokens), ``seq_idx`` (``[B, S]``, each token's
sample), or ``position_ids`` that do not go up by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.layers.packing import Packing

BOUNDS = ("cu_seq_lens_q", "cu_seq_lens_k")
LONGEST = ("max_length_q", "max_length_k")
ARGUMENTS = (*BOUNDS, *LONGEST, "seq_idx")


def host(values: Any) -> np.ndarray:
    """Return a tensor, array or list as int64 on the host."""
    values = values.numpy() if isinstance(values, paddle.Tensor) else np.asarray(values)
    return values.astype(np.int64)


def by_bounds(owner: str, given: dict[str, Any], rows: int, tokens: int) -> np.ndarray | None:
    """Read ``cu_seq_lens_q`` and ``cu_seq_lens_k``: where samples begin, ``[B, S]``, or None.

    Raises: UnsupportedArgumentError for bounds that are not those of one row, or that differ
        between queries and keys; ValueError for bounds that do not cover the row.
    """
    found = [host(given[name]).reshape(-1) for name in BOUNDS if given.get(name) is not None]
    if not found:
        return None
    bounds = found[0]
    if rows != 1 or not all(np.array_equal(bounds, other) for other in found):
        raise UnsupportedArgumentError(
            f"{owner}.forward(): cu_seq_lens_q with {rows} rows, or unlike cu_seq_lens_k "
            f"({[f.tolist() for f in found]}), is not implemented (works: one row of packed "
            "samples, equal bounds)."
        )
    if not bounds.size or bounds[0] != 0 or bounds[-1] != tokens or (np.diff(bounds) < 0).any():
        raise ValueError(
            f"{owner}.forward(): cu_seq_lens_q = {bounds.tolist()} must rise from 0 to the number "
            f"of tokens, {tokens}."
        )
    longest = int(np.diff(bounds).max())
    for name in LONGEST:
        if given.get(name) is not None and int(given[name]) < longest:
            raise ValueError(
                f"{owner}.forward(): {name} = {int(given[name])}, but a sample has {longest} "
                "tokens by cu_seq_lens_q."
            )
    starts = np.zeros([1, tokens], dtype=bool)
    starts[0, bounds[:-1][bounds[:-1] < tokens]] = True
    return starts


def by_steps(numbers_BS: np.ndarray, step: int) -> np.ndarray:
    """Return true where ``numbers`` do not go up by ``step``; the first column is false."""
    breaks_BS = np.zeros(numbers_BS.shape, dtype=bool)
    breaks_BS[:, 1:] = np.diff(numbers_BS, axis=1) != step
    return breaks_BS


def by_numbers(owner: str, seq_idx: Any, shape: list[int]) -> np.ndarray | None:
    """Read ``seq_idx``: where samples begin, ``[B, S]``, or None without it."""
    if seq_idx is None:
        return None
    numbers = host(seq_idx)
    if list(numbers.shape) != list(shape):
        raise ValueError(
            f"{owner}.forward(): seq_idx has shape {list(numbers.shape)}, the tokens {list(shape)}."
        )
    return by_steps(numbers, 0)


def find_packing(
    owner: str,
    shape: list[int],
    marks: dict[str, Any],
    position_ids: Any,
    attention_mask: Any,
    past_key_values: Any,
    use_cache: bool | None,
    default_cache: bool,
) -> Packing | None:
    """Return the packed samples of a call, or None.

    Args:
        owner: the model's name, for messages.
        shape: ``[B, S]`` of the tokens.
        marks: what the caller gave of `ARGUMENTS`.
        position_ids: ``[B or 1, S]``, or None.
        use_cache: what the caller wants, None for ``default_cache``, the config's.
    Raises: UnsupportedArgumentError for samples named besides a cache, or besides a mask that hides
        something; ValueError for marks that contradict each other.
    """
    rows, tokens = shape
    bounded, numbered = (
        by_bounds(owner, marks, rows, tokens),
        by_numbers(owner, marks.get("seq_idx"), shape),
    )
    if bounded is None and numbered is None:
        # As in the original, a call with a mask or a cache is not packed. The cache that a config
        # asks for by default does not count for a single row: there the original packs with some
        # attention kernels and not with others, and only the former is what the caller can mean.
        caching = use_cache or (use_cache is None and rows > 1 and default_cache)
        alone = attention_mask is None and past_key_values is None and not caching
        if position_ids is None or not alone:
            return None
        return Packing.of(np.broadcast_to(by_steps(host(position_ids), 1), shape))
    if bounded is not None and numbered is not None:
        agree(owner, numbered, bounded, "cu_seq_lens_q")
    elif numbered is not None and position_ids is not None:
        stepped = np.broadcast_to(by_steps(host(position_ids), 1), shape)
        if stepped.any():
            agree(owner, numbered, stepped, "position_ids")
    refuse_company(owner, marks, attention_mask, past_key_values, use_cache)
    return Packing.of(bounded if numbered is None else numbered)


def agree(owner: str, numbered_BS: np.ndarray, other_BS: np.ndarray, name: str) -> None:
    if (numbered_BS != other_BS)[:, 1:].any():
        raise ValueError(
            f"{owner}.forward(): seq_idx and {name} name different samples; give one of them."
        )


def refuse_company(
    owner: str, marks: dict[str, Any], attention_mask: Any, cache: Any, use_cache: bool | None
) -> None:
    """Refuse a cache, or a mask that hides something, besides samples that the caller named."""
    named = sorted(key for key, value in marks.items() if value is not None)
    if cache is not None or use_cache:
        raise UnsupportedArgumentError(
            f"{owner}.forward(): packed samples {named} cannot fill or read a cache (works: "
            "use_cache=False, past_key_values=None)."
        )
    if attention_mask is None:
        return
    plain = not isinstance(attention_mask, dict) and attention_mask.ndim == 2
    if not plain or not bool((attention_mask != 0).all()):
        raise UnsupportedArgumentError(
            f"{owner}.forward(): packed samples {named} besides an attention_mask that hides "
            "something are not implemented (works: no mask, or ones)."
        )


def refuse_packing(
    owner: str,
    attention_mask: Any,
    position_ids: Any,
    marks: dict[str, Any] | None = None,
    why: str = "does not keep them apart (works: decoder families)",
) -> None:
    """Refuse packed samples where they would see each other, or be scored as one.

    One row without a mask whose positions return to their first value is one that a collator
    flattened.

    Args:
        marks: the caller's arguments, of which none of `ARGUMENTS` may be given.
        why: what the model does instead, for the message.
    """
    named = [name for name in ARGUMENTS if (marks or {}).get(name) is not None]
    if not named and position_ids is not None and attention_mask is None:
        positions = host(position_ids)
        returns = by_steps(positions, 1) & (positions == positions[:, :1])
        if len(positions) == 1 and returns[:, 1:].any():
            named = ["position_ids that restart"]
    if named:
        raise UnsupportedArgumentError(
            f"{owner}.forward(): {', '.join(named)} mark packed samples; {owner} {why}. Pad the "
            "batch, or give attention_mask if this is one sample."
        )
