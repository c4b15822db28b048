"""What benchmarks share: results with quantiles, and measurements in processes of their own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OURS = ROOT / ".venv" / "bin" / "python"
THEIRS = ROOT / ".venv-compat" / "bin" / "python"
THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))

# Memory of a process, in MB, from the kernel. peak() counts from the last reset_peak().
MEMORY = """
import re
def _status(key):
    return int(re.search(key + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
def resident(): return _status("VmRSS")
def peak(): return _status("VmHWM")
def reset_peak(): open("/proc/self/clear_refs", "w").write("5")
"""


@dataclass
class Result:
    """One measured thing. ``good`` says whether the goal, if there is one, was reached; ``extra``
    holds conditions that this benchmark alone has."""

    what: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float]
    goal: str = ""
    good: bool | None = None
    extra: dict[str, str] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        ours, theirs = quantiles(self.ours), quantiles(self.theirs)
        row: dict[str, Any] = {"what": self.what, "unit": self.unit, "runs": len(self.ours)}
        for side, values in (("ours", ours), ("theirs", theirs)):
            named = zip(("p20", "p50", "p80"), values, strict=True)
            row |= {f"{side}_{quantile}": f"{value:.4g}" for quantile, value in named}
        return row | {"ratio": f"{ours[1] / theirs[1]:.3f}", "goal": self.goal}


def quantiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the 20 %, 50 % and 80 % quantiles."""
    if len(values) < 2:
        return (values[0],) * 3
    low, *_, high = statistics.quantiles(values, n=5, method="inclusive")
    return low, statistics.median(values), high


def child(python: Path, code: str, *arguments: str) -> dict[str, Any]:
    """Run ``code`` after MEMORY in a fresh process; its last line is the result, as JSON."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "HF_HUB_OFFLINE": "1"}
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    command = [str(python), "-W", "ignore", "-c", MEMORY + code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"benchmark process failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


class Worker:
    """A process that does one thing whenever it is told to, so that several can take turns.

    ``code`` prints JSON: "ready" when it may be told, and then reads a line; and what it found.
    """

    def __init__(self, python: Path, code: str, *arguments: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "HF_HUB_OFFLINE": "1"}
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [str(python), "-W", "ignore", "-c", code, *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.read("ready")

    def read(self, key: str) -> Any:
        """Skip to the message that is or has ``key``."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                continue  # what a library prints
            if message == key or (isinstance(message, dict) and key in message):
                return message
        self.errors.seek(0)
        raise RuntimeError(f"benchmark process failed:\n{self.errors.read()[-4000:]}")

    def go(self) -> None:
        """Tell it to do its thing."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def write_checkpoint(folder: str, config: dict[str, Any]) -> None:
    """Let the product draw the weights of a Llama that both sides start from."""
    code = (
        "import json, sys, transformers, hfpaddle.transformers as hf\n"
        "hf.set_seed(0)\n"
        "config = transformers.LlamaConfig(**json.loads(sys.argv[2]))\n"
        "hf.LlamaForCausalLM(config).save_pretrained(sys.argv[1])\n"
    )
    command = [str(OURS), "-W", "ignore", "-c", code, folder, json.dumps(config)]
    subprocess.run(command, check=True, capture_output=True)
