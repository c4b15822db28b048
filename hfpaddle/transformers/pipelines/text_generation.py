"""Text generation: texts and conversations continued by a language model.

Shape letters: B inputs of a batch, R sequences returned for each, T tokens.
"""

from __future__ import annotations

from typing import Any

from transformers import GenerationConfig

from hfpaddle.core.outputs import ModelOutput
from hfpaddle.transformers.pipelines.base import Pipeline
from hfpaddle.transformers.pipelines.chat import Chat
from hfpaddle.transformers.pipelines.generating import (
    GenerateMixin,
    ReturnType,
    chosen_return,
    given,
    per_sequence,
)
from hfpaddle.transformers.pipelines.tasks import register_task


@register_task(
    "text-generation",
    auto="AutoModelForCausalLM",
    default=("HuggingFaceTB/SmolLM3-3B", "a07cc9a"),
)
class TextGenerationPipeline(GenerateMixin, Pipeline):
    """Continues texts, and answers in conversations (lists of ``{"role", "content"}``).

    Where the model's generation config and the user say nothing, it samples at temperature 0.7, at
    most 256 new tokens.
    """

    _load_tokenizer = True
    auto = "AutoModelForCausalLM"
    _default_generation_config = GenerationConfig(
        max_new_tokens=256, do_sample=True, temperature=0.7
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # In a batch the last token of each text must stand at the end.
        self.tokenizer.padding_side = "left"
        if "prefix" not in self._preprocess_params and self.prefix is not None:
            before, forward, _ = self._sanitize_parameters(
                prefix=self.prefix, **self._forward_params
            )
            self._preprocess_params = {**self._preprocess_params, **before}
            self._forward_params = {**self._forward_params, **forward}

    def _sanitize_parameters(
        self,
        return_full_text: bool | None = None,
        return_tensors: bool | None = None,
        return_text: bool | None = None,
        return_type: ReturnType | None = None,
        clean_up_tokenization_spaces: bool | None = None,
        prefix: str | None = None,
        handle_long_generation: str | None = None,
        stop_sequence: str | list[str] | None = None,
        truncation: Any = None,
        max_length: int | None = None,
        continue_final_message: bool | None = None,
        skip_special_tokens: bool | None = None,
        tokenizer_encode_kwargs: dict | None = None,
        tools: list | None = None,
        documents: list | None = None,
        **generate_kwargs: Any,
    ) -> tuple[dict, dict, dict]:
        if handle_long_generation not in (None, "hole"):
            raise ValueError(
                f"{handle_long_generation} is not a valid value for `handle_long_generation` "
                "parameter expected [None, 'hole']"
            )
        names = ("add_special_tokens", "padding")
        preprocess = {key: generate_kwargs.pop(key) for key in names if key in generate_kwargs}
        special = preprocess.get("add_special_tokens", False)
        preprocess |= given(
            truncation=truncation,
            max_length=max_length,
            tools=tools,
            documents=documents,
            prefix=prefix,
            handle_long_generation=handle_long_generation,
            continue_final_message=continue_final_message,
            tokenizer_encode_kwargs=tokenizer_encode_kwargs,
        )
        generate_kwargs |= given(max_length=max_length)
        if prefix:
            ids = self.tokenizer(prefix, padding=False, add_special_tokens=special)["input_ids"]
            generate_kwargs["prefix_length"] = len(ids)
        preprocess.update(generate_kwargs)
        postprocess = given(
            tools=tools,
            return_type=chosen_return(return_type, return_full_text, return_tensors, return_text),
            clean_up_tokenization_spaces=clean_up_tokenization_spaces,
            continue_final_message=continue_final_message,
            skip_special_tokens=skip_special_tokens,
        )
        return preprocess, {**generate_kwargs, **self._helpers(stop_sequence)}, postprocess

    def _helpers(self, stop_sequence: Any) -> dict[str, Any]:
        """Return the arguments of generate for stop strings and for the draft model."""
        found = given(assistant_model=self.assistant_model)
        if self.assistant_tokenizer is not None:
            found |= {"tokenizer": self.tokenizer, "assistant_tokenizer": self.assistant_tokenizer}
        if stop_sequence is not None:
            stops = [stop_sequence] if isinstance(stop_sequence, str) else stop_sequence
            found |= {"stop_strings": stops, "tokenizer": self.tokenizer}
        return found

    def __call__(self, text_inputs: Any, **kwargs: Any) -> Any:
        """Continue texts or conversations.

        Args:
            text_inputs: a text, a conversation, or many of either.
            return_full_text: False leaves the prompt out.
            return_tensors: return ``generated_token_ids`` (a list) instead of text.
            prefix: text put before each prompt.
            handle_long_generation: "hole" cuts the beginning of prompts that leave no room.
            stop_sequence: texts that end the generation.
            continue_final_message: continue the last message instead of answering it; by default
                where it is the assistant's.
            tokenizer_encode_kwargs: passed to the tokenizer, or to the chat template.
            kwargs: those of generate; ``batch_size``, ``progress``.

        Returns: for a text a list of ``{"generated_text"}``, one for each returned sequence; for
        a conversation ``generated_text`` is the conversation with the answer at its end. With
        ``return_dict_in_generate`` scores and the like are lists beside it.
        """
        return super().__call__(text_inputs, **kwargs)

    def preprocess(
        self,
        prompt_text: Any,
        prefix: str = "",
        handle_long_generation: str | None = None,
        add_special_tokens: bool | None = None,
        truncation: Any = None,
        padding: Any = None,
        max_length: int | None = None,
        continue_final_message: bool | None = None,
        tokenizer_encode_kwargs: dict | None = None,
        tools: list | None = None,
        documents: list | None = None,
        **generate_kwargs: Any,
    ) -> Any:
        encode = given(truncation=truncation, padding=padding, max_length=max_length)
        encode |= {"return_tensors": "pt", **(tokenizer_encode_kwargs or {})}
        if isinstance(prompt_text, Chat):
            encode.pop("add_special_tokens", None)  # the template writes them
            continues = _continues(prompt_text, continue_final_message)
            inputs = self.tokenizer.apply_chat_template(
                prompt_text.messages,
                add_generation_prompt=not continues,
                continue_final_message=continues,
                return_dict=True,
                tools=tools,
                documents=documents,
                **encode,
            )
        else:
            encode = {**given(add_special_tokens=add_special_tokens), **encode}
            inputs = self.tokenizer(prefix + prompt_text, **encode)
        inputs["prompt_text"] = prompt_text
        if handle_long_generation == "hole":
            self._make_room(inputs, {**given(max_length=max_length), **generate_kwargs})
        return inputs

    def _forward(self, model_inputs: Any, **generate_kwargs: Any) -> Any:
        ids_BT = model_inputs["input_ids"]
        batch, mask = ids_BT.shape[0], model_inputs.get("attention_mask")
        if ids_BT.shape[1] == 0:  # an empty prompt: generate begins by itself
            ids_BT, mask, batch = None, None, 1
        prefix = generate_kwargs.pop("prefix_length", 0)
        generate_kwargs = self._prepare_generate_kwargs(generate_kwargs)
        params = self._get_set_generation_params(generate_kwargs)
        for total, new in (("max_length", "max_new_tokens"), ("min_length", "min_new_tokens")):
            if prefix and total in params and new not in params:
                generate_kwargs[total] = params[total] + prefix
        output = self.model.generate(input_ids=ids_BT, attention_mask=mask, **generate_kwargs)
        extra = {}
        if isinstance(output, ModelOutput):
            extra = per_sequence(output, batch)
            output = output.sequences
        sequences_BRT = output.reshape([batch, output.shape[0] // batch, *output.shape[1:]])
        passed = {"input_ids": ids_BT, "prompt_text": model_inputs["prompt_text"]}
        return {"generated_sequence": sequences_BRT, **passed, **extra}

    def postprocess(
        self,
        model_outputs: Any,
        return_type: ReturnType = ReturnType.FULL_TEXT,
        clean_up_tokenization_spaces: bool | None = None,
        continue_final_message: bool | None = None,
        skip_special_tokens: bool | None = None,
        tools: list | None = None,
    ) -> Any:
        outputs = dict(model_outputs)
        sequences = outputs.pop("generated_sequence")[0].tolist()
        ids, prompt = outputs.pop("input_ids"), outputs.pop("prompt_text")
        extra = {key: value[0].tolist() for key, value in outputs.items()}
        if return_type == ReturnType.TENSORS:
            return [{"generated_token_ids": sequence} for sequence in sequences]
        # A template that reads the answer needs its special tokens.
        skip = skip_special_tokens in (None, True) and not self._response_template()
        settings = {
            "skip_special_tokens": skip,
            "clean_up_tokenization_spaces": clean_up_tokenization_spaces,
        }
        start, records = 0 if ids is None else ids.shape[-1], []
        for i, sequence in enumerate(sequences):
            text = self.tokenizer.decode(sequence[start:], **settings)
            if return_type == ReturnType.FULL_TEXT:
                before = sequence[:start]
                if isinstance(prompt, str):
                    text = prompt + text
                elif _continues(prompt, continue_final_message):
                    last = prompt.messages[-1]
                    text = {"role": last["role"], "content": last["content"] + text}
                    text = [*prompt.messages[:-1], text]
                else:
                    text = [*prompt.messages, self._answer(text, before, settings, tools)]
            records.append({"generated_text": text, **{k: v[i] for k, v in extra.items()}})
        return records

    def _response_template(self) -> Any:
        return getattr(self.tokenizer, "response_template", None)

    def _answer(self, text: str, before: list[int], settings: dict, tools: Any) -> dict:
        """Return the assistant's message, read by the tokenizer's response template if any."""
        if not self._response_template():
            return {"role": "assistant", "content": text}
        prefix = self.tokenizer.decode(before, **settings)
        return self.tokenizer.parse_response(text, prefix=prefix, tools=tools)


def _continues(chat: Chat, asked: bool | None) -> bool:
    """Tell whether the last message is to be continued rather than answered."""
    return chat.messages[-1]["role"] == "assistant" if asked is None else asked
