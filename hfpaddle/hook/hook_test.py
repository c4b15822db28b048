"""The hook, each time in a process of its own: it changes the process that it is installed in."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.unit


def python(*arguments: str, cwd=None, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
    )


def script(tmp_path, text: str, name: str = "script.py") -> str:
    path = tmp_path / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return str(path)


def run(tmp_path, text: str, *arguments: str) -> list[str]:
    """Run ``text`` under the hook; return the lines that it printed."""
    done = python("-m", "hfpaddle", "run", script(tmp_path, text), *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_way_to_import_reaches_the_mirror(tmp_path):
    lines = run(
        tmp_path,
        """
        import importlib, sys
        import torch, torch.nn.functional as F, torch.utils.data, accelerate
        import transformers, transformers.utils
        import transformers.trainer_utils as utils
        from torch import nn
        from transformers import Trainer, AutoModelForCausalLM as Model
        from transformers.models.llama.modeling_llama import LlamaForCausalLM
        from transformers.models.llama import LlamaConfig
        from transformers.utils.versions import require_version
        from accelerate.utils import set_seed

        def late():
            from transformers import pipeline
            return pipeline

        for thing in (torch, F, torch.utils.data, accelerate, transformers, transformers.utils,
                      utils, nn, importlib.import_module("transformers"),
                      importlib.import_module("transformers.trainer"),
                      __import__("torch.optim").optim):
            print(thing.__name__)
        for thing in (Trainer, Model, LlamaForCausalLM, set_seed, late()):
            print(thing.__module__)
        print(torch.nn is sys.modules["hfpaddle.torch.nn"] is nn)
        """,
    )
    assert all(line.startswith("hfpaddle.") for line in lines[:-1]), lines
    assert lines[-1] == "True"


def test_hfpaddle_and_transformers_keep_the_real_transformers(tmp_path):
    lines = run(
        tmp_path,
        """
        import pickle, sys
        from transformers import BertTokenizerFast, LlamaConfig, is_torch_available
        real = sys.modules["transformers"]
        print(real.__name__, real.is_torch_available(), is_torch_available())
        print(LlamaConfig.__module__)
        print(type(pickle.loads(pickle.dumps(LlamaConfig()))) is LlamaConfig)
        """,
    )
    assert lines[0] == "transformers False True"
    assert lines[1].startswith("transformers.models.llama")
    assert lines[2] == "True"


def test_versions_and_availability(tmp_path):
    lines = run(
        tmp_path,
        """
        import importlib.metadata, importlib.util
        from transformers.utils import is_accelerate_available
        from transformers.utils.versions import require_version
        require_version("torch>=2.6")
        require_version("accelerate>=1.0")
        print(importlib.metadata.version("torch") == __import__("torch").__version__)
        print(importlib.util.find_spec("torch") is not None, is_accelerate_available())
        print(importlib.util.find_spec("torch.no_such_part"))
        """,
    )
    assert lines == ["True", "True True", "None"]


def test_what_has_no_mirror_is_not_there(tmp_path):
    lines = run(
        tmp_path,
        """
        import importlib.util
        from hfpaddle.core import mirrors as names
        missing = [name for name in names.ALIASED if not names.mirrored(name)]
        for name in missing:
            print(importlib.util.find_spec(name))
            try:
                __import__(name)
            except ModuleNotFoundError as error:
                print(error.name == name and "no mirror" in str(error))
        for name in ("transformers.no_such", "torch.no_such"):
            try:
                __import__(name)
            except ModuleNotFoundError as error:
                print(error)
        try:
            from transformers import NoSuchName
        except ImportError as error:
            print(error)
        """,
    )
    *pairs, upstream, torch, name = lines
    assert pairs == ["None", "True"] * (len(pairs) // 2)
    assert "transformers.no_such" in upstream and "torch.no_such" in torch and "NoSuchName" in name


def test_a_script_runs_as_python_runs_it(tmp_path):
    script(tmp_path, "value = 7", "beside.py")
    lines = run(
        tmp_path,
        """
        import sys, beside
        print(__name__, __file__.endswith("script.py"), sys.argv[1:], beside.value)
        print(sys.modules["__main__"].__dict__ is globals())
        """,
        "--flag",
        "-m",
    )
    assert lines == ["__main__ True ['--flag', '-m'] 7", "True"]


@pytest.mark.parametrize(
    ("ending", "code", "words"),
    [
        ("sys.exit(3)", 3, []),
        ("sys.exit()", 0, []),
        ("1 / 0", 1, ["ZeroDivisionError", 'script.py", line 3']),
        ("raise KeyboardInterrupt", 130, ["KeyboardInterrupt"]),
    ],
)
def test_exit_codes_and_tracebacks_are_pythons(tmp_path, ending, code, words):
    path = script(tmp_path, f"import sys\nprint('ran')\n{ending}\n")
    done = python("-m", "hfpaddle", "run", path)
    assert (done.returncode, done.stdout) == (code, "ran\n")
    assert all(word in done.stderr for word in words)
    assert "cli/run.py" not in done.stderr


def test_modules_run_too(tmp_path):
    script(tmp_path, "import sys, torch\nprint(torch.__name__, sys.argv[1:], __name__)", "mod.py")
    done = python("-m", "hfpaddle", "run", "-m", "mod", "a", cwd=tmp_path)
    assert done.stdout == "hfpaddle.torch ['a'] __main__\n", done.stderr


def test_a_missing_script_is_named(tmp_path):
    done = python("-m", "hfpaddle", "run", "nowhere.py", cwd=tmp_path)
    assert done.returncode == 1 and "nowhere.py" in done.stderr


CHILD = "import torch, transformers; print(torch.__name__, transformers.__name__)"


def test_children_inherit(tmp_path):
    """A subprocess, a spawned worker that unpickles a class of the script, and a forked one."""
    lines = run(
        tmp_path,
        f"""
        import multiprocessing, subprocess, sys
        import torch
        from torch.utils.data import DataLoader, Dataset

        class Squares(Dataset):
            def __len__(self):
                return 4
            def __getitem__(self, i):
                import torch, transformers
                assert torch.__name__ == "hfpaddle.torch", torch
                assert transformers.__name__ == "hfpaddle.transformers"
                return torch.tensor(i * i)

        if __name__ == "__main__":
            subprocess.run([sys.executable, "-c", {CHILD!r}], check=True)
            sys.stdout.flush()
            for context in ("fork", "spawn"):
                loader = DataLoader(Squares(), num_workers=1, multiprocessing_context=context)
                print([int(x) for x in loader])
        """,
    )
    assert lines == ["hfpaddle.torch hfpaddle.transformers", "[0, 1, 4, 9]", "[0, 1, 4, 9]"]


def test_a_users_sitecustomize_still_runs(tmp_path):
    script(tmp_path, "import os; os.environ['SEEN'] = 'yes'", "sitecustomize.py")
    path = script(
        tmp_path,
        """
        import subprocess, sys
        code = "import os, torch; print(os.environ.get('SEEN'), torch.__name__)"
        subprocess.run([sys.executable, "-c", code], check=True)
        """,
    )
    done = python("-m", "hfpaddle", "run", path, PYTHONPATH=str(tmp_path))
    assert done.stdout == "yes hfpaddle.torch\n", done.stderr


def test_a_process_without_the_variable_is_left_alone(tmp_path):
    code = "import sys, os; print('hfpaddle' in sys.modules)"
    done = python("-c", code, PYTHONPATH=os.path.join(os.path.dirname(__file__), "site"))
    assert done.stdout == "False\n"


def test_install_refuses_a_process_that_holds_the_real_torch(tmp_path):
    script(tmp_path, "__version__ = '9.9'", "torch.py")
    code = "import torch, hfpaddle; hfpaddle.install()"
    done = python("-c", code, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "HookError" in done.stderr and "9.9" in done.stderr and "hfpaddle run" in done.stderr


def test_uninstall_restores(tmp_path):
    lines = run_plain(
        tmp_path,
        """
        import builtins, importlib, os, sys
        import paddle, transformers
        real, before = transformers, set(sys.modules)
        state = lambda: (builtins.__import__, importlib.import_module, list(sys.meta_path),
                         os.environ.get("PYTHONPATH"), os.environ.get("HFPADDLE_HOOK"),
                         transformers.utils.import_utils._is_package_available,
                         paddle.Tensor.__dict__.get("__iadd__"))
        first = state()
        import hfpaddle
        hfpaddle.install(); hfpaddle.install()
        import torch
        import transformers
        print(transformers.__name__, torch._switch.is_on())
        hfpaddle.uninstall(); hfpaddle.uninstall()
        import transformers
        print(transformers is real, state() == first, torch._switch.is_on())
        print([name for name in sys.modules if name.partition(".")[0] in ("torch", "accelerate")])
        hfpaddle.install()
        import torch, transformers
        print(transformers.__name__, torch._switch.is_on())
        """,
    )
    assert lines == [
        "hfpaddle.transformers True",
        "True True False",
        "[]",
        "hfpaddle.transformers True",
    ]


def run_plain(tmp_path, text: str) -> list[str]:
    done = python(script(tmp_path, text))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("package", ["transformers", "accelerate"])
def test_tensors_are_torchs_in_a_script_that_does_not_import_torch(tmp_path, package):
    lines = run(
        tmp_path,
        f"""
        import {package}, paddle
        x = paddle.to_tensor([[1.0, 3.0]])
        print(x.view(-1).shape, x.max(dim=1).indices, x.mean(axis=1), "torch" in globals())
        """,
    )
    assert lines == ["torch.Size([2]) tensor([1]) tensor([2.]) False"]


def test_names_of_submodules_that_need_torch_upstream(tmp_path):
    lines = run(
        tmp_path,
        """
        from transformers.trainer import TRAINER_STATE_NAME, Trainer
        from transformers.trainer_pt_utils import distributed_broadcast_scalars as Missing
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.models.llama import modeling_llama
        print(TRAINER_STATE_NAME, Trainer.__module__, modeling_llama.__name__)
        for use in (Missing, get_model_conversion_mapping):
            try:
                use(1)
            except NotImplementedError as error:
                print(type(error).__name__)
        try:
            from transformers.trainer import nonsense
        except ImportError as error:
            print(error.name)
        """,
    )
    first = "trainer_state.json hfpaddle.transformers.trainer "
    first += "hfpaddle.transformers.models.llama.modeling_llama"
    assert lines == [first, *["MissingFeatureError"] * 2, "hfpaddle.transformers.trainer"]


def test_safetensors_give_paddles_tensors(tmp_path):
    lines = run(
        tmp_path,
        """
        import numpy, torch
        from safetensors import safe_open
        from safetensors.numpy import load_file as arrays
        from safetensors.torch import load_file, save_file
        save_file({"w": torch.arange(6).reshape(2, 3)}, "w.safetensors")
        with safe_open("w.safetensors", framework="pt", device="cpu") as file:
            for name in file.keys():
                print(name, torch.is_tensor(file.get_tensor(name)), file.get_slice(name)[1:])
        with safe_open("w.safetensors", framework="np") as file:
            print(type(file.get_tensor("w")).__name__)
        same = torch.tensor(arrays("w.safetensors")["w"])
        print(torch.equal(load_file("w.safetensors")["w"], same))
        """,
    )
    assert lines == ["w True tensor([[3, 4, 5]])", "ndarray", "True"]
