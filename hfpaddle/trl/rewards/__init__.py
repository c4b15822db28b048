"""Mirror of ``trl.rewards``; names are resolved when they are first used."""

from typing import Any


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
