"""Arguments of `generate` in a pipeline: the user's, the model's own, then the task's defaults.

Shape letters: B inputs of a batch, R sequences returned for each, T tokens, V vocabulary.
"""

from __future__ import annotations

import copy
import enum
from typing import Any

import paddle
from transformers import GenerationConfig

from hfpaddle.core.outputs import ModelOutput

# These mean nothing without sampling, and generate warns about them.
_SAMPLING = frozenset(
    "temperature top_k top_p min_p top_h typical_p epsilon_cutoff eta_cutoff".split()
)


def _fields() -> set[str]:
    """Return the names of all generation parameters."""
    return {key for key in vars(GenerationConfig()) if not key.startswith("_")}


class GenerateMixin:
    """For pipelines whose model generates."""

    # What applies where neither the user nor the model's generation config says anything.
    _default_generation_config: GenerationConfig | None = None
    # Parameters of the pipeline that only look like those of generate.
    _non_generation_params: tuple[str, ...] = ()
    assistant_model: Any = None
    assistant_tokenizer: Any = None
    model: Any
    tokenizer: Any

    def _prepare(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Keep generation parameters for every call; return the other arguments."""
        pair = kwargs.pop("assistant_model", None), kwargs.pop("assistant_tokenizer", None)
        if not self.model.can_generate():
            return kwargs
        self.assistant_model, self.assistant_tokenizer = load_assistant(self.model, *pair)
        self.prefix = getattr(self.model.config, "prefix", None)
        mine = (_fields() - set(self._non_generation_params)) | {"generation_config"}
        self._generate_kwargs = {key: value for key, value in kwargs.items() if key in mine}
        defaults = self._default_generation_config
        self._generation_defaults = {} if defaults is None else defaults.to_diff_dict()
        self._generation_defaults.pop("transformers_version", None)
        if self.tokenizer is not None and self.tokenizer.pad_token_id is not None:
            self._generation_defaults["pad_token_id"] = self.tokenizer.pad_token_id
        return {key: value for key, value in kwargs.items() if key not in mine}

    def _prepare_generate_kwargs(self, generate_kwargs: dict, **overrides: Any) -> dict:
        """Return what to pass to generate: the call's arguments over those given at the start.

        A ``generation_config`` of the call replaces those of the start. The defaults are added for
        what nobody set, those of sampling only when sampling; they go into a copy of a
        ``generation_config``, because generate takes a config or parameters.
        """
        if "generation_config" not in generate_kwargs:
            generate_kwargs = {**self._generate_kwargs, **generate_kwargs}
        known = self._get_set_generation_params(generate_kwargs)
        added = {k: v for k, v in self._generation_defaults.items() if k not in known}
        if "max_length" in known:  # it would lose against a default number of new tokens
            added.pop("max_new_tokens", None)
        if not {**known, **added}.get("do_sample"):
            added = {key: value for key, value in added.items() if key not in _SAMPLING}
        added.update(overrides)
        config = generate_kwargs.get("generation_config")
        if config is None:
            return {**generate_kwargs, **added}
        config = copy.deepcopy(config)
        config.update(**added)
        return {**generate_kwargs, "generation_config": config}

    def _get_set_generation_params(self, generate_kwargs: dict) -> dict:
        """Return what the arguments, their config or the model's config set."""
        known = self.model.generation_config.to_diff_dict()
        config = generate_kwargs.get("generation_config")
        if config is not None:
            known.update(config.to_diff_dict())
        return {**known, **generate_kwargs}

    def _make_room(self, inputs: Any, generate_kwargs: dict) -> None:
        """Cut the beginning of the prompt so that the new tokens fit into the model's limit."""
        length, limit = inputs["input_ids"].shape[-1], self.tokenizer.model_max_length
        params = self._get_set_generation_params(self._prepare_generate_kwargs(generate_kwargs))
        new = params.get("max_new_tokens")
        if new is None:
            new = params["max_length"] - length
            if new < 0:
                raise ValueError("We cannot infer how many new tokens are expected")
        if length + new <= limit:
            return
        if new >= limit:
            raise ValueError(
                "We cannot use `hole` to handle this generation the number of desired tokens "
                f"({new}) exceeds the models max length ({limit})"
            )
        for name in ("input_ids", "attention_mask"):
            if name in inputs:
                inputs[name] = inputs[name][:, new - limit :]


def load_assistant(model: Any, assistant: Any, tokenizer: Any) -> tuple[Any, Any]:
    """Return the draft model, and its tokenizer if it is not the main model's.

    Args:
        assistant: a model, or the name of one.
    Raises: ValueError if the vocabularies differ and there is no tokenizer.
    """
    if assistant is None:
        return None, None
    if isinstance(assistant, str):
        from hfpaddle.modeling.auto import AutoModelForCausalLM
        from hfpaddle.transformers.tokenization import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(assistant)
        assistant = AutoModelForCausalLM.from_pretrained(assistant).to(model.device, model.dtype)
    ours, theirs = model.config.get_text_config(), assistant.config.get_text_config()
    shared = ("vocab_size", "eos_token_id", "pad_token_id", "bos_token_id")
    if all(getattr(ours, name) == getattr(theirs, name) for name in shared):
        return assistant, None
    if tokenizer is None:
        raise ValueError(
            "The assistant model has a different tokenizer than the main model. You should pass "
            "the assistant tokenizer."
        )
    return assistant, tokenizer


class ReturnType(enum.Enum):
    """What a result holds."""

    TENSORS = 0
    NEW_TEXT = 1
    FULL_TEXT = 2


def given(**values: Any) -> dict[str, Any]:
    """Return the arguments that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def chosen_return(
    chosen: ReturnType | None, full: bool | None, tensors: bool | None, text: bool | None
) -> ReturnType | None:
    """Return what is asked for. Raises: ValueError for two answers at once."""
    if chosen is not None:
        return chosen
    named = {"return_full_text": full, "return_tensors": tensors, "return_text": text}
    asked = list(given(**named))
    if len(asked) > 1:
        raise ValueError(f"`{asked[1]}` is mutually exclusive with `{asked[0]}`")
    if full is not None:
        return ReturnType.FULL_TEXT if full else ReturnType.NEW_TEXT
    return None if tensors is None else ReturnType.TENSORS


def per_sequence(output: ModelOutput, batch: int) -> dict[str, paddle.Tensor]:
    """Return what generate tells of each sequence, ``[B, R, ...]``: scores ``[B, R, T, V]``."""
    found, count = {}, output.sequences.shape[0]
    for key, value in output.items():
        if key in ("sequences", "past_key_values"):
            continue
        if isinstance(value, tuple) and isinstance(value[0], paddle.Tensor):
            value = paddle.stack(value, axis=1) if value[0].shape[0] == count else None
        if isinstance(value, paddle.Tensor) and value.shape[0] == count:
            found[key] = value.reshape([batch, count // batch, *value.shape[1:]])
    return found
