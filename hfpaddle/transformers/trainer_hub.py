"""Model cards and uploads of a Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, HubStrategy, SaveStrategy
from transformers.utils import logging

logger = logging.get_logger("transformers.trainer")  # so that its verbosity counts
_IGNORED = ["_*", f"{PREFIX_CHECKPOINT_DIR}-*", ".checkpoint-*"]


class HubMixin:
    """What goes to the Hub when ``push_to_hub`` is set, or `push_to_hub` called."""

    args: Any
    model: Any
    state: Any
    control: Any
    callback_handler: Any
    processing_class: Any
    hub_model_id: str | None
    _pending: tuple[Any, ...] = ()  # uploads that may be under way

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Make the repository if it is not there."""
        from huggingface_hub import create_repo

        args = self.args
        name = args.hub_model_id or Path(args.output_dir).absolute().name
        private = args.hub_private_repo if private is None else private
        made = create_repo(name, token=token or args.hub_token, private=private, exist_ok=True)
        self.hub_model_id = made.repo_id

    def create_model_card(
        self,
        language: Any = None,
        license: str | None = None,
        tags: Any = None,
        model_name: str | None = None,
        finetuned_from: str | None = None,
        tasks: Any = None,
        dataset_tags: Any = None,
        dataset: Any = None,
        dataset_args: Any = None,
    ) -> None:
        """Write ``README.md`` into the output folder: what was trained, on what, how well."""
        from huggingface_hub import ModelCard
        from transformers.modelcard import TrainingSummary

        card = Path(self.args.output_dir, "README.md")
        if tags is not None and card.exists():
            known = ModelCard.load(card).data.tags or []
            given = [tags] if isinstance(tags, str) else list(tags)
            tags = [*given, *(tag for tag in known if tag not in given)]
        summary = TrainingSummary.from_trainer(
            self,
            language=language,
            license=license,
            tags=tags,
            model_name=model_name,
            finetuned_from=finetuned_from,
            tasks=tasks,
            dataset_tags=dataset_tags,
            dataset=dataset,
            dataset_args=dataset_args,
        )
        card.parent.mkdir(parents=True, exist_ok=True)
        card.write_text(summary.to_model_card(), encoding="utf-8")

    def _card_name(self) -> str:
        if self.args.hub_model_id is None:
            return Path(self.args.output_dir).absolute().name
        return self.args.hub_model_id.split("/")[-1]

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Save the model, write its card, and upload the output folder without checkpoints."""
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        self.save_model(_internal_call=True)  # type: ignore[attr-defined]
        model_tags = getattr(self.model, "model_tags", None)
        if model_tags is not None:
            given = kwargs.get("tags") or []
            given = [given] if isinstance(given, str) else list(given)
            kwargs["tags"] = [*given, *(tag for tag in model_tags if tag not in given)]
        names = {"model_name": self._card_name(), **kwargs}
        self.create_model_card(**names)
        self._finish_current_push()
        return self._upload(self.args.output_dir, None, commit_message, token, revision, blocking)

    def _upload(
        self,
        folder: str,
        path_in_repo: str | None,
        message: str | None,
        token: str | None = None,
        revision: str | None = None,
        blocking: bool = True,
        ignored: list[str] | None = None,
    ) -> Any:
        from huggingface_hub import upload_folder

        return upload_folder(
            repo_id=str(self.hub_model_id),
            folder_path=folder,
            path_in_repo=path_in_repo,
            commit_message=message,
            token=token or self.args.hub_token,
            run_as_future=not blocking,
            ignore_patterns=_IGNORED if ignored is None else ignored,
            revision=revision or self.args.hub_revision,
        )

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Upload after a checkpoint, as ``hub_strategy`` says, beside the training."""
        strategy = self.args.hub_strategy
        if strategy == HubStrategy.END:
            return
        if self._pushing() and not self.args.hub_always_push:
            return
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self.save_model(self.args.output_dir, _internal_call=True)  # type: ignore[attr-defined]
        message = f"Training in progress, step {self.state.global_step}"
        if self.args.save_strategy != SaveStrategy.STEPS:
            message = f"Training in progress, epoch {int(self.state.epoch)}"
        jobs = [self._upload(self.args.output_dir, None, message, blocking=False)]
        if strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
            last = strategy == HubStrategy.CHECKPOINT
            name = "last-checkpoint" if last else Path(checkpoint_folder).name
            jobs.append(
                self._upload(
                    checkpoint_folder, name, f"{message}, checkpoint", blocking=False, ignored=[]
                )
            )
        self._pending = (*(job for job in self._pending if not job.done()), *jobs)

    def _pushing(self) -> bool:
        return any(not job.done() for job in self._pending)

    def _finish_current_push(self) -> None:
        """Wait for the uploads that are under way."""
        if self._pushing():
            logger.info("Waiting for the current checkpoint push to be finished.")
        for job in self._pending:
            job.result()
        self._pending = ()
