"""The README.md of an adapter's folder."""

from __future__ import annotations

import os
from typing import Any


def write_card(model: Any, folder: str | os.PathLike) -> None:
    """Write or update the model card: library, base model, tags and task of the adapter."""
    from huggingface_hub import ModelCard, ModelCardData

    from hfpaddle.modeling.base import PreTrainedModel
    from hfpaddle.peft.config import __version__
    from hfpaddle.peft.peft_model import PeftModelForCausalLM

    path = os.path.join(folder, "README.md")
    base = model.get_base_model()
    if os.path.exists(path):
        card = ModelCard.load(path)
    else:
        card = ModelCard.from_template(ModelCardData())
    card.data["library_name"] = "peft"
    name = getattr(base, "name_or_path", None)
    tags: set[str] = set(getattr(base, "model_tags", None) or ())
    if isinstance(base, PreTrainedModel):
        tags.add("transformers")
    if model.peft_type == "LORA":
        tags.add("lora")
    if name is not None:
        tags.add(f"base_model:adapter:{name}")
        card.data["base_model"] = name
    card.data["tags"] = sorted(tags)
    if not card.data.pipeline_tag and isinstance(model, PeftModelForCausalLM):
        card.data.pipeline_tag = "text-generation"
    line, heading, lines = f"- PEFT {__version__}", "### Framework versions", card.text.splitlines()
    if line not in lines:
        if heading in lines:
            lines.insert(lines.index(heading) + 2, line)
        else:
            lines.append(f"{heading}\n\n{line}")
    card.text = "\n".join(lines)
    card.save(path)
