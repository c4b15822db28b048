"""Errors and the warning category of peft."""

from __future__ import annotations

from hfpaddle.core.errors import HfpaddleError


class PeftError(HfpaddleError):
    """Base of peft's own errors."""


class NoMatchingPeftModuleError(PeftError, ValueError):
    """No module of the model fits what the config targets."""
