"""The surface of transformers on Paddle.

Names are resolved when they are first used; see `hfpaddle.transformers.mirror`.
"""

from typing import Any

from hfpaddle.transformers.submodules import SUBMODULES, register_submodule

for _path in SUBMODULES:
    register_submodule(_path)
del _path


def __getattr__(name: str) -> Any:
    if name.startswith("__") and name != "__version__":
        raise AttributeError(name)
    from hfpaddle.core.quiet import import_transformers

    import_transformers()
    if name == "__version__":
        import transformers

        return transformers.__version__
    from hfpaddle.transformers.mirror import resolve

    value = resolve(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    import transformers

    return sorted({*globals(), *getattr(transformers, "_class_to_module", {})})
