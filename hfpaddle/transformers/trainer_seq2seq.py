"""Mirror of ``transformers.trainer_seq2seq``: a Trainer that evaluates what a model generates."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import paddle
from transformers import GenerationConfig

from hfpaddle.transformers.trainer import Trainer


class Seq2SeqTrainer(Trainer):
    """Trainer whose predictions are generated tokens with ``predict_with_generate``."""

    _repeat_last_loss = True

    def __init__(
        self,
        model: Any = None,
        args: Any = None,
        data_collator: Any = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        model_init: Any = None,
        compute_loss_func: Any = None,
        compute_metrics: Any = None,
        callbacks: list | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        preprocess_logits_for_metrics: Any = None,
        tokenizer: Any = None,
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            data_collator=data_collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            model_init=model_init,
            compute_loss_func=compute_loss_func,
            compute_metrics=compute_metrics,
            callbacks=callbacks,
            optimizers=optimizers,
            preprocess_logits_for_metrics=preprocess_logits_for_metrics,
            tokenizer=tokenizer,
        )
        self._gen_kwargs: dict[str, Any] = {}
        wanted = getattr(self.args, "generation_config", None)
        if wanted is not None:
            self.model.generation_config = self.load_generation_config(wanted)

    @staticmethod
    def load_generation_config(gen_config_arg: Any) -> GenerationConfig:
        """Return a valid GenerationConfig from one, a folder, a file or a name on the Hub.

        Raises: ValueError for settings that contradict one another.
        """
        if isinstance(gen_config_arg, GenerationConfig):
            config = copy.deepcopy(gen_config_arg)
        elif Path(gen_config_arg).is_file():
            path = Path(gen_config_arg)
            config = GenerationConfig.from_pretrained(path.parent, path.name)
        else:
            config = GenerationConfig.from_pretrained(gen_config_arg)
        try:
            config.validate(strict=True)
        except ValueError as error:
            raise ValueError(f"{error}\n\nFix these issues to train your model.") from error
        return config

    def _keep_generation_arguments(self, given: dict[str, Any]) -> None:
        lengths = (given.get("max_length"), given.get("max_new_tokens"))
        if lengths == (None, None) and self.args.generation_max_length is not None:
            given["max_length"] = self.args.generation_max_length
        if given.get("num_beams") is None and self.args.generation_num_beams is not None:
            given["num_beams"] = self.args.generation_num_beams
        self._gen_kwargs = given

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: Any = None,
        metric_key_prefix: str = "eval",
        **gen_kwargs: Any,
    ) -> dict[str, float]:
        """`Trainer.evaluate`; further keywords go to ``generate``."""
        self._keep_generation_arguments(gen_kwargs)
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    def predict(
        self,
        test_dataset: Any,
        ignore_keys: Any = None,
        metric_key_prefix: str = "test",
        **gen_kwargs: Any,
    ) -> Any:
        """`Trainer.predict`; further keywords go to ``generate``."""
        self._keep_generation_arguments(gen_kwargs)
        return super().predict(test_dataset, ignore_keys, metric_key_prefix)

    def prediction_step(
        self,
        model: Any,
        inputs: Any,
        prediction_loss_only: bool,
        ignore_keys: Any = None,
        **gen_kwargs: Any,
    ) -> Any:
        """Return the loss, generated tokens ``[B, S]`` and labels, both padded to full length."""
        if not self.args.predict_with_generate or prediction_loss_only:
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        inputs = self._prepare_inputs(inputs)
        given = gen_kwargs or dict(self._gen_kwargs)
        given = {k: v for k, v in given.items() if v is not None or k not in _OPTIONAL}
        source = dict(inputs)
        decoder, labels = source.get("decoder_input_ids"), source.get("labels")
        if decoder is not None and labels is not None and decoder.shape == labels.shape:
            # They were made from the labels: generation must not go on from those.
            source.pop("decoder_input_ids"), source.pop("decoder_attention_mask", None)
        tokens = self.model.generate(**source, **given)
        config = self.model.generation_config
        config.update(**config._get_default_generation_params(), defaults_only=True)
        tokens = self._to_full_length(tokens, config)
        loss = None
        with paddle.no_grad(), self.compute_loss_context_manager():
            if labels is not None:
                outputs = model(**inputs)
                if self.label_smoother is not None:
                    loss = self.label_smoother(outputs, labels)
                else:
                    loss = outputs["loss"] if isinstance(outputs, dict) else outputs[0]
                loss = loss.detach().mean()
        if self.args.prediction_loss_only:
            return loss, None, None
        return loss, tokens, None if labels is None else self._to_full_length(labels, config)

    def _to_full_length(self, tokens: paddle.Tensor, config: GenerationConfig) -> paddle.Tensor:
        length = tokens.shape[-1]
        if config.max_length is not None and length < config.max_length:
            return self._pad_tensors_to_max_len(tokens, config.max_length)
        if config.max_new_tokens is not None and length < config.max_new_tokens + 1:
            return self._pad_tensors_to_max_len(tokens, config.max_new_tokens + 1)
        return tokens

    def _pad_tensors_to_max_len(self, tensor: paddle.Tensor, max_length: int) -> paddle.Tensor:
        """Return ``[B, max_length]``, filled with the padding token.

        Raises: ValueError if neither tokenizer nor config has one.
        """
        keeper = self.processing_class
        if keeper is not None and hasattr(keeper, "pad_token_id"):
            pad = keeper.eos_token_id if keeper.pad_token_id is None else keeper.pad_token_id
        else:
            pad = getattr(self.model.config, "pad_token_id", None)
        if pad is None:
            raise ValueError(
                "Pad_token_id must be set in the configuration of the model, to pad tensors with."
            )
        shape = [tensor.shape[0], max_length - tensor.shape[-1]]
        filling = paddle.full(shape, pad, dtype=tensor.dtype).to(tensor.place)
        return paddle.concat([tensor, filling], axis=-1)


_OPTIONAL = ("num_beams", "max_length")
