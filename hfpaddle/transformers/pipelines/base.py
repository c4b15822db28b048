"""`Pipeline`: from raw inputs over the model to plain Python results.

A task says how one input is prepared, run and read, and which of the user's arguments belong to
which. Lists, datasets, batches, devices and the progress bar are the same for all and live here.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import paddle

from hfpaddle import backends
from hfpaddle.core import rng
from hfpaddle.core.logging import logger, warn_once
from hfpaddle.transformers.pipelines import iteration
from hfpaddle.transformers.pipelines.chat import mark_chats
from hfpaddle.transformers.pipelines.parts import (
    PipelineException as PipelineException,
)
from hfpaddle.transformers.pipelines.parts import (
    choose_device,
    flat,
    model_names,
    place_of,
    refuse_processors,
    speaks_paddle,
)

# Sequential calls after which an accelerator's user is told that lists are faster.
_MANY_CALLS = 10


class Pipeline(ABC):
    """Base of all pipelines.

    Args:
        model: a model of ours. It is moved to ``device``.
        tokenizer: ours or transformers' own.
        image_processor: one of ours, for tasks about images.
        task: the name it was made for.
        device: see `choose_device`; Paddle's and torch's names work.
        kwargs: ``batch_size``, ``progress``, and whatever the task's calls take, as defaults.
    """

    # True: cannot do without one. None: taken where there is one.
    _load_tokenizer: ClassVar[bool | None] = None
    _load_image_processor: ClassVar[bool | None] = None
    default_input_names: str | None = None
    # Auto class whose models fit.
    auto: ClassVar[str | None] = None

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        feature_extractor: Any = None,
        image_processor: Any = None,
        video_processor: Any = None,
        processor: Any = None,
        task: str = "",
        device: Any = None,
        binary_output: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs = {k: v for k, v in kwargs.items() if k not in ("dtype", "torch_dtype")}
        refuse_processors(
            type(self),
            feature_extractor=feature_extractor,
            image_processor=image_processor,
            video_processor=video_processor,
            processor=processor,
        )
        self.task, self.model, self.binary_output = task, model, binary_output
        self.tokenizer = speaks_paddle(tokenizer)
        self.image_processor = image_processor
        for name in ("tokenizer", "image_processor"):
            if getattr(self, f"_load_{name}") and getattr(self, name) is None:
                raise ValueError(
                    f"{type(self).__name__} needs {name}. Pass {name}=, or a model's name to "
                    "pipeline()."
                )
        chosen = choose_device(device, model)
        if backends.resolve_device(place_of(model)) != chosen:
            model.to(chosen)
        self.device = model.device
        self._indexed = backends.backend_of(chosen).indexed
        kwargs = self._prepare(kwargs)
        self.call_count, self._batch_size = 0, kwargs.pop("batch_size", None)
        self._num_workers = kwargs.pop("num_workers", None)
        self._progress = kwargs.pop("progress", None)
        params = self._sanitize_parameters(**kwargs)
        self._preprocess_params, self._forward_params, self._postprocess_params = params
        if self.auto is not None:
            self.check_model_type(model_names(self.auto, model))

    def _prepare(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return what remains of ``kwargs`` for the task to sort, when the model has its part."""
        return kwargs

    # What a task writes

    @abstractmethod
    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict, dict, dict]:
        """Sort arguments into those of preprocess, _forward and postprocess; only those given."""

    @abstractmethod
    def preprocess(self, input_: Any, **parameters: Any) -> Any:
        """Turn one input into a mapping of tensors ``[1, ...]`` and other values."""

    @abstractmethod
    def _forward(self, input_tensors: Any, **parameters: Any) -> Any:
        """Run the model on a batch of prepared inputs."""

    @abstractmethod
    def postprocess(self, model_outputs: Any, **parameters: Any) -> Any:
        """Turn one row of outputs into the result."""

    # Running

    def forward(self, model_inputs: Any, **parameters: Any) -> Any:
        """Run `_forward` without gradients, inputs on the model's device, outputs on the CPU."""
        with paddle.no_grad():
            model_inputs = iteration.moved(model_inputs, place_of(self.model))
            outputs = self._forward(model_inputs, **parameters)
            return iteration.moved(outputs, paddle.CPUPlace())

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Run on one input, or on a list, dataset or generator of inputs.

        Args:
            batch_size: inputs that the model sees at once.
            progress: show a bar; by default for long lists where stderr is a terminal.
            kwargs: the task's own, for this call.

        Returns: a result, or a list of them; of datasets and generators an iterable that computes
        while it is read.
        """
        if args:
            logger.warning(f"Ignoring args : {args}")
        batch_size = kwargs.pop("batch_size", None) or self._batch_size or 1
        workers = kwargs.pop("num_workers", None) or self._num_workers
        if workers:
            warn_once("pipeline: num_workers has no effect, inputs are prepared in place.")
        progress = kwargs.pop("progress", self._progress)
        inputs = mark_chats(inputs)
        given = self._sanitize_parameters(**kwargs)
        kept = (self._preprocess_params, self._forward_params, self._postprocess_params)
        params = tuple({**before, **now} for before, now in zip(kept, given, strict=True))
        self._count_call()

        def results() -> Iterator:
            made = self._results(iteration.items(inputs), batch_size, params)
            return iter(iteration.with_progress(made, inputs, progress, self.task))

        if isinstance(inputs, list):
            return list(results())
        if iteration.is_stream(inputs):
            return iteration.Results(results, inputs)
        if isinstance(self, ChunkPipeline):
            return next(self._results(iter([inputs]), batch_size, params))
        return self.run_single(inputs, *params)

    def run_single(self, inputs: Any, preprocess: dict, forward: dict, postprocess: dict) -> Any:
        """Run one input, not as a batch."""
        prepared = self.preprocess(inputs, **preprocess)
        return self.postprocess(self.forward(prepared, **forward), **postprocess)

    def _results(self, inputs: Iterator, batch_size: int, params: tuple) -> Iterator:
        preprocess, forward, postprocess = params
        prepared = (self.preprocess(item, **preprocess) for item in inputs)
        for outputs in self._outputs(prepared, batch_size, forward):
            yield self.postprocess(outputs, **postprocess)

    def _outputs(self, prepared: Iterator, batch_size: int, params: dict) -> Iterator:
        """Yield the model's outputs for each prepared input, computed in batches."""
        # Upstream's loader draws a seed that it leaves unused; seeded samples begin after it.
        rng.default_generator.random_u64(1)
        if batch_size == 1:
            yield from (self.forward(item, **params) for item in prepared)
            return
        if self.image_processor is None:
            iteration.check_padding(self.tokenizer)
        for rows in iteration.batches(prepared, batch_size):
            outputs = self.forward(iteration.collate(rows, self.tokenizer), **params)
            yield from iteration.rows_of(outputs, len(rows))

    def _count_call(self) -> None:
        self.call_count += 1
        if self.call_count > _MANY_CALLS and self._indexed:
            warn_once(
                "You seem to be using the pipelines sequentially on an accelerator. Pass a list or "
                "a dataset, with batch_size, to use it better."
            )

    def transform(self, X: Any) -> Any:
        """Call the pipeline, as scikit-learn does; `predict` is the same."""
        return self(X)

    predict = transform

    # What it is

    def check_model_type(self, supported_models: Any) -> None:
        """Log an error if the model's class is none of these names, or of a table's values."""
        is_list = isinstance(supported_models, list)
        names = flat(supported_models if is_list else supported_models.values())
        if type(self.model).__name__ not in names:
            logger.error(
                f"The model '{type(self.model).__name__}' is not supported for {self.task}. "
                f"Supported models are {names}."
            )

    @property
    def dtype(self) -> Any:
        """Paddle dtype in which the model's weights are stored."""
        return getattr(self.model, "dtype", None)

    torch_dtype = dtype

    def __repr__(self) -> str:
        told = {
            "model": type(self.model).__name__,
            "dtype": str(self.dtype).split(".")[-1],
            "device": self.device.type,
            "input_modalities": getattr(self.model, "input_modalities", "text"),
        }
        if self.model.can_generate():
            told["output_modalities"] = self.model.output_modalities
        return f"{type(self).__name__}: {told}"

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Write the model and what prepares its inputs into one folder."""
        self.model.save_pretrained(save_directory, **kwargs)
        for part in (self.tokenizer, self.image_processor):
            if part is not None:
                part.save_pretrained(save_directory)


class ChunkPipeline(Pipeline):
    """A pipeline whose inputs become several model inputs each.

    `preprocess` yields them, each with ``is_last``; `postprocess` gets the list of their outputs.
    """

    def run_single(self, inputs: Any, preprocess: dict, forward: dict, postprocess: dict) -> Any:
        prepared = self.preprocess(inputs, **preprocess)
        outputs = [self.forward(chunk, **forward) for chunk in prepared]
        return self.postprocess(outputs, **postprocess)

    def _results(self, inputs: Iterator, batch_size: int, params: tuple) -> Iterator:
        preprocess, forward, postprocess = params
        chunks = (chunk for item in inputs for chunk in self.preprocess(item, **preprocess))
        collected = []
        for outputs in self._outputs(chunks, batch_size, forward):
            last = outputs.pop("is_last")
            collected.append(outputs)
            if last:
                yield self.postprocess(collected, **postprocess)
                collected = []
