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
    import pkgutil

    import transformers

    files = {module.name for module in pkgutil.iter_modules(__path__)}
    files = {name for name in files if not name.endswith("_test")}
    folders = {path.split(".")[0] for path in SUBMODULES}
    return sorted({*globals(), *files, *folders, *getattr(transformers, "_class_to_module", {})})
