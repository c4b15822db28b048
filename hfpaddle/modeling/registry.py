"""Which file implements which ``model_type``, and which class has which upstream name.

A family is one file in `hfpaddle/models/`, named after its ``model_type``. Nothing is listed here:
the folder is the list, and transformers' own auto tables say which class names a family has.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from hfpaddle.core.errors import UnsupportedModelError, nearest

# Imported by path: as an attribute of its package, transformers hides it where torch is absent.
tables = importlib.import_module("transformers.models.auto.modeling_auto")

# Auto class -> transformers' table of {model_type: class name}.
AUTO_TABLES: dict[str, str] = {
    "AutoModel": "MODEL_MAPPING_NAMES",
    "AutoModelForCausalLM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "AutoModelForMaskedLM": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "AutoModelForSequenceClassification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "AutoModelForTokenClassification": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "AutoModelForQuestionAnswering": "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "AutoModelForMultipleChoice": "MODEL_FOR_MULTIPLE_CHOICE_MAPPING_NAMES",
    "AutoModelForSeq2SeqLM": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "AutoModelForPreTraining": "MODEL_FOR_PRETRAINING_MAPPING_NAMES",
    "AutoModelForNextSentencePrediction": "MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING_NAMES",
    "AutoModelForImageClassification": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "AutoModelForMaskedImageModeling": "MODEL_FOR_MASKED_IMAGE_MODELING_MAPPING_NAMES",
}


def register_model(model_type: str, **auto: str) -> Callable[[type], type]:
    """Mark a family's main class and create the siblings that it derives.

    Args:
        model_type: as in config.json; the file bears this name.
        auto: ``AutoClass="ClassName"`` for families that transformers' tables do not hold.
    """

    def mark(cls: Any) -> Any:
        module = sys.modules[cls.__module__]
        module.__dict__.setdefault("AUTO_CLASSES", {}).update(auto)
        cls.model_type = model_type
        for sibling in cls.make_siblings(model_type):
            sibling.__module__ = cls.__module__
            setattr(module, sibling.__name__, sibling)
        return cls

    return mark


@functools.lru_cache(None)
def families() -> dict[str, str]:
    """Map each known ``model_type`` spelling (underscores) to the name of its module."""
    package = importlib.import_module("hfpaddle.models")
    names = (info.name for info in pkgutil.iter_modules(package.__path__))
    return {name: f"hfpaddle.models.{name}" for name in names if not name.endswith("_test")}


def family_module(model_type: str) -> ModuleType:
    """Import the file that implements ``model_type``.

    Raises: UnsupportedModelError naming the nearest known type.
    """
    known = families()
    name = str(model_type).replace("-", "_")
    if name not in known:
        raise UnsupportedModelError(
            f"model_type {model_type!r} has no hfpaddle implementation{nearest(name, known)}. "
            "List the known types with `hfpaddle models`; to add one see docs/add-a-model.md."
        )
    return importlib.import_module(known[name])


def class_name(auto_class: str, model_type: str) -> str | None:
    """Return the upstream class name behind ``auto_class`` for ``model_type``, or None."""
    module = family_module(model_type)
    own = getattr(module, "AUTO_CLASSES", {}).get(auto_class)
    if own:
        return own
    table = getattr(tables, AUTO_TABLES[auto_class])
    name = table.get(model_type)
    return name[0] if isinstance(name, (tuple, list)) else name


def auto_model_class(auto_class: str, model_type: str) -> type:
    """Return the class that ``auto_class`` builds for ``model_type``.

    Raises: UnsupportedModelError if the family or this head of it does not exist.
    """
    module = family_module(model_type)
    name = class_name(auto_class, model_type)
    if name is None:
        heads = [auto for auto in AUTO_TABLES if class_name(auto, model_type)]
        raise UnsupportedModelError(
            f"{auto_class} has no class for model_type {model_type!r}; it has {heads}."
        )
    if not hasattr(module, name):
        raise UnsupportedModelError(
            f"{name} ({auto_class} of model_type {model_type!r}) is not implemented"
            f"{nearest(name, [n for n in vars(module) if n[0].isupper()])}."
        )
    return getattr(module, name)


@functools.lru_cache(None)
def _owners() -> dict[str, str]:
    """Map upstream class names of the known families to their ``model_type``."""
    owners: dict[str, str] = {}
    known = families()
    for table in AUTO_TABLES.values():
        for model_type, names in getattr(tables, table).items():
            if model_type.replace("-", "_") in known:
                for name in names if isinstance(names, (tuple, list)) else (names,):
                    owners.setdefault(name, model_type)
    return owners


def find_class(name: str) -> type | None:
    """Return the model class called ``name`` in any family, or None."""
    owner = _owners().get(name)
    if owner is None:
        # Names that no auto table holds (LlamaPreTrainedModel): match the family by prefix.
        squeezed = name.lower()
        prefixes = [f for f in families() if squeezed.startswith(f.replace("_", ""))]
        owner = max(prefixes, key=len, default=None)
    return getattr(family_module(owner), name, None) if owner else None
