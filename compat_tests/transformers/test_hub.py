"""The Hub's cache, and a Hub: what is read, what is fetched, what is sent, what is said."""

import json
import shutil

import numpy as np
import paddle
import pytest
import torch
import transformers
from fake_hub import SHA, fake_hub
from folders import COMMIT, OTHER_COMMIT, copy_of, hub_cache, make, run, scores, state
from safetensors.torch import load_file

from hfpaddle.core.errors import CheckpointError, MissingFileError
from hfpaddle.modeling.auto import AutoModelForCausalLM
from hfpaddle.models.llama import LlamaForCausalLM

REPO = "someone/tiny"


def load(name=REPO, **kwargs):
    return AutoModelForCausalLM.from_pretrained(name, local_files_only=True, **kwargs)


def same(ours, theirs):
    np.testing.assert_allclose(scores(ours), scores(theirs), atol=1e-4)


def test_cache(llama, tmp_path):
    folder, theirs = llama
    hub_cache(tmp_path, REPO, folder)
    before = state(tmp_path)
    for auto in (AutoModelForCausalLM, LlamaForCausalLM):
        for where in (tmp_path, str(tmp_path)):
            model = auto.from_pretrained(REPO, cache_dir=where, local_files_only=True)
            same(model, theirs)
            assert model.name_or_path == model.config.name_or_path == REPO
    same(load(cache_dir=tmp_path, token="hf_abc", force_download=False), theirs)
    same(load(cache_dir=tmp_path, token=False, proxies={"https": "http://127.0.0.1:9"}), theirs)
    same(load(cache_dir=tmp_path, use_auth_token="hf_abc"), theirs)
    assert state(tmp_path) == before


def test_cache_revisions_subfolder_variant(llama, tied, tmp_path):
    """Each of them reaches config, weights and generation config."""
    first = copy_of(llama[0], tmp_path / "first")
    settings = transformers.GenerationConfig(top_k=7, do_sample=True)
    settings.save_pretrained(first)
    copy_of(first, first / "inner" / "part")
    shutil.move(first / "model.safetensors", first / "model.fp16.safetensors")
    hub_cache(tmp_path / "cache", REPO, first)
    hub_cache(tmp_path / "cache", REPO, tied[0], OTHER_COMMIT, ref="v2")
    cache = {"cache_dir": tmp_path / "cache"}
    same(load(revision="v2", **cache), tied[1])
    same(load(revision=OTHER_COMMIT, **cache), tied[1])
    same(load(revision=COMMIT, variant="fp16", **cache), llama[1])
    inner = load(subfolder="inner/part", **cache)
    same(inner, llama[1])
    assert inner.generation_config.top_k == 7
    with pytest.raises(MissingFileError, match="tiny does not appear to have a file named"):
        load(**cache)
    with pytest.raises(CheckpointError, match="v9"):
        load(revision="v9", **cache)


def test_cache_other_formats(llama, tmp_path):
    """Without model.safetensors: shards, then torch files, single and in shards."""
    folder, theirs = llama
    config = folder / "config.json"
    sharded, binary, parts = (tmp_path / n for n in ("sharded", "binary", "parts"))
    theirs.save_pretrained(sharded, max_shard_size="40KB")
    for target in (binary, parts):
        target.mkdir()
        shutil.copyfile(config, target / "config.json")
    weights = theirs.state_dict()
    torch.save(weights, binary / "pytorch_model.bin")
    names = sorted(weights)
    index = {}
    for i, part in enumerate((names[:9], names[9:])):
        file = f"pytorch_model-{i + 1:05d}-of-00002.bin"
        torch.save({n: weights[n] for n in part}, parts / file)
        index |= dict.fromkeys(part, file)
    text = json.dumps({"metadata": {}, "weight_map": index})
    (parts / "pytorch_model.bin.index.json").write_text(text)
    for source in (sharded, binary, parts):
        hub_cache(tmp_path / "cache", f"someone/{source.name}", source)
        same(load(f"someone/{source.name}", cache_dir=tmp_path / "cache"), theirs)
    next((tmp_path / "cache").rglob("snapshots/*/pytorch_model-00002-of-00002.bin")).unlink()
    with pytest.raises(MissingFileError, match="pytorch_model-00002-of-00002.bin"):
        load("someone/parts", cache_dir=tmp_path / "cache")
    with pytest.raises(MissingFileError, match="someone/binary does not appear to have a file"):
        load("someone/binary", cache_dir=tmp_path / "cache", use_safetensors=True)


@pytest.mark.parametrize("name", ["nobody/nothing", "nothing", "a/b/c", "no:colon", ""])
def test_cache_without_the_model(name, tmp_path):
    """The original's own words where the cache has nothing, and an OSError as there."""
    # The original's model classes look for an adapter online first, even so.
    with pytest.raises((OSError, ValueError)) as theirs:
        transformers.AutoConfig.from_pretrained(name, cache_dir=tmp_path, local_files_only=True)
    with pytest.raises(CheckpointError) as ours:
        load(name, cache_dir=tmp_path)
    if name == "nobody/nothing":
        assert str(theirs.value).split("\n")[0] in str(ours.value)


OFFLINE = """
import sys, numpy as np, paddle
from hfpaddle.transformers import AutoModelForCausalLM, AutoConfig
model = AutoModelForCausalLM.from_pretrained("someone/tiny")
np.save(sys.argv[1], model(paddle.to_tensor([[5, 6, 7]])).logits.numpy())
assert AutoConfig.from_pretrained("someone/tiny").model_type == "llama"
try:
    AutoModelForCausalLM.from_pretrained("someone/absent")
except OSError as error:
    print("absent:", type(error).__name__, error)
"""


def test_offline_variable(llama, tmp_path):
    """HF_HUB_OFFLINE=1 and HF_HOME, as a script meets them: nothing is asked, nothing written."""
    folder, theirs = llama
    hub_cache(tmp_path / "home" / "hub", REPO, folder)
    before = state(tmp_path / "home")
    with fake_hub() as hub:
        env = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": hub.url}
        done = run(OFFLINE, tmp_path / "logits.npy", **env)
        assert not hub.requests
    with torch.no_grad():
        want = theirs(torch.tensor([[5, 6, 7]])).logits.numpy()
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), want, atol=1e-4)
    assert "absent: CheckpointError" in done.stdout
    assert state(tmp_path / "home") == before


ONLINE = """
import json, sys, numpy as np, paddle
from hfpaddle.transformers import AutoModelForCausalLM
from hfpaddle.core.errors import CheckpointError, MissingFileError
load = AutoModelForCausalLM.from_pretrained
ids = paddle.to_tensor([[5, 6, 7]])
found = {
    "plain": load("someone/tiny", token="hf_secret"),
    "sharded": load("someone/sharded"),
    "binary": load("someone/binary"),
    "branch": load("someone/tiny", revision="branch"),
}
np.savez(sys.argv[1], **{k: m(ids).logits.numpy() for k, m in found.items()})
again = load("someone/tiny", local_files_only=True)
assert again.generation_config.top_k == 7
said = {}
for name, kwargs in {
    "someone/absent": {}, "someone/tiny": {"revision": "nowhere"}, "someone/empty": {},
    "someone/tiny ": {}, "someone/incomplete": {},
}.items():
    try:
        load(name, **kwargs)
    except CheckpointError as error:
        said[name + str(kwargs)] = [type(error).__name__, str(error)]
print(json.dumps(said))
"""


def test_download(llama, tied, tmp_path):
    """From a Hub into the cache: each file once, one commit a load, the token sent along."""
    first, other = copy_of(llama[0], tmp_path / "first"), copy_of(tied[0], tmp_path / "other")
    transformers.GenerationConfig(top_k=7, do_sample=True).save_pretrained(first)
    sharded, binary, empty = (tmp_path / n for n in ("sharded", "binary", "empty"))
    llama[1].save_pretrained(sharded, max_shard_size="40KB")
    for folder in (binary, empty):
        folder.mkdir()
        shutil.copyfile(first / "config.json", folder / "config.json")
    torch.save(llama[1].state_dict(), binary / "pytorch_model.bin")
    broken = copy_of(sharded, tmp_path / "broken")
    sorted(broken.glob("*.safetensors"))[1].unlink()
    with fake_hub() as hub:
        hub.repos[REPO] = {"main": first, "branch": other}
        hub.repos["someone/sharded"] = {"main": sharded}
        hub.repos["someone/binary"] = {"main": binary}
        hub.repos["someone/empty"] = {"main": empty}
        hub.repos["someone/incomplete"] = {"main": broken}
        env = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url}
        done = run(ONLINE, tmp_path / "logits.npz", **env)
    models = {"plain": llama, "sharded": llama, "binary": llama, "branch": tied}
    with torch.no_grad():
        ids = torch.tensor([[5, 6, 7]])
        want = {name: model(ids).logits.numpy() for name, (_, model) in models.items()}
    for name, logits in np.load(tmp_path / "logits.npz").items():
        np.testing.assert_allclose(logits, want[name], atol=1e-4, err_msg=name)
    fetched = [path for method, path, _ in hub.requests if method == "GET" and "/resolve/" in path]
    fetched = [path for path in fetched if path.startswith(f"/someone/tiny/resolve/{SHA}/")]
    names = sorted(path.rsplit("/", 1)[1] for path in fetched)
    assert names == ["config.json", "generation_config.json", "model.safetensors"]
    assert ("GET", fetched[0], "Bearer hf_secret") in hub.requests
    said = json.loads(done.stdout.splitlines()[-1])
    absent = said["someone/absent{}"][1]
    assert "is not a local folder and is not a valid model identifier" in absent
    assert "is not a valid git identifier" in said["someone/tiny{'revision': 'nowhere'}"][1]
    kind, text = said["someone/empty{}"]
    assert kind == "MissingFileError" and "does not appear to have a file named" in text
    kind, text = said["someone/incomplete{}"]
    assert kind == "MissingFileError" and "-00002-of-" in text
    assert len(said) == 5


UPLOAD = """
import sys
from hfpaddle.transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
info = model.push_to_hub(
    "someone/pushed", token="hf_secret", private=True, max_shard_size="40KB",
    commit_message="First", tags=["tiny"],
)
assert info.oid == sys.argv[3], info
model.save_pretrained(
    sys.argv[2] + "/again", push_to_hub=True, token="hf_secret", commit_message="Second"
)
model.push_to_hub("pushed", token="hf_secret", revision="branch")
"""


def test_push_to_hub(llama, tmp_path):
    folder, _ = llama
    # Loaded, not built: the original sorts what came from a checkpoint before it cuts shards.
    loaded = transformers.LlamaForCausalLM.from_pretrained(folder)
    loaded.save_pretrained(tmp_path / "want", max_shard_size="40KB")
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "notes.txt").write_text("mine")
    with fake_hub() as hub:
        env = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url}
        run(UPLOAD, folder, tmp_path, SHA, **env)
    ((revision, summary, files),) = hub.commits["someone/pushed"]
    assert (revision, summary) == ("main", "First")
    assert b"- tiny" in files.pop("README.md")
    want = {p.name: p.read_bytes() for p in (tmp_path / "want").iterdir()}
    assert files.keys() == want.keys()
    for name in want:
        if name.endswith(".json"):
            assert json.loads(files[name]) == json.loads(want[name]), name
        else:
            assert files[name] == want[name], name
    ((revision, summary, files),) = hub.commits["me/again"]
    assert (revision, summary) == ("main", "Second")
    assert sorted(files) == ["README.md", *sorted(p.name for p in folder.iterdir())]
    ((revision, summary, _),) = hub.commits["me/pushed"]
    assert (revision, summary) == ("branch", "Upload LlamaForCausalLM")
    assert hub.branches == ["branch"]
    assert hub.created[0]["visibility"] == "private"
    assert all(token == "Bearer hf_secret" for method, _, token in hub.requests if method == "POST")


def test_bytes_written_back_to_a_cache_leave_its_blobs(llama, tmp_path):
    """Saving into a snapshot folder replaces its links; the shared blobs stay as they are."""
    snapshot = hub_cache(tmp_path, REPO, llama[0])
    before = state(snapshot.parents[1] / "blobs")
    model = load(snapshot)
    with paddle.no_grad():
        model.lm_head.weight.scale_(2.0)
    model.save_pretrained(snapshot)
    assert state(snapshot.parents[1] / "blobs") == before
    saved = load_file(snapshot / "model.safetensors")["lm_head.weight"]
    assert torch.equal(saved, 2 * llama[1].lm_head.weight)


def test_source_is_never_written(tmp_path):
    """Neither a folder nor a file's bytes change, whatever happens to the model."""
    make(tmp_path / "source")
    before = state(tmp_path)
    model = load(tmp_path / "source")
    model.train()
    with paddle.no_grad():
        for parameter in model.parameters():
            parameter.scale_(3.0)
    model.resize_token_embeddings(120)
    assert state(tmp_path) == before
