"""Greedy decoding and sampling, and how the loops record what the user asked to see.

Shape letters: B rows, S tokens so far, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from transformers import GenerationConfig

from hfpaddle import ops
from hfpaddle.generation.output import GenerateDecoderOnlyOutput, GenerateEncoderDecoderOutput
from hfpaddle.generation.tensors import beside


class Record:
    """Collects scores, logits, attentions and hidden states as far as the config asks for them."""

    def __init__(self, config: GenerationConfig, encodes: bool, model_kwargs: dict[str, Any]):
        wanted = bool(config.return_dict_in_generate)
        self.encodes = encodes
        self.scores: tuple | None = () if wanted and config.output_scores else None
        self.logits: tuple | None = () if wanted and config.output_logits else None
        self.attentions: tuple | None = () if wanted and config.output_attentions else None
        self.cross_attentions: tuple | None = () if self.attentions == () and encodes else None
        self.hidden_states: tuple | None = () if wanted and config.output_hidden_states else None
        encoder = model_kwargs.get("encoder_outputs") if wanted and encodes else None
        self.encoder_attentions = (
            encoder.get("attentions") if self._on("attentions", encoder) else None
        )
        self.encoder_hidden_states = (
            encoder.get("hidden_states") if self._on("hidden_states", encoder) else None
        )

    def _on(self, name: str, encoder: Any) -> bool:
        return encoder is not None and getattr(self, name) is not None

    def add_scores(self, scores: tuple, logits: tuple) -> None:
        """Add processed scores and raw logits ``[B, V]``, one of each a token."""
        if self.scores is not None:
            self.scores = (*self.scores, *scores)
        if self.logits is not None:
            self.logits = (*self.logits, *logits)

    def add_states(self, outputs: Any) -> None:
        """Add what one forward pass returned for one token."""
        prefix = "decoder_" if self.encodes else ""
        if self.attentions is not None:
            self.attentions = (*self.attentions, outputs.get(f"{prefix}attentions"))
        if self.cross_attentions is not None:
            self.cross_attentions = (*self.cross_attentions, outputs.get("cross_attentions"))
        if self.hidden_states is not None:
            self.hidden_states = (*self.hidden_states, outputs.get(f"{prefix}hidden_states"))

    def fields(self, model_kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the fields that all results of generate share, under their names there."""
        shared = {
            "scores": self.scores,
            "logits": self.logits,
            "past_key_values": model_kwargs.get("past_key_values"),
        }
        if not self.encodes:
            return {
                **shared,
                "attentions": self.attentions,
                "hidden_states": self.hidden_states,
            }
        return {
            **shared,
            "encoder_attentions": self.encoder_attentions,
            "encoder_hidden_states": self.encoder_hidden_states,
            "decoder_attentions": self.attentions,
            "cross_attentions": self.cross_attentions,
            "decoder_hidden_states": self.hidden_states,
        }


class SamplingMixin:
    """The loop that adds one token a row and step."""

    config: Any

    def _sample(
        self,
        input_ids: paddle.Tensor,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: GenerationConfig,
        synced_gpus: bool = False,
        streamer: Any = None,
        **model_kwargs: Any,
    ) -> Any:
        """Decode greedily, or draw if ``do_sample``; finished rows go on with the pad token.

        Args: ``input_ids`` int64 ``[B, S]``; the lists that `generate` prepared; model arguments.
        Returns: int64 ``[B, S + new]``, or a Generate...Output.
        """
        config, encodes = generation_config, self.config.is_encoder_decoder
        pads = any(hasattr(criterion, "eos_token_id") for criterion in stopping_criteria)
        record = Record(config, encodes, model_kwargs)
        done = np.zeros(input_ids.shape[0], dtype=bool)
        finished, outputs = (
            False,
            self._prefill(  # type: ignore[attr-defined]
                input_ids, config, model_kwargs, is_first_iteration=not config.is_assistant
            ),
        )
        while self._has_unfinished_sequences(finished, synced_gpus, input_ids.place):  # type: ignore[attr-defined]
            if outputs is None:
                outputs = self._forward_step(input_ids, model_kwargs)
            model_kwargs = self._update_model_kwargs_for_generation(  # type: ignore[attr-defined]
                outputs, model_kwargs, is_encoder_decoder=encodes
            )
            step, outputs = outputs, None
            if synced_gpus and finished:
                continue
            logits = step.logits[:, -1]
            logits = logits if logits.dtype == paddle.float32 else logits.astype("float32")
            logits = beside(logits, input_ids)
            scores = logits_processor(input_ids, logits)
            record.add_scores((scores,), (logits,))
            record.add_states(step)
            del step
            if config.do_sample:
                tokens = ops.draw(scores, 1).squeeze(1)
            else:
                tokens = paddle.argmax(scores, axis=-1)
            if pads and done.any():
                ended = paddle.to_tensor(done, place=tokens.place)
                tokens = paddle.where(ended, config._pad_token_tensor.astype(tokens.dtype), tokens)
            input_ids = paddle.concat([input_ids, tokens.unsqueeze(-1)], axis=-1)
            if streamer is not None:
                streamer.put(tokens.cpu())
            done = done | stopping_criteria.decide(input_ids, record.scores)
            finished = bool(done.all())
        if streamer is not None:
            streamer.end()
        if not config.return_dict_in_generate:
            return input_ids
        output = GenerateEncoderDecoderOutput if encodes else GenerateDecoderOnlyOutput
        return output(sequences=input_ids, **record.fields(model_kwargs))

    def _forward_step(self, input_ids: paddle.Tensor, model_kwargs: dict[str, Any]) -> Any:
        """Run the model on the newest token, or on all of them if there is no cache."""
        newest = 1 if model_kwargs["use_cache"] else None
        inputs = self.prepare_inputs_for_generation(  # type: ignore[attr-defined]
            input_ids, next_sequence_length=newest, **model_kwargs
        )
        return self(**inputs, return_dict=True)  # type: ignore[operator]
