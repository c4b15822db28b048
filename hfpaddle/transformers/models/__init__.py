"""Mirror of ``transformers.models``: each known family's modules resolve to ours."""

from hfpaddle.modeling.registry import families
from hfpaddle.transformers.submodules import register_submodule

for _family in families():
    register_submodule(f"models.{_family}")
    for _kind in ("configuration", "modeling", "tokenization"):
        register_submodule(f"models.{_family}.{_kind}_{_family}")
    register_submodule(f"models.{_family}.tokenization_{_family}_fast")
del _family, _kind
