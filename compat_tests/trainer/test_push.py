"""What a training run sends to a Hub."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import trainer_samples
from fake_hub import fake_hub

SCRIPT = """
import sys
from pathlib import Path
import hfpaddle.transformers as hf
from run_training import causal
trainer = causal(
    hf, Path(sys.argv[1]), Path(sys.argv[2]), push_to_hub=True, hub_model_id="someone/trained",
    hub_token="hf_secret", hub_strategy="all_checkpoints", hub_private_repo=True, max_steps=4,
    save_strategy="steps", save_steps=2, eval_strategy="epoch", hub_always_push=True,
)
trainer.push_to_hub(dataset="words")
"""


def test_push_to_hub(tmp_path):
    folder = trainer_samples.write_checkpoints(tmp_path / "checkpoints")
    with fake_hub() as hub:
        environment = {
            **os.environ,
            **{"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
            "PYTHONPATH": str(Path(__file__).parent),
        }
        environment.pop("HF_HUB_OFFLINE", None)
        command = [sys.executable, "-W", "ignore", "-c", SCRIPT, folder, tmp_path / "out"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    created = [r for r in hub.requests if r[1] == "/api/repos/create"]
    assert created and all(r[2] == "Bearer hf_secret" for r in created)
    commits = hub.commits["someone/trained"]
    said = [summary for _, summary, _ in commits]
    assert {"Training in progress, step 2", "Training in progress, step 4, checkpoint"} <= set(said)
    files = {name for _, summary, sent in commits if summary == said[-1] for name in sent}
    assert said[-1] == "End of training"
    assert {"model.safetensors", "config.json", "README.md", "tokenizer.json"} <= files
    assert not any(name.startswith(("checkpoint-", ".checkpoint-")) for name in files)
    card = next(sent["README.md"] for _, summary, sent in commits if summary == said[-1])
    assert b"words" in card and b"Training results" in card
    kept = {name for _, _, sent in commits for name in sent if name.startswith("checkpoint-4/")}
    assert {"checkpoint-4/optimizer.safetensors", "checkpoint-4/progress.json"} <= kept
