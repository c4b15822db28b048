"""Every family has every class that transformers' auto tables name for it."""

from __future__ import annotations

import pytest

from hfpaddle.modeling.base import PreTrainedModel
from hfpaddle.modeling.registry import (
    AUTO_TABLES,
    auto_model_class,
    class_name,
    families,
    family_module,
    find_class,
)

pytestmark = pytest.mark.unit


def spelling(family: str) -> str:
    """The ``model_type`` as configs write it."""
    module = family_module(family)
    own = [c for c in vars(module).values() if getattr(c, "__module__", None) == module.__name__]
    models = [c for c in own if isinstance(c, type) and issubclass(c, PreTrainedModel)]
    return next(c.config_class.model_type for c in models if c.config_class is not None)


@pytest.mark.parametrize("family", sorted(families()))
def test_all_heads_exist(family):
    model_type = spelling(family)
    assert model_type.replace("-", "_") == family
    found = {auto: class_name(auto, model_type) for auto in AUTO_TABLES}
    assert found["AutoModel"], "a family has at least its backbone"
    for auto, name in found.items():
        if name is None:
            continue
        cls = auto_model_class(auto, model_type)
        assert issubclass(cls, PreTrainedModel) and cls.__name__ == name
        assert find_class(name) is cls
