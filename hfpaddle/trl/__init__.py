"""The surface of trl on Paddle: supervised fine-tuning, preference and reward trainers.

Names are resolved when they are first used; see `hfpaddle.trl.mirror`.
"""

from typing import Any

__version__ = "1.16.0"


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from hfpaddle.trl.mirror import resolve

    value = resolve(name, __name__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from hfpaddle.trl.mirror import names

    return sorted({*globals(), *names(__name__)})
