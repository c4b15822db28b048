"""What a run of an example left behind, and how far two runs are apart."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

# The clock decides these; runs never agree on them.
CLOCK = ("runtime", "per_second", "total_flos")
# Numbers that the loss of a step decides; all others must be equal.
LOSSES = ("loss", "perplexity", "grad_norm", "entropy")
LOSS_LIMIT = 1e-3


@dataclass
class Record:
    """``logged`` maps (source, step, name) to a number; ``texts`` are generated sequences."""

    logged: dict[tuple[str, int, str], float] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0


def numbers(values: dict) -> dict[str, float]:
    """Return the numbers of a result that runs can agree on."""
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, (int, float)) and not any(word in name for word in CLOCK)
    }


def read_json(path: Path) -> dict[tuple[str, int, str], float]:
    """Return the numbers of a results file or a trainer_state.json."""
    content = json.loads(path.read_text())
    if path.name != "trainer_state.json":
        return {(path.name, 0, name): value for name, value in numbers(content).items()}
    return {
        (path.name, entry["step"], name): value
        for entry in content["log_history"]
        for name, value in numbers(entry).items()
        if name != "step"
    }


def read_events(path: Path) -> dict[tuple[str, int, str], float]:
    """Return the scalars of a TensorBoard event file: length, check, event, check, repeated."""
    from tensorboardX.proto.event_pb2 import Event

    content, start, found = path.read_bytes(), 0, {}
    while start < len(content):
        (size,) = struct.unpack_from("<Q", content, start)
        event = Event.FromString(content[start + 12 : start + 12 + size])
        start += size + 16
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                found["events", event.step, value.tag] = value.simple_value
            elif value.tensor.float_val:
                found["events", event.step, value.tag] = value.tensor.float_val[0]
    return found


def generated(output: str) -> list[str]:
    """Return the sequences that run_generation.py printed."""
    parts = output.split("=== GENERATED SEQUENCE ")[1:]
    return [part.partition("===\n")[2].rstrip("\n") for part in parts]


def read(out: Path, output: str) -> Record:
    """Collect what the run in folder ``out`` that printed ``output`` left."""
    record = Record(texts=generated(output))
    if not out.exists():
        return record
    record.files = sorted(path.name for path in out.iterdir() if path.is_file())
    for name in ("trainer_state.json", "train_results.json", "eval_results.json"):
        if name in record.files:
            record.logged |= read_json(out / name)
    adapted = "adapter_model.safetensors" in record.files
    if adapted and not record.logged:  # scripts for adapters leave checkpoints only
        steps = {int(path.name.rpartition("-")[2]): path for path in out.glob("checkpoint-*")}
        if steps:
            record.logged |= read_json(steps[max(steps)] / "trainer_state.json")
        record.weights = load_file(out / "adapter_model.safetensors")
    if not record.logged and "all_results.json" in record.files:
        record.logged |= read_json(out / "all_results.json")
    if "model.safetensors" in record.files:
        record.weights = load_file(out / "model.safetensors")
    for path in sorted(out.rglob("events.out.tfevents*")):
        record.logged |= read_events(path)
    return record


def is_loss(name: str) -> bool:
    return any(word in name for word in LOSSES)


def relative(ours: float, reference: float) -> float:
    if ours == reference:
        return 0.0
    return abs(ours - reference) / max(abs(reference), 1e-12)


@dataclass
class Verdict:
    problems: list[str]
    losses: int = 0
    largest: float = 0.0
    weights: float | None = None


def compare_weights(ours: dict, reference: dict, verdict: Verdict) -> None:
    """Ask for the same tensors of the same shapes, and note how far apart training left them."""
    shapes = [{name: array.shape for name, array in side.items()} for side in (ours, reference)]
    if shapes[0] != shapes[1]:
        odd = sorted(dict(shapes[0].items() ^ shapes[1].items()))
        verdict.problems.append(f"tensors of model.safetensors differ in name or shape: {odd}")
    elif reference:
        apart = [np.abs(ours[name] - reference[name]).max() for name in reference]
        verdict.weights = float(max(apart))


def compare(ours: Record, reference: Record, leaves: tuple[str, ...]) -> Verdict:
    """List what is not as in the reference: missing files, other keys, numbers apart, texts."""
    verdict = Verdict([])
    missing = [name for name in leaves if name not in ours.files]
    verdict.problems += [f"no file {name}" for name in missing]
    for key in sorted(ours.logged.keys() ^ reference.logged.keys()):
        where = "the reference" if key in reference.logged else "hfpaddle"
        verdict.problems.append(f"{key} only in {where}")
    if ours.texts != reference.texts:
        verdict.problems.append(f"generated {ours.texts}, the reference {reference.texts}")
    for key in sorted(ours.logged.keys() & reference.logged.keys()):
        apart = relative(ours.logged[key], reference.logged[key])
        limit = 0.0
        if is_loss(key[2]):
            limit = LOSS_LIMIT
            verdict.losses += "loss" in key[2] or "perplexity" in key[2]
            verdict.largest = max(verdict.largest, apart)
        elif key[2] == "learning_rate":
            limit = 1e-9
        if not apart <= limit:
            values = f"{ours.logged[key]:.8g}, the reference {reference.logged[key]:.8g}"
            verdict.problems.append(f"{key} is {values} ({apart:.1e} apart)")
    compare_weights(ours.weights, reference.weights, verdict)
    if not (reference.logged or reference.texts):
        verdict.problems.append("the reference logged nothing")
    return verdict
