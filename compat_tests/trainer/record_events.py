"""What callbacks see, and what a run leaves behind, in either library.

``python record_events.py torch|paddle FOLDER OUT.json CASE...`` runs the cases in one process;
FOLDER is that of `run_training`.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from run_training import Examples, causal

FLAGS = ("training_stop", "epoch_stop", "save", "evaluate", "log")


def recorder(hf, act=None):
    """Return a callback that notes every event; ``act(event, args, state, control)`` may steer."""
    events = []

    def note(event):
        def called(self, args, state, control, **kwargs):
            flags = [flag for flag in FLAGS if getattr(control, f"should_{flag}")]
            given = sorted(k for k, v in kwargs.items() if v is not None)
            epoch = None if state.epoch is None else round(state.epoch, 6)
            events.append([event, state.global_step, epoch, flags, given])
            if act is not None:
                act(event, args, state, control)

        return called

    names = [n for n in dir(hf.TrainerCallback) if n.startswith("on_")]
    cls = type("Recorder", (hf.TrainerCallback,), {n: note(n) for n in names})
    return cls(), events


class Stream:
    """Rows in order, without a length."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


def streamed(hf):
    """A Stream that the library takes for an iterable data set."""
    if hf.__name__ == "transformers":
        from torch.utils.data import IterableDataset
    else:
        from hfpaddle.torch.utils.data import IterableDataset
    return type("Streamed", (Stream, IterableDataset), {})


def run(
    hf, folder, out, act=None, stream=0, after=None, before=None, early=None, again=None, **kwargs
):
    callback, events = recorder(hf, act)
    callbacks = [callback]
    if early is not None:
        callbacks.append(hf.EarlyStoppingCallback(early_stopping_patience=early))
    resume = None if again is None else out / f"checkpoint-{kwargs['save_steps']}"
    for options in ({}, again)[: 1 if again is None else 2]:
        trainer = causal(hf, folder, out, callbacks=callbacks, train=False, **kwargs | options)
        if stream:
            tokenizer = hf.AutoTokenizer.from_pretrained(folder / "llama")
            trainer.train_dataset = streamed(hf)(Examples(tokenizer, stream, 0).rows)
        if before is not None:
            before(trainer)
        output = trainer.train(resume_from_checkpoint=str(resume) if options is again else None)
    if after is not None:
        after(trainer)
    return trainer, events, output


def stop_at(event, step, flag):
    def act(name, args, state, control):
        if name == event and state.global_step == step:
            setattr(control, f"should_{flag}", True)

    return act


def evaluated(trainer):
    trainer.evaluate()
    trainer.evaluate({"one": trainer.eval_dataset, "two": trainer.eval_dataset})
    trainer.predict(trainer.eval_dataset)


STEPS = {"eval_strategy": "steps", "save_strategy": "steps"}
CASES = {
    "plain": {"save_strategy": "epoch", "after": evaluated},
    "accumulated": {
        **STEPS,
        **{"gradient_accumulation_steps": 4, "logging_first_step": True, "logging_steps": 2},
        **{"eval_steps": 1, "save_steps": 2, "eval_on_start": True},
    },
    "epochs": {
        **{"eval_strategy": "epoch", "save_strategy": "epoch", "logging_strategy": "epoch"},
        **{"num_train_epochs": 1.5, "load_best_model_at_end": True, "save_total_limit": 1},
    },
    "fractions": {
        **STEPS,
        **{"logging_steps": 0.25, "eval_steps": 0.25, "save_steps": 0.5, "eval_delay": 4},
    },
    "best": {
        **{"eval_strategy": "steps", "save_strategy": "best", "eval_steps": 2},
        **{"metric_for_best_model": "loss", "learning_rate": 0.01},
    },
    "early": {
        **STEPS,
        # A loss that should rise does not.
        **{"eval_steps": 2, "save_steps": 2, "early": 1, "greater_is_better": True},
        **{"load_best_model_at_end": True, "metric_for_best_model": "eval_loss"},
    },
    "evaluated-first": {"before": evaluated, "max_steps": 3, "eval_strategy": "epoch"},
    "silent": {"logging_strategy": "no", "save_strategy": "no"},
    "stop-in-substep": {
        "act": stop_at("on_substep_end", 1, "training_stop"),
        "gradient_accumulation_steps": 3,
    },
    "stop-epoch": {"act": stop_at("on_step_end", 2, "epoch_stop"), "eval_strategy": "epoch"},
    "stop-epoch-in-substep": {
        **{"act": stop_at("on_substep_end", 1, "epoch_stop")},
        **{"gradient_accumulation_steps": 3, "eval_strategy": "epoch"},
    },
    "stop-at-begin": {"act": stop_at("on_step_begin", 3, "training_stop")},
    "stream": {"stream": 22, "max_steps": 9, "save_strategy": "steps", "save_steps": 4},
    "max-steps": {"max_steps": 7, "gradient_accumulation_steps": 2, "eval_strategy": "epoch"},
    # Upstream forgets losses that were not logged before the checkpoint: here they are.
    "resumed": {**STEPS, "again": {}, "save_steps": 4, "eval_steps": 3, "logging_steps": 2},
    "resumed-ignoring": {**STEPS, "again": {"ignore_data_skip": True}, "save_steps": 4},
    "resumed-otherwise": {
        **{"again": {"per_device_train_batch_size": 2, "save_steps": 3, "num_train_epochs": 3}},
        **{"save_strategy": "steps", "save_steps": 4},
    },
    "resumed-stream": {
        # Upstream does not find its place in a stream that has begun anew.
        **{"again": {}, "save_strategy": "steps", "save_steps": 2},
        **{"stream": 22, "max_steps": 9, "gradient_accumulation_steps": 2},
    },
    "tokens": {"include_num_input_tokens_seen": "non_padding"},
    "all-tokens": {"include_num_input_tokens_seen": True, "max_grad_norm": 0.0},
}


def final_state(place: Path):
    found = sorted(place.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    return json.loads((found[-1] / "trainer_state.json").read_text()) if found else None


def main(world: str, folder: Path, out: Path, names: list[str]) -> None:
    if world == "torch":
        import transformers as hf
    else:
        import hfpaddle.transformers as hf
    results = {}
    for name in names:
        place = out.parent / f"{world}-{name}"
        shutil.rmtree(place, ignore_errors=True)
        trainer, events, output = run(hf, folder, place, **CASES[name])
        results[name] = {
            "events": events,
            "log": trainer.state.log_history,
            "state": final_state(place),
            "folders": sorted(p.name for p in place.iterdir()),
            "output": [output.global_step, output.training_loss, sorted(output.metrics)],
        }
    out.write_text(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:] or list(CASES))
