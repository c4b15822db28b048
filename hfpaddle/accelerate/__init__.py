"""The surface of accelerate on Paddle, on one device.

Names are resolved when they are first used; see `hfpaddle.accelerate.mirror`.
"""

from typing import Any

__version__ = "1.15.0"


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from hfpaddle.accelerate.mirror import OURS, UPSTREAM, resolve

    value = resolve(name, __name__, OURS, UPSTREAM)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from hfpaddle.accelerate.mirror import UPSTREAM

    return sorted({*globals(), *UPSTREAM})
