"""Mirror of ``accelerate.utils``; names are resolved when they are first used."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from hfpaddle.accelerate.mirror import OURS_IN_UTILS, resolve
    from hfpaddle.accelerate.upstream_names import UPSTREAM_UTILS
    from hfpaddle.accelerate.utils.imports import probe

    value = probe(name) or resolve(name, __name__, OURS_IN_UTILS, UPSTREAM_UTILS)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from hfpaddle.accelerate.upstream_names import UPSTREAM_UTILS

    return sorted({*globals(), *UPSTREAM_UTILS})
