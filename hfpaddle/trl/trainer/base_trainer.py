"""Mirror of ``trl.trainer.base_trainer``: what the trainers share.

Model, tokenizer and adapter are made as in trl, in its order, so that the same seed gives the same
numbers.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import paddle
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.transformers.trainer import Trainer
from hfpaddle.transformers.trainer_utils import set_seed
from hfpaddle.trl.trainer.utils import (
    TokenScores,
    create_model_from_path,
    get_config_model_id,
    is_peft_model,
    score_tokens,
)

logger = logging.get_logger("trl")

CARD = """---
{data}
---

# {name}

{base}It was trained on Paddle with hfpaddle's {trainer} trainer, whose surface is that of trl
{trl_version}.
"""


class _BaseTrainer(Trainer):
    """Trainer with metrics of its own in each log entry, and a model that may come by name."""

    _tag_names: list[str] = []
    _name = "Base"
    _auto_class: str | None = None
    _model_kwargs: dict[str, Any] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._metrics: dict[str, dict[str, list]] = {
            "train": defaultdict(list),
            "eval": defaultdict(list),
        }
        self._total_train_tokens = 0
        super().__init__(*args, **kwargs)
        known = list(getattr(self.model, "model_tags", None) or [])
        self.model.model_tags = [*known, *(t for t in self._tag_names if t not in known)]

    # Before Trainer.__init__

    @classmethod
    def _check_data(cls, train_dataset: Any) -> None:
        """Raise unless ``train_dataset`` is one of the package datasets, of text."""
        from datasets import Dataset, IterableDataset

        if train_dataset is None:
            raise ValueError("`train_dataset` is required")
        if not isinstance(train_dataset, (Dataset, IterableDataset)):
            raise TypeError(
                "`train_dataset` must be a `Dataset` or `IterableDataset`, got "
                f"`{type(train_dataset).__name__}`."
            )
        columns = set(next(iter(train_dataset)))
        if columns & {"image", "images"}:
            raise UnsupportedArgumentError(
                f"{cls.__name__}: the dataset has images, and vision-language models are not "
                "implemented. Remove the columns 'image' and 'images' to train on the text."
            )

    def _make_model(self, model: Any, args: Any, quantization_config: Any) -> tuple[Any, Any]:
        """Return the model, loaded if it is a name, and the revision for its tokenizer."""
        if quantization_config is not None:
            raise UnsupportedArgumentError(
                f"{type(self).__name__}(quantization_config=...): quantized training is not "
                "implemented. Leave it out."
            )
        set_seed(args.seed)  # adapters and new heads draw from it
        kwargs = dict(args.model_init_kwargs or {})
        if not isinstance(model, str):
            if kwargs:
                logger.warning("model_init_kwargs are ignored: the model is instantiated already.")
            return model, None
        kwargs = {**kwargs, **self._model_kwargs}
        kwargs.setdefault("trust_remote_code", args.trust_remote_code)
        architecture = None
        if self._auto_class is not None:
            from hfpaddle import transformers

            architecture = getattr(transformers, self._auto_class)
        return create_model_from_path(model, architecture, **kwargs), kwargs.get("revision")

    @staticmethod
    def _make_tokenizer(processing_class: Any, model: Any, revision: Any, args: Any) -> Any:
        """Return the tokenizer, the model's own if none is given.

        Raises: TypeError for something else, as processors of images.
        """
        if processing_class is None:
            from hfpaddle.transformers import AutoTokenizer

            further = {} if revision is None else {"revision": revision}
            processing_class = AutoTokenizer.from_pretrained(
                get_config_model_id(model.config), **further
            )
        if not isinstance(processing_class, PreTrainedTokenizerBase):
            raise TypeError(
                "The `processing_class` must be a `PreTrainedTokenizerBase`, got "
                f"`{type(processing_class).__name__}`: models of images and text are not "
                "implemented."
            )
        return processing_class

    @staticmethod
    def _check_token(kind: str, token: str | None, tokenizer: Any) -> None:
        if token not in tokenizer.get_vocab():
            raise ValueError(
                f"The specified `{kind}` ('{token}') is not found in the vocabulary of the given "
                f"`processing_class` ({type(tokenizer).__name__}). Ensure that the `{kind}` exists "
                "in the vocabulary."
            )

    def _set_eos(self, token: str, tokenizer: Any, model: Any) -> None:
        """Make ``token`` the end of texts for tokenizer, model and generation."""
        self._check_token("eos_token", token, tokenizer)
        tokenizer.eos_token = token
        model.config.get_text_config().eos_token_id = tokenizer.eos_token_id
        generation = getattr(model, "generation_config", None)
        if generation is not None:
            known = generation.eos_token_id
            known = [known] if isinstance(known, int) else list(known or [])
            if tokenizer.eos_token_id not in known:
                generation.eos_token_id = [tokenizer.eos_token_id, *known]

    def _set_pad(self, token: str | None, tokenizer: Any, model: Any) -> None:
        """Make ``token``, or the tokenizer's own, or its end token, that of padding."""
        token = token or tokenizer.pad_token or tokenizer.eos_token
        self._check_token("pad_token", token, tokenizer)
        tokenizer.pad_token = token
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        if getattr(model, "generation_config", None) is not None:
            model.generation_config.pad_token_id = tokenizer.pad_token_id

    @staticmethod
    def _set_chat_template(path: str | None, tokenizer: Any, model: Any) -> tuple:
        """Return model, tokenizer with the template at ``path``, and tokens that it added."""
        if path is None:
            return model, tokenizer, []
        if os.path.isfile(path) and path.endswith((".jinja", ".j2")):
            tokenizer.chat_template = Path(path).read_text(encoding="utf-8")
            return model, tokenizer, []
        from hfpaddle.trl.chat_template_utils import clone_chat_template

        return clone_chat_template(model, tokenizer, path)

    def _add_adapter(
        self, model: Any, config: Any, args: Any, added: list[int] | tuple = ()
    ) -> Any:
        """Put the adapter that ``config`` describes into the model.

        Args:
            added: new tokens, whose embeddings have to be trained as well.
        """
        if config is not None:
            from hfpaddle.peft import PeftConfig, get_peft_model

            if not isinstance(config, PeftConfig):
                raise TypeError(
                    "`peft_config` must be a `peft.PeftConfig` instance (e.g. `peft.LoraConfig`), "
                    f"got {type(config).__name__}."
                )
            if is_peft_model(model):
                raise ValueError(
                    "You passed a `PeftModel` instance together with a `peft_config` to the "
                    "trainer. Merge and unload the existing adapter first, or leave one out."
                )
            if added:
                raise UnsupportedArgumentError(
                    f"{type(self).__name__}: chat_template_path added {len(added)} tokens, and an "
                    "adapter that trains these tokens alone (trainable_token_indices) is not "
                    "implemented. Clone the template beforehand, and train with "
                    "modules_to_save=['embed_tokens', 'lm_head']."
                )
            model = get_peft_model(model, config)
        if is_peft_model(model) and args.gradient_checkpointing:
            model.enable_input_require_grads()
        return model

    def _read_router(self, args: Any, config: Any) -> None:
        """Decide whether the load-balancing loss of a mixture of experts is added.

        Raises: ValueError for a coefficient where there are no experts.
        """
        given, routes = args.router_aux_loss_coef, hasattr(config, "output_router_logits")
        own = getattr(config, "router_aux_loss_coef", 0.0)
        self.router_aux_loss_coef = own if given is None else given
        if given and not routes:
            raise ValueError(
                f"`router_aux_loss_coef` is set to {given} but {type(self.model).__name__} is not "
                "a Mixture-of-Experts model that returns its router logits, so there is no "
                "auxiliary loss to weight."
            )
        self.aux_loss_enabled = routes and self.router_aux_loss_coef != 0.0

    # Scores and metrics

    def _score(self, model: Any, inputs: dict[str, Any], labels: Any) -> tuple[TokenScores, Any]:
        """Run the model. Returns the scores of ``labels``, and its outputs."""
        inputs = {**inputs, "use_cache": False}
        if self.aux_loss_enabled:
            inputs["output_router_logits"] = True
        outputs = model(**inputs)
        scores = score_tokens(outputs.logits, labels)
        if self.aux_loss_enabled:
            scores.aux_loss = outputs.aux_loss
        return scores, outputs

    @property
    def _mode(self) -> str:
        return "train" if self.model.training else "eval"

    def _count_tokens(self, count: int) -> None:
        if self._mode == "train":
            self._total_train_tokens += count
        self._metrics[self._mode]["num_tokens"] = [self._total_train_tokens]

    def _note(self, **metrics: Any) -> None:
        """Keep values of this batch for the next log entry; ``__`` in a name becomes ``/``."""
        for name, value in metrics.items():
            self._metrics[self._mode][name.replace("__", "/")].append(float(value))

    @staticmethod
    def _mean(values: list[float]) -> float | None:
        return sum(values) / len(values)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means of this trainer's metrics since the last entry, and log."""
        mode, prefix = self._mode, "" if self.model.training else "eval_"
        for name, values in self._metrics[mode].items():
            logs[prefix + name] = self._mean(values)
        super().log(logs, start_time)
        self._metrics[mode].clear()

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Any, Any, Any]:
        """Return the loss of a batch, and unless it alone is wanted, logits and labels."""
        inputs = self._prepare_inputs(inputs)
        with paddle.no_grad(), self.compute_loss_context_manager():
            if prediction_loss_only:
                return self.compute_loss(model, inputs).detach(), None, None
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        return loss.detach(), outputs.logits.detach(), self._labels_of(inputs)

    def _labels_of(self, inputs: Any) -> Any:
        return inputs.get("labels")

    # Cards

    def create_model_card(
        self, model_name: str | None = None, dataset_name: str | None = None, tags: Any = None
    ) -> None:
        """Write ``README.md`` into the output folder."""
        from huggingface_hub import ModelCardData

        from hfpaddle.trl import __version__

        base = get_config_model_id(self.model.config)
        base = None if not base or os.path.isdir(base) else base
        given = [tags] if isinstance(tags, str) else list(tags or [])
        names = dict.fromkeys(["generated_from_trainer", *given, *self._tag_names])
        data = ModelCardData(
            base_model=base,
            datasets=dataset_name,
            library_name="transformers",
            model_name=model_name,
            tags=list(names),
        )
        text = CARD.format(
            data=data.to_yaml(),
            name=model_name,
            base=f"A fine-tuned version of {base}. " if base else "",
            trainer=self._name,
            trl_version=__version__,
        )
        Path(self.args.output_dir, "README.md").write_text(text, encoding="utf-8")

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.create_model_card(model_name=self._card_name())
        super()._save_checkpoint(model, trial)
