"""Mirror of ``trl.trainer.grpo_trainer``: group relative policy optimization.

Completions are generated in the loop by ``model.generate``, from the seeded default stream.
Shape letters: B completions, P prompt tokens, C completion tokens, F reward functions.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import paddle
from transformers import GenerationConfig
from transformers.utils import logging

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.transformers.trainer_utils import set_seed
from hfpaddle.trl.chat_template_utils import parse_response
from hfpaddle.trl.data_utils import is_conversational
from hfpaddle.trl.trainer import grpo_losses as losses
from hfpaddle.trl.trainer.base_trainer import _BaseTrainer
from hfpaddle.trl.trainer.callbacks import SyncRefModelCallback
from hfpaddle.trl.trainer.dpo_trainer import _copy_adapter
from hfpaddle.trl.trainer.grpo_completions import CompletionLog
from hfpaddle.trl.trainer.grpo_config import GRPOConfig
from hfpaddle.trl.trainer.grpo_data import (
    RepeatSampler,
    cut_after_end,
    is_stream,
    repeat_iterable_dataset,
    shuffle_rows,
    split_rows,
)
from hfpaddle.trl.trainer.grpo_rewards import Rewards
from hfpaddle.trl.trainer.utils import (
    IGNORED,
    create_model_from_path,
    disable_dropout_in_model,
    get_config_model_id,
    is_peft_model,
    pad,
    use_adapter,
)

logger = logging.get_logger("trl")

__all__ = ["GRPOTrainer", "RepeatSampler", "RewardFunc", "repeat_iterable_dataset"]

# The name of a reward model, one, or a function of prompts and completions.
RewardFunc = str | paddle.nn.Layer | Callable[..., list[float | None]]

ENTROPY_STATE = "entropy_ctrl_state.json"


class GRPOTrainer(_BaseTrainer):
    """Tune a language model by rewards of its own completions, several for each prompt.

    Args:
        model: a model, with an adapter or without, or the name of one.
        reward_funcs: ``(prompts, completions, completion_ids, **columns) -> [float | None]``, which
            may be a coroutine function; a reward model or the name of one; or a list of such.
            Functions also get ``trainer_state``, ``log_extra`` and ``log_metric``.
        args: GRPOConfig.
        train_dataset: ``datasets.Dataset`` or ``IterableDataset`` with the column ``prompt``, texts
            or messages; needed.
        eval_dataset: the same, or a dict of several.
        processing_class: tokenizer; by default the model's.
        reward_processing_classes: tokenizers of reward models; by default their own.
        callbacks, optimizers: as for Trainer.
        peft_config: describes the adapter that is put into the model.
        tools, rollout_func, environment_factory: not implemented.

    Each log entry has ``reward``, ``reward_std``, ``rewards/NAME/mean``, ``completions/...``,
    ``entropy``, ``kl`` (with a reference) and ``clip_ratio/...``.
    """

    loss_is_scaled_for_ga = True
    _tag_names = ["trl", "grpo"]
    _name = "GRPO"

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: GRPOConfig | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        reward_processing_classes: Any = None,
        callbacks: list | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        quantization_config: Any = None,
        peft_config: Any = None,
        tools: list[Callable] | None = None,
        rollout_func: Callable | None = None,
        environment_factory: Any = None,
    ) -> None:
        if args is None:
            name = model if isinstance(model, str) else get_config_model_id(model.config)
            args = GRPOConfig(f"{name.split('/')[-1]}-GRPO")
        self._refuse(
            tools=tools, rollout_func=rollout_func, environment_factory=environment_factory
        )
        self._check_data(train_dataset)
        self._check_choices(args)
        model, revision = self._make_model(model, args, quantization_config)
        tokenizer = self._make_tokenizer(processing_class, model, revision, args)
        self._set_pad(None, tokenizer, model)
        self._tokenizer, self.eos_token_ids = tokenizer, _ends(model, tokenizer)
        if peft_config is None and is_peft_model(model) and args.beta != 0.0:
            _copy_adapter(model)
        model = self._add_adapter(model, peft_config, args)
        self._rewards = Rewards(reward_funcs, reward_processing_classes, args)
        self._take_over(args)
        if is_stream(train_dataset) and args.dataloader_num_workers:
            logger.warning("Streams are read by one worker: dataloader_num_workers is set to 0.")
            args.dataloader_num_workers = 0
        super().__init__(
            model=model,
            args=args,
            data_collator=_as_it_is,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=tokenizer,
            callbacks=callbacks,
            optimizers=optimizers,
        )
        self._read_router(args, model.config.get_text_config())
        self._make_reference()
        self._completion_log = CompletionLog(args, self._rewards.names)
        set_seed(args.seed)  # so that completions do not depend on what was made before
        self.generation_config = self._make_generation_config()

    @classmethod
    def _refuse(cls, **given: Any) -> None:
        for name, value in given.items():
            if value:
                raise UnsupportedArgumentError(
                    f"{cls.__name__}({name}=...) is not implemented. Leave it out: each completion "
                    "is one answer of model.generate, and `reward_funcs` score it."
                )

    @staticmethod
    def _check_choices(args: GRPOConfig) -> None:
        """Raise for a loss that does not exist, and warn of pairs that fit ill."""
        kind, level = args.loss_type, args.importance_sampling_level
        if kind not in losses.LOSSES:
            raise ValueError(f"Unknown loss type: {kind}. Should be one of {list(losses.LOSSES)}")
        if level not in ("token", "sequence"):
            raise ValueError(
                f"Unknown importance sampling level: {level}. Possible values are 'token' and "
                "'sequence'."
            )
        if kind == "luspo" and level == "token":
            logger.warning("loss_type='luspo' is meant for importance_sampling_level='sequence'.")
        if kind == "vespo" and level == "sequence":
            logger.warning("loss_type='vespo' is meant for importance_sampling_level='token'.")
        if kind in ("bnpo", "dr_grpo", "dapo", "cispo") and level == "sequence":
            logger.warning(
                f"loss_type='{kind}' adds up tokens, so that with importance_sampling_level="
                "'sequence' long completions count more. GSPO has loss_type='grpo'."
            )

    def _take_over(self, args: GRPOConfig) -> None:
        """Set the attributes that callbacks and subclasses read."""
        self.reward_funcs, self.reward_func_names = self._rewards.functions, self._rewards.names
        self.reward_processing_classes = self._rewards.processing_classes
        self.num_generations = args.num_generations
        self.num_generations_eval = args.num_generations_eval or args.num_generations
        self.num_iterations, self.beta = args.num_iterations, args.beta
        self.max_completion_length, self.temperature = args.max_completion_length, args.temperature
        self.loss_type, self.scale_rewards = args.loss_type, args.scale_rewards
        self.epsilon_low = args.epsilon
        self.epsilon_high = args.epsilon if args.epsilon_high is None else args.epsilon_high
        self.chat_template_kwargs = args.chat_template_kwargs or {}
        self.entropy_coef = args.entropy_coef
        self._has_bonus = args.entropy_coef != 0.0 or args.use_adaptive_entropy
        self._last_entropy, self._window_entropy = math.inf, np.zeros(2)
        self._step = self._batches_of_update = 0
        self._buffered_inputs: Any = None
        self._step_time = 0.0

    def _make_generation_config(self) -> GenerationConfig:
        args, tokenizer = self.args, self._tokenizer
        fields = {
            "max_new_tokens": args.max_completion_length,
            "do_sample": True,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": self.eos_token_ids,
            "temperature": args.temperature,
            "top_p": args.top_p,
            "top_k": args.top_k,
            "min_p": args.min_p,
            "repetition_penalty": args.repetition_penalty,
            "cache_implementation": args.cache_implementation,
        }
        return GenerationConfig(**{**fields, **(args.generation_kwargs or {})})

    # Reference

    def _make_reference(self) -> None:
        """Set ``ref_model``, where a reference is needed and no adapter can be turned off."""
        args, adapted = self.args, is_peft_model(self.model)
        self.ref_model = None if self.beta == 0.0 or adapted else self._load_reference()
        for model in (self.model, self.ref_model):
            if model is not None and args.disable_dropout:
                disable_dropout_in_model(model)
            if model is not None and args.cast_lm_head_to_fp32:
                _need_float32(model)
        if self.ref_model is not None:
            self.ref_model.to(args._device_name)
            self.ref_model.eval()
        if not args.sync_ref_model:
            return
        if self.beta == 0.0:
            raise ValueError(
                "You passed `sync_ref_model=True` while `beta=0.0`, which means there is no "
                "reference model to synchronize. Set `sync_ref_model=False`, or another `beta`."
            )
        if adapted:
            raise NotImplementedError(
                "You passed `sync_ref_model=True` while using a PEFT model: the reference is the "
                "model without its adapter, so there is none to synchronize. Use "
                "`sync_ref_model=False`."
            )
        self.add_callback(SyncRefModelCallback(self.ref_model))

    def _load_reference(self) -> Any:
        path = get_config_model_id(self.model.config)
        if not path:
            raise UnsupportedArgumentError(
                f"GRPOTrainer(beta={self.beta}): the model was not loaded from a checkpoint, so "
                "its reference cannot be. Give the model as a path, or an adapter, or beta=0.0."
            )
        kwargs = dict(self.args.model_init_kwargs or {})
        kwargs.setdefault("trust_remote_code", self.args.trust_remote_code)
        kwargs.setdefault("dtype", str(self.model.dtype).rpartition(".")[2])
        return create_model_from_path(path, **kwargs)

    @contextlib.contextmanager
    def _reference(self) -> Iterator[Any]:
        """Give the model that answers for the reference."""
        if self.ref_model is not None:
            yield self.ref_model
            return
        with use_adapter(self.model, "ref" if "ref" in self.model.peft_config else None):
            yield self.model

    # Data

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            self._signature_columns = ["prompt", "image", "images"]

    def get_train_dataloader(self) -> Any:
        """Return the loader of prompts, each ``num_generations`` times; its batches are generated
        ones, of ``steps_per_generation`` batches.
        """
        args, dataset = self.args, self.train_dataset
        if is_stream(dataset):
            if args.shuffle_dataset:
                dataset = dataset.shuffle(seed=args.seed)
            dataset = repeat_iterable_dataset(dataset, **self._repetition())
        size = self._train_batch_size * args.steps_per_generation
        return self._get_dataloader(
            dataset, "Training", size, self._get_train_sampler, is_training=True
        )

    def _repetition(self) -> dict[str, int]:
        return {
            "mini_repeat_count": self.num_generations,
            "batch_size": self.args.generation_batch_size // self.num_generations,
            "repeat_count": self.num_iterations * self.args.steps_per_generation,
        }

    def _get_train_sampler(self, dataset: Any = None) -> RepeatSampler:
        """Each prompt for its group, each batch for its steps and iterations."""
        dataset = self.train_dataset if dataset is None else dataset
        shuffle, seed = bool(self.args.shuffle_dataset), self.args.seed
        return RepeatSampler(dataset, **self._repetition(), shuffle=shuffle, seed=seed)

    def _get_eval_sampler(self, eval_dataset: Any) -> RepeatSampler:
        return RepeatSampler(eval_dataset, self.num_generations_eval, seed=self.args.seed)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """As Trainer's, each prompt ``num_generations_eval`` times."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(dataset, str):
            dataset = self.eval_dataset[dataset]
        if not is_stream(dataset):
            return super().get_eval_dataloader(eval_dataset)
        dataset = dataset.shuffle(seed=self.args.seed)
        dataset = repeat_iterable_dataset(dataset, self.num_generations_eval)
        return self._get_dataloader(dataset, "Evaluation", self.args.eval_batch_size)

    def _prepare_inputs(self, inputs: Any) -> dict[str, Any]:
        """Return a batch for the loss. In training it is cut from completions that serve several
        steps; in evaluation it is generated.
        """
        if not self.model.training:
            return self._generate_and_score_completions(inputs)
        steps = self.args.steps_per_generation
        if self._step % (steps * self.num_iterations) == 0 or self._buffered_inputs is None:
            batch = shuffle_rows(self._generate_and_score_completions(inputs))
            self._buffered_inputs = split_rows(batch, steps)
        return self._buffered_inputs[self._step % steps]

    # Generation

    @contextlib.contextmanager
    def _no_checkpointing(self) -> Iterator[None]:
        """Blocks are not recomputed within it: generation then keeps its cache."""
        model = self.model.get_base_model() if is_peft_model(self.model) else self.model
        was_on = getattr(model, "is_gradient_checkpointing", False)
        if was_on:
            model.gradient_checkpointing_disable()
        try:
            yield
        finally:
            if was_on:
                model.gradient_checkpointing_enable(self.args.gradient_checkpointing_kwargs)

    def _tokenize_prompts(self, prompts: list) -> list[list[int]]:
        if not is_conversational({"prompt": prompts[0]}):
            return self.processing_class(text=prompts)["input_ids"]
        return self.processing_class.apply_chat_template(
            conversation=prompts,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            **self.chat_template_kwargs,
        )["input_ids"]

    def _generate_single_turn(self, prompt_ids: list[list[int]]) -> list[list[int]]:
        """Return the ids of one completion for each prompt, up to its end token."""
        device, ends = self.args._device_name, self.eos_token_ids
        ids_BP, mask_BP = self._padded(prompt_ids, "left")
        with paddle.no_grad(), self._no_checkpointing():
            generated = self.model.generate(
                input_ids=ids_BP.to(device),
                attention_mask=mask_BP.to(device),
                generation_config=self.generation_config,
            )
        return cut_after_end(generated[:, ids_BP.shape[1] :].numpy(), ends)

    def _generate(self, prompts: list) -> tuple[list[list[int]], list[list[int]], list]:
        """Return ids of prompts and completions, and the completions as texts or messages."""
        tokenizer, prompts = self._tokenizer, copy.deepcopy(prompts)
        prompt_ids = self._tokenize_prompts(prompts)
        completion_ids = self._generate_single_turn(prompt_ids)
        parses = any(
            getattr(tokenizer, name, None) is not None
            for name in ("response_template", "response_schema")
        )
        if not is_conversational({"prompt": prompts[0]}):
            completions = tokenizer.batch_decode(completion_ids, skip_special_tokens=True)
        elif parses:
            pairs = zip(completion_ids, prompt_ids, strict=True)
            completions = [[parse_response(tokenizer, ids, prefix=before)] for ids, before in pairs]
        else:
            texts = tokenizer.batch_decode(completion_ids, skip_special_tokens=True)
            completions = [[{"role": "assistant", "content": text}] for text in texts]
        self._note_lengths(prompt_ids, completion_ids)
        return prompt_ids, completion_ids, completions

    def _truncated(self, completion_ids: list[list[int]]) -> np.ndarray:
        """Tell which completions have no end: ``[B]`` bool."""
        ends = {*self.eos_token_ids, self._tokenizer.pad_token_id}
        return np.asarray([ids[-1] not in ends for ids in completion_ids])

    def _note_lengths(self, prompt_ids: list, completion_ids: list) -> None:
        lengths = np.asarray([len(ids) for ids in completion_ids], np.float32)
        if self._mode == "train":
            total = sum(len(ids) for ids in prompt_ids) + int(lengths.sum())
            self.state.num_input_tokens_seen += total
        self._metrics[self._mode]["num_tokens"] = [self.state.num_input_tokens_seen]
        truncated = self._truncated(completion_ids)
        ended = lengths[~truncated] if (~truncated).any() else np.zeros(1, np.float32)
        self._note(
            completions__mean_length=lengths.mean(),
            completions__min_length=lengths.min(),
            completions__max_length=lengths.max(),
            completions__clipped_ratio=truncated.mean(),
            completions__mean_terminated_length=ended.mean(),
            completions__min_terminated_length=ended.min(),
            completions__max_terminated_length=ended.max(),
        )

    def _padded(self, rows: list[list[int]], side: str) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Return ids and mask, int64."""
        multiple = self.args.pad_to_multiple_of
        ones = [[1] * len(row) for row in rows]
        return (
            pad(rows, self._tokenizer.pad_token_id, side, multiple),
            pad(ones, 0, side, multiple),
        )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a generated batch: ids and masks, advantages, and the log-probabilities that
        ratios and divergences are relative to.
        """
        device, mode = self.args._device_name, self._mode
        prompts = [row["prompt"] for row in inputs]
        prompt_rows, completion_rows, completions = self._generate(prompts)
        prompt_ids, prompt_mask = (x.to(device) for x in self._padded(prompt_rows, "left"))
        ids, mask = (x.to(device) for x in self._padded(completion_rows, "right"))
        if self.args.mask_truncated_completions:
            kept = paddle.to_tensor(~self._truncated(completion_rows), place=mask.place)
            mask = mask * kept.astype("int64").unsqueeze(1)
        whole = {
            "input_ids": paddle.concat([prompt_ids, ids], axis=1),
            "attention_mask": paddle.concat([prompt_mask, mask], axis=1),
            "logits_to_keep": ids.shape[1],
            "batch_size": getattr(self.args, f"per_device_{mode}_batch_size"),
        }
        output = {"prompt_ids": prompt_ids, "prompt_mask": prompt_mask}
        output |= {"completion_ids": ids, "completion_mask": mask}
        # Completions that serve several updates come from an older model than the one that learns.
        every = self.args.steps_per_generation * self.num_iterations
        scored = self._get_per_token_logps_and_entropies
        with paddle.no_grad(), self._no_checkpointing():
            if self.args.gradient_accumulation_steps % every:
                output["old_per_token_logps"] = scored(self.model, **whole)[0]
            if self.beta != 0.0:
                with self._reference() as model:
                    output["ref_per_token_logps"] = scored(model, **whole)[0]
        advantages = self._advantages(inputs, prompts, completions, completion_rows)
        output["advantages"] = paddle.to_tensor(advantages, place=mask.place)
        output["num_items_in_batch"] = float(mask.sum())
        return output

    # Rewards

    def _calculate_rewards(
        self, inputs: list, prompts: list, completions: list, completion_ids_list: list
    ) -> np.ndarray:
        """Return ``[B, F]`` float32; NaN where a function does not apply."""
        return self._rewards(
            *(inputs, prompts, completions, completion_ids_list),
            *(self.state, self.chat_template_kwargs),
        )

    def _advantages(
        self, inputs: list, prompts: list, completions: list, completion_ids: list
    ) -> np.ndarray:
        """Return ``[B]`` float32, and note what the rewards were."""
        args = self.args
        group = self.num_generations if self._mode == "train" else self.num_generations_eval
        rewards_BF = self._calculate_rewards(inputs, prompts, completions, completion_ids)
        found = losses.compute_advantages(
            *(rewards_BF, self._rewards.weights, group),
            *(args.scale_rewards, args.multi_objective_aggregation),
        )
        for name, column in zip(self.reward_func_names, rewards_BF.T, strict=True):
            mean, std = _statistics(column)
            self._note_named({f"rewards/{name}/mean": mean, f"rewards/{name}/std": std})
        mean, std = _statistics(found.rewards)
        self._note(reward=mean, reward_std=std, frac_reward_zero_std=found.is_std_zero.mean())
        extra, metrics = self._rewards.take()
        self._note_named(metrics)
        self._completion_log.add(prompts, completions, rewards_BF, found.advantages, extra)
        return found.advantages

    # Loss

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: paddle.Tensor,
        attention_mask: paddle.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
    ) -> tuple[paddle.Tensor, paddle.Tensor | None, Any]:
        """Score completions, ``batch_size`` rows at a time.

        Args:
            logits_to_keep: C, the positions at the end that are the completion.
        Returns: log-probabilities and entropies ``[B, C]``, and the load-balancing loss; the last
            two None unless asked for.
        """
        kind = None
        if compute_entropy:
            kind = "gradient" if self._has_bonus else "plain"
        count = batch_size or input_ids.shape[0]
        inner = model.get_base_model() if is_peft_model(model) else model
        further: dict[str, Any] = {"use_cache": False}
        if inner._supports_logits_to_keep():
            further["logits_to_keep"] = logits_to_keep + 1
        if compute_aux_loss:
            further["output_router_logits"] = True
        parts, aux = [], []
        for start in range(0, input_ids.shape[0], count):
            ids, mask = (x[start : start + count] for x in (input_ids, attention_mask))
            labels = paddle.where(mask == 0, paddle.full_like(ids, IGNORED), ids)
            with self.compute_loss_context_manager():
                outputs = model(input_ids=ids, attention_mask=mask, **further)
            labels = labels[:, -logits_to_keep:]
            parts.append(losses.score_completions(outputs.logits, labels, self.temperature, kind))
            if compute_aux_loss:
                aux.append(outputs.aux_loss)
        logps = paddle.concat([part[0] for part in parts])
        entropies = paddle.concat([part[1] for part in parts]) if compute_entropy else None
        return logps, entropies, paddle.stack(aux).mean() if aux else None

    def get_high_entropy_mask(
        self, entropies: paddle.Tensor, mask: paddle.Tensor, threshold: float
    ) -> paddle.Tensor:
        """Return ``[B, C]`` bool: tokens with an entropy in or above the quantile ``threshold``."""
        found = losses.high_entropy(
            entropies.detach().astype("float32").numpy(), mask.numpy() > 0, threshold
        )
        return paddle.to_tensor(found, place=entropies.place)

    get_gamma_weights = staticmethod(losses.gamma_weights)
    get_off_policy_mask = staticmethod(losses.off_policy_mask)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a batch of completions, and note its metrics.

        Raises: ValueError for ``return_outputs``.
        """
        if return_outputs:
            raise ValueError("The GRPOTrainer does not support returning outputs")
        return self._compute_loss(model, inputs)

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> paddle.Tensor:
        args, mask_BC = self.args, inputs["completion_mask"].astype("float32")
        logps, entropies, aux_loss = self._get_per_token_logps_and_entropies(
            model,
            paddle.concat([inputs["prompt_ids"], inputs["completion_ids"]], axis=1),
            paddle.concat([inputs["prompt_mask"], inputs["completion_mask"]], axis=1),
            mask_BC.shape[1],
            compute_entropy=True,
            compute_aux_loss=self.aux_loss_enabled,
        )
        chosen_BC = None
        if args.top_entropy_quantile < 1.0:
            chosen_BC = self.get_high_entropy_mask(
                entropies, mask_BC, 1 - args.top_entropy_quantile
            ).astype("float32")
        old = inputs.get("old_per_token_logps")
        old = logps.detach() if old is None else old
        policy = self._policy(logps, old, inputs["advantages"], mask_BC)
        reference, kl = inputs.get("ref_per_token_logps"), None
        if reference is not None:
            kl = (reference - logps).exp() - (reference - logps) - 1
            kl = kl * policy.ratio if args.use_bias_correction_kl else kl
        per_token = losses.token_losses(policy, args)
        if args.off_policy_mask_threshold is not None:
            per_token = per_token * losses.off_policy_mask(
                policy.advantages, logps, old, mask_BC, args.off_policy_mask_threshold
            )
        if chosen_BC is not None:
            per_token = per_token * chosen_BC
        if kl is not None:
            per_token = per_token + self.beta * kl
        steps = self.current_gradient_accumulation_steps if self._mode == "train" else 1
        loss = self._aggregate(per_token, mask_BC, inputs["num_items_in_batch"], steps)
        counted_BC = mask_BC if chosen_BC is None else mask_BC * chosen_BC
        loss = self._add_bonus(loss, entropies, counted_BC, steps)
        if aux_loss is not None:
            loss = loss + self.router_aux_loss_coef * aux_loss / steps
            self._note(aux_loss=aux_loss)
        self._note_policy(policy, entropies, kl)
        return loss

    def _policy(
        self, logps: paddle.Tensor, old: paddle.Tensor, advantages: paddle.Tensor, mask_BC: Any
    ) -> losses.Policy:
        """Relate the model to what it was when it generated."""
        log_ratio = log_weights = logps - old
        if self.args.importance_sampling_level == "sequence":
            total = (log_ratio * mask_BC).sum(axis=-1, keepdim=True)
            log_weights = total / mask_BC.sum(axis=-1, keepdim=True).clip(min=1.0)
        if advantages.ndim == 1:
            advantages = advantages.unsqueeze(1)
        return losses.Policy(logps, log_ratio, log_weights.exp(), advantages, mask_BC)

    def _aggregate(self, per_token: Any, mask_BC: Any, items: float, steps: int) -> paddle.Tensor:
        """Return the loss, ready to be added up over the batches of an update."""
        args, window = self.args, max(items, 1.0)
        if self._mode == "train":  # `items` are those of all steps that were generated together
            window = window * steps / args.steps_per_generation
        loss = losses.aggregate(per_token, mask_BC, args, window)
        if self._has_bonus:
            self._note(policy_loss=loss.detach())
        by_tokens = args.loss_type in ("cispo", "dapo", "vespo")
        return loss if by_tokens else loss / steps

    def _add_bonus(
        self, loss: paddle.Tensor, entropies: Any, mask_BC: paddle.Tensor, steps: int
    ) -> paddle.Tensor:
        """Subtract the mean entropy by its weight, and adapt that weight after an update."""
        if not self._has_bonus:
            return loss
        adapts, training = self.args.use_adaptive_entropy, self._mode == "train"
        # All batches of an update use the weight that the one before it left.
        on = not adapts or self._last_entropy <= self.args.entropy_target
        total, count = (entropies * mask_BC).sum(), mask_BC.sum()
        weight = self.entropy_coef if on else 0.0
        loss = loss - weight * total / count.clip(min=1.0) / steps
        if not training:
            return loss
        self._window_entropy += [float(total), float(count)]
        self._batches_of_update += 1
        if self._batches_of_update == self.current_gradient_accumulation_steps:
            if adapts:
                self._adapt(self._window_entropy[0] / max(self._window_entropy[1], 1.0))
            self._window_entropy, self._batches_of_update = np.zeros(2), 0
            self._note(entropy_coef=self.entropy_coef)
        return loss

    def _adapt(self, entropy: float) -> None:
        """Move the weight of the bonus by one step, up where ``entropy`` is too low."""
        args = self.args
        if entropy <= args.entropy_target:
            moved = self.entropy_coef + args.entropy_coef_delta
            self.entropy_coef = min(moved, args.entropy_coef_max)
        else:
            moved = self.entropy_coef - args.entropy_coef_delta
            self.entropy_coef = max(moved, args.entropy_coef_min)
        self._last_entropy = entropy

    def _note_named(self, metrics: dict[str, float]) -> None:
        """`_note` for names that users choose."""
        for name, value in metrics.items():
            self._metrics[self._mode][name].append(float(value))

    @paddle.no_grad()
    def _note_policy(self, policy: losses.Policy, entropies: Any, kl: Any) -> None:
        mask = policy.mask.numpy()
        if kl is not None:
            self._note(kl=losses.masked_mean(kl.numpy(), mask))
        self._note(entropy=losses.masked_mean(entropies.numpy(), mask))
        self._note_named(losses.clip_ratios(policy, self.args))

    # The loop

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """As Trainer's; counts steps and their time."""
        start = time.perf_counter()
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._step += 1
        self._step_time += time.perf_counter() - start
        if self._step % self.current_gradient_accumulation_steps == 0:
            self._metrics["train"]["step_time"].append(self._step_time)
            self._step_time = 0.0
        return loss

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Any, None, None]:
        """Return the loss of completions that are generated for ``inputs``."""
        inputs = self._prepare_inputs(inputs)
        with paddle.no_grad(), self.compute_loss_context_manager():
            loss = self.compute_loss(model, inputs)
        return loss.mean().detach(), None, None

    @staticmethod
    def _mean(values: list[float]) -> float | None:
        """A function that did not apply to a batch leaves NaN, which does not count."""
        known = [value for value in values if not math.isnan(value)]
        return sum(known) / len(known) if known else None

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As `_BaseTrainer.log`; completions as well where ``log_completions`` asks for them."""
        super().log(logs, start_time)
        self._completion_log.write(self.state.global_step)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.use_adaptive_entropy:
            place = os.path.join(
                self._get_output_dir(trial), f"checkpoint-{self.state.global_step}", ENTROPY_STATE
            )
            state = {"entropy_coef": self.entropy_coef, "last_world_entropy": self._last_entropy}
            with open(place, "w", encoding="utf-8") as file:
                json.dump(state, file)

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        place = os.path.join(checkpoint or "", ENTROPY_STATE)
        if self.args.use_adaptive_entropy and checkpoint and os.path.exists(place):
            with open(place, encoding="utf-8") as file:
                state = json.load(file)
            self.entropy_coef = state["entropy_coef"]
            self._last_entropy = state["last_world_entropy"]


def _as_it_is(examples: list) -> list:
    return examples


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """Return the tokens that end a completion: the tokenizer's, and all that the model names."""
    known = model.generation_config.eos_token_id
    known = [known] if isinstance(known, int) else list(known or [])
    own = tokenizer.eos_token_id
    return known if own in known else [own, *known]


def _need_float32(model: Any) -> None:
    dtype = str(model.get_output_embeddings().weight.dtype).rpartition(".")[2]
    if dtype != "float32":
        raise UnsupportedArgumentError(
            f"GRPOConfig(cast_lm_head_to_fp32=True): the head is {dtype}, and casting it alone is "
            "not implemented. Load the model with model_init_kwargs={'dtype': 'float32'}."
        )


def _statistics(values: np.ndarray) -> tuple[float, float]:
    """Return mean and deviation without NaN; NaN where there are none, or one."""
    known = values[~np.isnan(values)]
    mean = known.mean() if known.size else np.nan
    return float(mean), float(known.std(ddof=1)) if known.size > 1 else math.nan
