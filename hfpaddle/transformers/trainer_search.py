"""Search over hyperparameters: a Trainer that trains once a trial, with optuna's suggestions."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from transformers.trainer_utils import BestRun, HPSearchBackend, default_compute_objective
from transformers.utils import logging

from hfpaddle.core.errors import UnsupportedArgumentError

logger = logging.get_logger("transformers.trainer")  # so that its verbosity counts


class SearchMixin:
    """hyperparameter_search and what each trial does."""

    args: Any
    state: Any
    control: Any
    model_init: Any
    callback_handler: Any
    hp_search_backend: Any
    hp_name: Any
    objective: Any = None
    _trial: Any
    _train_batch_size: int

    def hyperparameter_search(
        self,
        hp_space: Callable | None = None,
        compute_objective: Callable | None = None,
        n_trials: int = 20,
        direction: str | list[str] = "minimize",
        backend: Any = None,
        hp_name: Callable | None = None,
        **kwargs: Any,
    ) -> BestRun | list[BestRun]:
        """Train ``n_trials`` times and return the best run, or runs for several directions.

        Args:
            hp_space: ``trial -> {field of TrainingArguments: value}``; upstream's default without.
            compute_objective: ``metrics -> number``: the loss, or the sum of other metrics.
            direction: ``"minimize"``, ``"maximize"``, or a list of them.
            backend: ``"optuna"``.
            hp_name: ``trial -> name`` of the trial's folder.
            kwargs: of ``optuna.create_study`` and ``Study.optimize``.
        Raises: RuntimeError without ``model_init``, or if optuna is not installed;
            UnsupportedArgumentError for another backend.
        """
        from transformers.hyperparameter_search import (
            ALL_HYPERPARAMETER_SEARCH_BACKENDS,
            default_hp_search_backend,
        )

        chosen = HPSearchBackend(default_hp_search_backend() if backend is None else backend)
        if chosen != HPSearchBackend.OPTUNA:
            raise UnsupportedArgumentError(
                f"hyperparameter_search(backend={chosen.value!r}) is not implemented. "
                "Use backend='optuna'."
            )
        tools = ALL_HYPERPARAMETER_SEARCH_BACKENDS[chosen]()
        tools.ensure_available()
        if self.model_init is None:
            raise RuntimeError(
                "To use hyperparameter search, you need to pass your model through a model_init "
                "function."
            )
        self.hp_search_backend, self.hp_name = chosen, hp_name
        self.hp_space = tools.default_hp_space if hp_space is None else hp_space
        self.compute_objective = compute_objective or default_compute_objective
        try:
            return self._search(n_trials, direction, kwargs)
        finally:
            self.hp_search_backend = None

    def _search(self, n_trials: int, direction: Any, kwargs: dict[str, Any]) -> Any:
        import optuna

        names = ("timeout", "n_jobs", "gc_after_trial", "catch")
        running = {name: kwargs.pop(name) for name in names if name in kwargs}
        if isinstance(direction, list):
            study = optuna.create_study(directions=direction, **kwargs)
        else:
            study = optuna.create_study(direction=direction, **kwargs)
        study.optimize(self._run_trial, n_trials=n_trials, **running)
        if isinstance(direction, list):
            return [BestRun(str(t.number), t.values, t.params) for t in study.best_trials]
        best = study.best_trial
        return BestRun(str(best.number), best.value, best.params)

    def _run_trial(self, trial: Any) -> Any:
        self.objective = None
        self.train(trial=trial)  # type: ignore[attr-defined]
        if self.objective is None:  # no evaluation while training
            self.objective = self.compute_objective(self.evaluate())  # type: ignore[attr-defined]
        return self.objective

    def _hp_search_setup(self, trial: Any) -> None:
        """Set the arguments that ``trial`` suggests."""
        self._trial = trial
        if self.hp_search_backend is None or trial is None:
            return
        for key, value in self.hp_space(trial).items():
            if not hasattr(self.args, key):
                logger.warning(f"{key} is no field of TrainingArguments: it is not set.")
                continue
            old = getattr(self.args, key)
            setattr(self.args, key, value if old is None else type(old)(value))
        logger.info(f"Trial: {trial.params}")
        self._train_batch_size = self.args.train_batch_size

    def _report_to_hp_search(self, trial: Any, step: int, metrics: dict[str, float]) -> None:
        """Tell the study of an evaluation, and stop a trial that it gives up.

        Raises: optuna.TrialPruned.
        """
        if self.hp_search_backend is None or trial is None:
            return
        self.objective = self.compute_objective(dict(metrics))
        if not hasattr(trial, "study") or trial.study._is_multi_objective():
            return
        trial.report(self.objective, step)
        if trial.should_prune():
            import optuna

            self.callback_handler.on_train_end(self.args, self.state, self.control)
            raise optuna.TrialPruned()

    def _get_output_dir(self, trial: Any) -> str:
        """Return where checkpoints go: a folder of its own for each trial."""
        if self.hp_search_backend is None or trial is None:
            return self.args.output_dir
        name = f"run-{trial.number}" if self.hp_name is None else self.hp_name(trial)
        return os.path.join(self.args.output_dir, name)
