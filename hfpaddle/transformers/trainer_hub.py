"""Model cards and uploads of a Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, HubStrategy
from transformers.utils import logging

logger = logging.get_logger("transformers.trainer")  # so that its verbosity counts
_IGNORED = ["_*", f"{PREFIX_CHECKPOINT_DIR}-*", ".checkpoint-*"]


class HubMixin:
    """What goes to the Hub when ``push_to_hub`` is set, or `push_to_hub` called."""

    args: Any
    model: Any
    state: Any
    processing_class: Any
    hub_model_id: str | None
    _pending_push: Any = None

    def init_hf_repo(self, token: str | None = None) -> None:
        """Make the repository if it is not there."""
        from huggingface_hub import create_repo

        args = self.args
        name = args.hub_model_id or Path(args.output_dir).absolute().name
        made = create_repo(
            name, token=token or args.hub_token, private=args.hub_private_repo, exist_ok=True
        )
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
        from transformers.modelcard import TrainingSummary

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
        folder = Path(self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "README.md").write_text(summary.to_model_card(), encoding="utf-8")

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Save the model, write its card, and upload the output folder without checkpoints."""
        if self.hub_model_id is None:
            self.init_hf_repo(token=token)
        self.save_model(_internal_call=True)  # type: ignore[attr-defined]
        names = {"model_name": Path(self.args.output_dir).absolute().name, **kwargs}
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
        busy = self._pending_push is not None and not self._pending_push.done()
        if busy and not self.args.hub_always_push:
            return
        self.save_model(self.args.output_dir, _internal_call=True)  # type: ignore[attr-defined]
        message = f"Training in progress, step {self.state.global_step}"
        self._pending_push = self._upload(self.args.output_dir, None, message, blocking=False)
        if strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
            last = strategy == HubStrategy.CHECKPOINT
            name = "last-checkpoint" if last else Path(checkpoint_folder).name
            self._pending_push = self._upload(
                checkpoint_folder, name, f"{message}, checkpoint", blocking=False, ignored=[]
            )

    def _finish_current_push(self) -> None:
        """Wait for an upload that is under way."""
        if self._pending_push is not None and not self._pending_push.done():
            logger.info("Waiting for the current checkpoint push to be finished.")
            self._pending_push.result()
