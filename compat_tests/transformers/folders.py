"""Checkpoints on disk for the tests of loading and saving: what they hold, and that it stays so."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import torch
import transformers
from harness import TINY, batch, original

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "89abcdef0123456789abcdef0123456789abcdef"


def make(folder: Path, family: str = "llama", auto: str = "AutoModelForCausalLM", **fields) -> Any:
    """Let the original write a tiny model; ``torch_dtype`` is its storage dtype. Returns it."""
    dtype = fields.pop("torch_dtype", None)
    config = transformers.AutoConfig.for_model(family, **{**TINY, **fields})
    theirs = original(auto, config, folder)
    if dtype is not None:
        theirs = theirs.to(dtype)
        theirs.save_pretrained(folder)
    return theirs


def copy_of(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def state(folder: Path) -> dict[str, tuple]:
    """What anyone could change below ``folder``: names, links, sizes, times, contents."""
    found = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        link = os.readlink(path) if path.is_symlink() else None
        digest = None
        if path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = (info.st_mode, info.st_mtime_ns, link, digest)
    return found


def edit_config(folder: Path, **fields: Any) -> Path:
    """Set fields of config.json; ``None`` removes one."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    return folder


def hub_cache(
    cache: Path, repo: str, folder: Path, commit: str = COMMIT, ref: str = "main"
) -> Path:
    """Lay ``folder`` out as the Hub's client caches it, below ``cache``; returns the snapshot."""
    root = cache / ("models--" + repo.replace("/", "--"))
    snapshot = root / "snapshots" / commit
    for path in (p for p in folder.rglob("*") if p.is_file()):
        blob = root / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, blob)
        link = snapshot / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / ref).write_text(commit)
    return snapshot


def scores(model: Any, **kwargs: Any) -> np.ndarray:
    """The model's logits (or last states) for one fixed batch, as float32."""
    ids, mask = batch(left_padded=False)
    make_tensor = torch.tensor if isinstance(model, torch.nn.Module) else paddle.to_tensor
    with torch.no_grad(), paddle.no_grad():
        output = model(input_ids=make_tensor(ids), attention_mask=make_tensor(mask), **kwargs)
    output = output[0].detach()
    output = output.float() if isinstance(model, torch.nn.Module) else output.astype("float32")
    return output.numpy()[mask > 0]


def run(code: str, *args: Any, **env: str) -> subprocess.CompletedProcess:
    """Run Python code in a process of its own; it must succeed. Returns it, output as text."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    clean |= {"OMP_NUM_THREADS": "1", **env}
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, args)]
    done = subprocess.run(command, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done
