"""Mirror of ``trl.trainer.dpo_trainer``: direct preference optimization.

Shape letters: P pairs, B = 2 P rows (chosen answers first), S sequence, T = S - 1.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
from transformers.utils import logging

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.trl.trainer import dpo_data
from hfpaddle.trl.trainer.base_trainer import _BaseTrainer
from hfpaddle.trl.trainer.callbacks import SyncRefModelCallback
from hfpaddle.trl.trainer.dpo_config import DPOConfig
from hfpaddle.trl.trainer.dpo_data import REFERENCE, DataCollatorForPreference
from hfpaddle.trl.trainer.dpo_losses import LOSSES, OF_DIFFERENCES, Pairs, divergence_scores
from hfpaddle.trl.trainer.utils import (
    IGNORED,
    TokenScores,
    create_model_from_path,
    disable_dropout_in_model,
    get_config_model_id,
    is_peft_model,
    score_tokens,
    use_adapter,
)

logger = logging.get_logger("trl")

__all__ = ["DPOTrainer", "DataCollatorForPreference"]


class DPOTrainer(_BaseTrainer):
    """Tune a language model on pairs of a chosen and a rejected answer.

    Args:
        model: a model, with an adapter or without, or the name of one.
        ref_model: what the model shall stay near; by default what it was loaded from. With an
            adapter none is kept: the adapter is turned off, or for one that was trained before, a
            copy of it is used.
        args: DPOConfig.
        data_collator: makes a batch of ``prompt_ids``, ``chosen_ids`` and ``rejected_ids``.
        train_dataset: ``datasets.Dataset`` or ``IterableDataset``; needed.
        eval_dataset: the same, or a dict of several.
        processing_class: tokenizer; by default the model's.
        compute_metrics, callbacks, optimizers: as for Trainer.
        peft_config: describes the adapter that is put into the model.

    Each log entry has ``rewards/...``, ``logps/...``, ``logits/...``, ``entropy``,
    ``mean_token_accuracy`` and ``num_tokens``.
    """

    loss_is_scaled_for_ga = False
    _tag_names = ["trl", "dpo"]
    _name = "DPO"

    def __init__(
        self,
        model: Any,
        ref_model: Any = None,
        args: DPOConfig | None = None,
        data_collator: Callable | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        compute_metrics: Callable | None = None,
        callbacks: list | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        quantization_config: Any = None,
        peft_config: Any = None,
    ) -> None:
        if args is None:
            name = model if isinstance(model, str) else get_config_model_id(model.config)
            args = DPOConfig(f"{name.split('/')[-1]}-DPO")
        self._check_data(train_dataset)
        self._check_losses(args)
        model, revision = self._make_model(model, args, quantization_config)
        if ref_model is model:
            raise ValueError(
                "`model` and `ref_model` cannot be the same object. In most cases you should omit "
                "`ref_model` and we'll initialize it to a copy of `model` for you."
            )
        tokenizer = self._make_tokenizer(processing_class, model, revision, args)
        self._set_pad(args.pad_token, tokenizer, model)
        self._tokenizer = tokenizer
        if peft_config is None and ref_model is None and is_peft_model(model):
            _copy_adapter(model)
        model = self._add_adapter(model, peft_config, args)
        if data_collator is None:
            data_collator = DataCollatorForPreference(
                pad_token_id=tokenizer.pad_token_id,
                max_length=args.max_length,
                truncation_mode=args.truncation_mode,
                pad_to_multiple_of=args.pad_to_multiple_of,
            )
        self.beta, self.loss_types = args.beta, args.loss_type
        self.loss_weights = args.loss_weights or [1.0] * len(args.loss_type)
        self.precompute_ref_logps = args.precompute_ref_log_probs
        super().__init__(
            model=model,
            args=args,
            data_collator=data_collator,
            train_dataset=dpo_data.prepare(train_dataset, tokenizer, args, "train"),
            eval_dataset=self._prepared_eval(eval_dataset, tokenizer, args),
            processing_class=tokenizer,
            compute_metrics=compute_metrics,
            callbacks=callbacks,
            optimizers=optimizers,
        )
        self._read_router(args, model.config.get_text_config())
        self._make_reference(ref_model)
        if args.precompute_ref_log_probs:
            self._precompute()

    @staticmethod
    def _check_losses(args: DPOConfig) -> None:
        """Raise for losses that do not exist or do not go together with the other choices."""
        unknown = [name for name in args.loss_type if name not in LOSSES]
        if unknown:
            raise ValueError(f"Unknown loss type: {unknown[0]}. Should be one of {list(LOSSES)}")
        if args.f_divergence_type != "reverse_kl" and not set(args.loss_type) <= OF_DIFFERENCES:
            raise ValueError(
                f"`f_divergence_type='{args.f_divergence_type}'` is only supported for the "
                f"following loss types: {sorted(OF_DIFFERENCES)}. You provided {args.loss_type}. "
                "Use the default `f_divergence_type='reverse_kl'` with these losses."
            )
        if args.use_weighting and {"aot", "aot_unpaired"} & set(args.loss_type):
            raise NotImplementedError(
                "WPO-style weighting is not implemented for 'aot' or 'aot_unpaired' because those "
                "losses sort samples, which would misalign per-pair weights."
            )
        if "robust" in args.loss_type and not 0.0 <= args.label_smoothing < 0.5:
            logger.warning(
                f"'robust' wants label_smoothing in [0, 0.5), not {args.label_smoothing}"
            )
        if "exo_pair" in args.loss_type and args.label_smoothing == 0.0:
            raise ValueError(
                "Label smoothing must be greater than 0.0 when using 'exo_pair' loss. The EXO "
                "paper recommends a value of 1e-3."
            )
        if args.padding_free:
            logger.warning("padding_free=True is not available in DPOTrainer: batches are padded.")

    # Reference

    def _make_reference(self, given: Any) -> None:
        """Set ``ref_model``: the given one, one loaded anew, or None where none is needed."""
        args, self.ref_model = self.args, given
        adapted = is_peft_model(self.model)
        if given is None and not adapted and not args.precompute_ref_log_probs:
            self.ref_model = self._load_reference()
        if args.disable_dropout:
            disable_dropout_in_model(self.model)
        if self.ref_model is not None:
            if args.disable_dropout:
                disable_dropout_in_model(self.ref_model)
            self.ref_model.to(args._device_name)
            self.ref_model.eval()
        if args.sync_ref_model:
            if adapted:
                raise NotImplementedError(
                    "You passed `sync_ref_model=True` while using a PEFT model: the reference is "
                    "the model without its adapter, so there is none to synchronize. Use "
                    "`sync_ref_model=False`."
                )
            if args.precompute_ref_log_probs:
                raise ValueError(
                    "You cannot use `sync_ref_model=True` together with "
                    "`precompute_ref_log_probs=True`: the reference would change after its "
                    "log-probs were computed."
                )
            self.add_callback(SyncRefModelCallback(self.ref_model))

    def _load_reference(self) -> Any:
        path = get_config_model_id(self.model.config)
        if not path:
            raise UnsupportedArgumentError(
                "DPOTrainer: the model was not loaded from a checkpoint, so its reference cannot "
                "be. Pass `ref_model`, or give the model as a path."
            )
        kwargs = dict(self.args.model_init_kwargs or {})
        kwargs.setdefault("trust_remote_code", self.args.trust_remote_code)
        kwargs.setdefault("dtype", str(self.model.dtype).rpartition(".")[2])
        return create_model_from_path(path, **kwargs)

    @contextlib.contextmanager
    def _reference(self) -> Any:
        """Give the model that answers for the reference."""
        with paddle.no_grad():
            if self.ref_model is not None:
                yield self.ref_model
            elif is_peft_model(self.model):
                with use_adapter(self.model, "ref" if "ref" in self.model.peft_config else None):
                    yield self.model
            else:
                yield self.model

    def compute_ref_log_probs(self, model: Any, inputs: Any) -> tuple[Any, Any]:
        """Return the reference's log-probabilities of chosen and rejected answers, ``[P]`` each.

        Args:
            model: unused where the reference is the model without its adapter.
        """
        with self._reference() as found:
            model = found if self.ref_model is None else model
            scores = self._score_answers(model, inputs, reference=True)
        totals = self._sums(scores.log_probs, inputs["completion_mask"][:, 1:])
        return tuple(paddle.chunk(totals, 2))

    def _precompute(self) -> None:
        """Add the reference's log-probabilities to the datasets."""
        size = self.args.precompute_ref_batch_size
        train = size or self.args.per_device_train_batch_size
        self.train_dataset = self._with_reference(self.train_dataset, train)
        if self.eval_dataset is not None:
            self.eval_dataset = self._each(self.eval_dataset, self._with_reference_eval)

    def _with_reference_eval(self, dataset: Any, name: str = "eval") -> Any:
        size = self.args.precompute_ref_batch_size or self.args.per_device_eval_batch_size
        return self._with_reference(dataset, size)

    def _with_reference(self, dataset: Any, batch_size: int) -> Any:
        from datasets import Dataset

        if not isinstance(dataset, Dataset):
            raise ValueError(
                "`precompute_ref_log_probs=True` is not supported with IterableDataset. Please use "
                "a map-style Dataset or set `precompute_ref_log_probs=False`."
            )
        if set(REFERENCE) <= set(dataset.column_names):
            return dataset
        model, found = self.ref_model or self.model, ([], [])
        was_training = model.training
        model.eval()
        keys = ("prompt_ids", "chosen_ids", "rejected_ids")
        for start in range(0, len(dataset), batch_size):
            columns = dataset[start : start + batch_size]
            rows = [
                dict(zip(keys, values, strict=True))
                for values in zip(*(columns[key] for key in keys), strict=True)
            ]
            batch = self._prepare_inputs(self.data_collator(rows))
            for values, logps in zip(found, self.compute_ref_log_probs(model, batch), strict=True):
                values.append(logps.numpy())
        if was_training:
            model.train()
        for name, values in zip(REFERENCE, found, strict=True):
            dataset = dataset.add_column(name, np.concatenate(values))
        return dataset

    # Data

    @staticmethod
    def _each(dataset: Any, function: Callable) -> Any:
        """Apply ``function`` to a dataset and its name, or to each of several."""
        if isinstance(dataset, dict):
            return {name: function(part, name) for name, part in dataset.items()}
        return None if dataset is None else function(dataset, "eval")

    def _prepared_eval(self, dataset: Any, tokenizer: Any, args: DPOConfig) -> Any:
        return self._each(dataset, lambda part, name: dpo_data.prepare(part, tokenizer, args, name))

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """As Trainer's; a dataset given here is prepared like the own ones."""
        if eval_dataset is not None and not isinstance(eval_dataset, str):
            trained = self.state.global_step > 0 and not is_peft_model(self.model)
            eval_dataset = self._prepared_eval(eval_dataset, self.processing_class, self.args)
            if self.precompute_ref_logps:
                known = _has_reference(eval_dataset)
                if self.ref_model is None and trained and not known:
                    raise ValueError(
                        "Cannot compute reference log-probs for a dataset passed to `evaluate()` "
                        "after training has started, because `precompute_ref_log_probs=True` and "
                        "no `ref_model` was provided. Provide this dataset as `eval_dataset` at "
                        "initialization, pass an explicit `ref_model`, or set "
                        "`precompute_ref_log_probs=False`."
                    )
                eval_dataset = self._each(eval_dataset, self._with_reference_eval)
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            self._signature_columns = ["prompt_ids", "chosen_ids", "rejected_ids", *REFERENCE]

    def _labels_of(self, inputs: Any) -> Any:
        return inputs["input_ids"]

    # Loss

    def _score_answers(self, model: Any, inputs: Any, reference: bool = False) -> Any:
        """Score the answers' tokens. Returns scores at the T positions; else outputs as well."""
        mask_BS = inputs["completion_mask"]
        labels = paddle.where(
            mask_BS == 0, paddle.full_like(inputs["input_ids"], IGNORED), inputs["input_ids"]
        )
        given = {k: v for k, v in inputs.items() if k not in ("completion_mask", *REFERENCE)}
        if reference:
            logits = model(**given, use_cache=False).logits
            return _last(score_tokens(logits, labels, statistics=False), mask_BS.shape[1] - 1)
        scores, outputs = self._score(model, given, labels)
        return _last(scores, mask_BS.shape[1] - 1), outputs

    def _sums(self, values_BT: paddle.Tensor, mask_BT: paddle.Tensor) -> paddle.Tensor:
        """Add up log-probabilities; with ``ld_alpha`` the longer answer's rest counts less."""
        if self.args.ld_alpha is None:
            return values_BT.sum(axis=1)
        position = mask_BT.cumsum(axis=1)
        shared = paddle.minimum(*paddle.chunk(mask_BT.sum(axis=1), 2))
        limit = paddle.concat([shared, shared]).unsqueeze(1)
        weight = paddle.where(
            position <= limit,
            paddle.ones_like(values_BT),
            paddle.full_like(values_BT, self.args.ld_alpha),
        )
        return (values_BT * weight * (position > 0).astype(values_BT.dtype)).sum(axis=1)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a batch of pairs, and note its metrics."""
        args, mask_BS = self.args, inputs["completion_mask"]
        mask_BT = mask_BS[:, 1:].astype("float32")
        scores, outputs = self._score_answers(model, inputs)
        chosen, rejected = paddle.chunk(self._sums(scores.log_probs, mask_BS[:, 1:]), 2)
        if self.precompute_ref_logps:
            references = tuple(inputs[key] for key in REFERENCE)
        else:
            references = self.compute_ref_log_probs(self.ref_model, inputs)
        kind, coefficient = args.f_divergence_type, args.f_alpha_divergence_coef
        lengths = paddle.chunk(mask_BS.sum(axis=1).astype("float32"), 2)
        half = mask_BT.shape[0] // 2
        total = mask_BT[:half].sum()
        pairs = Pairs(
            *(chosen, rejected, *references),
            divergence_scores(chosen - references[0], kind, coefficient),
            divergence_scores(rejected - references[1], kind, coefficient),
            *lengths,
            (scores.log_probs[:half] * mask_BT[:half]).sum() / total,
        )
        loss = paddle.zeros([])
        for name, weight in zip(self.loss_types, self.loss_weights, strict=True):
            each = LOSSES[name](pairs, args)
            if args.use_weighting:
                each = each * self._pair_weights(scores, mask_BT)
            loss = loss + each.mean() * weight
        if scores.aux_loss is not None:
            loss = loss + self.router_aux_loss_coef * scores.aux_loss
            self._note(aux_loss=scores.aux_loss)
        self._note_pairs(pairs, scores, mask_BT)
        self._count_tokens(int(inputs["attention_mask"].sum()))
        return (loss, outputs) if return_outputs else loss

    @staticmethod
    def _pair_weights(scores: TokenScores, mask_BT: paddle.Tensor) -> paddle.Tensor:
        """arXiv:2406.11827, eq. 2: the product of both answers' mean probabilities, no gradient."""
        aligned = (scores.log_probs.detach() - scores.log_sum_sq_probs) * mask_BT
        means = aligned.sum(axis=1) / mask_BT.sum(axis=1).clip(min=1.0)
        chosen, rejected = paddle.chunk(means.exp(), 2)
        return chosen * rejected

    @paddle.no_grad()
    def _note_pairs(self, pairs: Pairs, scores: TokenScores, mask_BT: paddle.Tensor) -> None:
        half = mask_BT.shape[0] // 2
        counts = [float(mask_BT[:half].sum()), float(mask_BT[half:].sum())]
        logits = [
            float((m * mask_BT[i * half :][:half]).sum())
            for i, m in enumerate(paddle.chunk(scores.mean_logits, 2))
        ]
        hits = float((scores.is_top1[:half].astype("float32") * mask_BT[:half]).sum())
        chosen, rejected = self.beta * pairs.chosen_ratios, self.beta * pairs.rejected_ratios
        self._note(
            entropy=_over(float((scores.entropy * mask_BT).sum()), sum(counts)),
            logits__chosen=_over(logits[0], counts[0]),
            logits__rejected=_over(logits[1], counts[1]),
            mean_token_accuracy=_over(hits, counts[0]),
            rewards__chosen=chosen.mean(),
            rewards__rejected=rejected.mean(),
            rewards__accuracies=(chosen > rejected).astype("float32").mean(),
            rewards__margins=(chosen - rejected).mean(),
            logps__chosen=pairs.chosen.mean(),
            logps__rejected=pairs.rejected.mean(),
        )


def _over(total: float, count: float) -> float:
    return total / count if count else 0.0


def _has_reference(dataset: Any) -> bool:
    parts = dataset.values() if isinstance(dataset, dict) else [dataset]
    return all(set(REFERENCE) <= set(part.column_names) for part in parts)


def _last(scores: TokenScores, count: int) -> TokenScores:
    """Leave out the positions of virtual tokens."""
    per_token = {k: v for k, v in vars(scores).items() if k != "aux_loss"}
    kept = {k: None if v is None else v[:, -count:] for k, v in per_token.items()}
    return TokenScores(**kept, aux_loss=scores.aux_loss)


@paddle.no_grad()
def _copy_adapter(model: Any) -> None:
    """Add an adapter ``ref`` with the weights of ``default``, for the reference."""
    model.add_adapter("ref", model.peft_config["default"])
    named = dict(model.named_parameters())
    for name, weight in named.items():
        if ".default." in name:
            paddle.assign(weight, output=named[name.replace(".default.", ".ref.")])
