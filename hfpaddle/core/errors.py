"""Typed errors. Each message holds the value, the limit and the remedy.

Every class derives from :class:`HfpaddleError` and from the built-in type that the original
libraries raise in the same place, so ``except OSError`` around ``from_pretrained`` keeps working.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HfpaddleError(Exception):
    """Base of every error that hfpaddle raises on purpose."""


class UnsupportedModelError(HfpaddleError, ValueError):
    """A ``model_type``, architecture or head that has no implementation here."""


class UnsupportedConfigError(HfpaddleError, ValueError):
    """A config key whose value would change numbers and is not implemented."""


class UnsupportedArgumentError(HfpaddleError, ValueError):
    """An argument value that cannot be honoured."""


class CheckpointError(HfpaddleError, OSError):
    """A checkpoint that is missing, truncated, malformed or inconsistent."""


class UnsafeCheckpointError(CheckpointError):
    """A pickled file that refers to something other than tensors and plain containers."""


class MissingFileError(CheckpointError, FileNotFoundError):
    """A file of the checkpoint that is not there."""


class WeightMismatchError(HfpaddleError, RuntimeError):
    """Checkpoint tensors whose names or shapes do not fit the model."""


class DeviceError(HfpaddleError, RuntimeError):
    """A device that is unknown or not present in this Paddle build."""


class MissingDependencyError(HfpaddleError, ImportError):
    """An optional package that the requested feature needs."""


class IdRangeError(HfpaddleError, IndexError):
    """An id that is no row of an embedding table."""


class DistributionError(HfpaddleError, RuntimeError):
    """Parameters that describe no random distribution."""


class MissingFeatureError(HfpaddleError, NotImplementedError):
    """A name of the original library that has no implementation here."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" (nearest: 'x')"`` for the most similar known name, or ``""``."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f" (nearest: {close[0]!r})" if close else ""
