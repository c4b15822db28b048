"""The surface of transformers on Paddle: ``from hfpaddle.transformers import AutoModelForCausalLM``.

Names are resolved when they are first used; see `hfpaddle.transformers.mirror`.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "__version__":
        import transformers

        return transformers.__version__
    if name.startswith("__"):
        raise AttributeError(name)
    from hfpaddle.transformers.mirror import resolve

    value = resolve(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    import transformers

    return sorted({*globals(), *getattr(transformers, "_class_to_module", {})})
