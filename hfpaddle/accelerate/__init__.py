"""The surface of accelerate on Paddle, on one device.

Names are resolved when they are first used; see `hfpaddle.accelerate.mirror`.
"""

from typing import Any

from hfpaddle.accelerate.mirror import register_modules

__version__ = "1.15.0"

register_modules()


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from hfpaddle.accelerate.mirror import OURS, resolve
    from hfpaddle.accelerate.upstream_names import UPSTREAM
    from hfpaddle.accelerate.utils.imports import probe

    value = probe(name) or resolve(name, __name__, OURS, UPSTREAM)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from hfpaddle.accelerate.upstream_names import UPSTREAM

    return sorted({*globals(), *UPSTREAM})
