"""Small scripts and what is said of them. None of them runs."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from hfpaddle.checking import Report, ScriptError, Verdict, check_script
from hfpaddle.modeling import loading

pytestmark = pytest.mark.unit


def check(tmp_path: Path, text: str, **beside: str) -> Report:
    """Check a script; ``beside`` are the other files of its folder."""
    for name, content in beside.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(content))
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    return check_script(script)


def verdicts(report: Report) -> dict[str, str]:
    return {row.name: row.verdict.value for row in report.rows}


def how(report: Report, name: str) -> str:
    return next(row.how for row in report.rows if row.name == name)


def test_names_are_followed_through_aliases_submodules_and_chains(tmp_path):
    report = check(
        tmp_path,
        """
        import torch as t
        import torch.nn as nn, torch.nn.functional as F
        from torch.utils.data import DataLoader as Loader
        from transformers import Trainer as T
        import torch.optim.lr_scheduler
        layer = nn.Linear(2, 3, bias=False)
        F.gelu(layer(t.zeros(1, 2)), approximate="tanh")
        torch.optim.lr_scheduler.StepLR(t.optim.SGD(layer.parameters(), lr=0.1), 1, gamma=0.5)
        Loader([1], batch_size=1)
        T
        """,
    )
    found = verdicts(report)
    assert report.would_run()
    works = (
        "torch.nn.Linear torch.nn.functional.gelu torch.utils.data.DataLoader torch.zeros "
        "torch.optim.SGD torch.optim.lr_scheduler.StepLR transformers.Trainer"
    ).split()
    assert {name: found[name] for name in works} == dict.fromkeys(works, "works")
    words = {row.name: row.keywords for row in report.rows}
    assert words["torch.nn.Linear"] == ["bias"]
    assert words["torch.optim.lr_scheduler.StepLR"] == ["gamma"]


def test_what_is_missing_fails_and_the_nearest_is_named(tmp_path):
    report = check(
        tmp_path,
        """
        import torch
        import torch.nn.functional as F
        from transformers import CTRLLMHeadModel, Trainer

        x = torch.float17
        F.gelux(torch.ones(2))
        CTRLLMHeadModel.from_pretrained("x")
        torch.onnx.export(None, None, "f")
        torch.nn.Linear(2, 2, biass=True)
        """,
    )
    fails = {row.name: row.how for row in report.rows if row.verdict is Verdict.FAILS}
    assert fails.keys() == {
        "torch.float17",
        "torch.nn.functional.gelux",
        "transformers.CTRLLMHeadModel.from_pretrained",
        "torch.onnx.export",
        "torch.nn.Linear(biass=)",
    }
    assert "'float16'" in fails["torch.float17"] and "'gelu'" in fails["torch.nn.functional.gelux"]
    assert "paddle.onnx.export" in fails["torch.onnx.export"]
    assert "'bias'" in fails["torch.nn.Linear(biass=)"]
    assert not report.would_run()


def test_emulated_and_without_effect(tmp_path):
    report = check(
        tmp_path,
        """
        import torch
        torch.cuda.is_available()
        torch.zeros(2).sort()
        model = torch.compile(torch.nn.Linear(1, 1), mode="max-autotune")
        model.train()
        torch.amp.GradScaler(enabled=False)
        torch.utils.checkpoint.checkpoint(print, use_reentrant=True)
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.no_such_flag = True
        """,
    )
    found = verdicts(report)
    assert found["torch.cuda.is_available"] == "emulated"
    assert found["torch.Tensor.sort"] == "emulated"
    assert found["torch.nn.Linear.train"] == "emulated"
    assert found["torch.backends.cudnn.benchmark"] == "emulated"
    assert found["torch.compile"] == "no effect" and "nothing is compiled" in how(
        report, "torch.compile"
    )
    assert found["torch.backends.cudnn.no_such_flag"] == "no effect"
    assert "torch.amp.GradScaler(enabled=)" not in found
    assert found["torch.utils.checkpoint.checkpoint(use_reentrant=)"] == "no effect"
    assert report.would_run()


def test_training_arguments_are_read_from_their_tables(tmp_path):
    report = check(
        tmp_path,
        """
        import sys
        from transformers import TrainingArguments
        TrainingArguments(
            "out", learning_rate=1e-3, optim="adamw_bnb_8bit", report_to=["nowhere"],
            evaluation_strategy="epoch", deepspeed="ds.json", torch_compile=True,
            ddp_backend=sys.argv[1], fsdp=sys.argv[2], overwrite_output_dir=True, no_such=1,
        )
        TrainingArguments("out", optim="adafactor", report_to="none", deepspeed=None)
        """,
    )
    found = {
        name.removeprefix("transformers.TrainingArguments"): verdict
        for name, verdict in verdicts(report).items()
    }
    assert found["(optim=)"] == "will fail" and found["(report_to=)"] == "will fail"
    assert found["(deepspeed=)"] == "will fail" and found["(no_such=)"] == "will fail"
    assert found["(fsdp=)"] == "may fail"
    assert found["(torch_compile=)"] == "no effect" == found["(ddp_backend=)"]
    assert found["(overwrite_output_dir=)"] == "no effect"
    assert found["(evaluation_strategy=)"] == "works"
    words = next(r.keywords for r in report.rows if r.name == "transformers.TrainingArguments")
    assert {"learning_rate", "optim", "report_to", "deepspeed"} <= set(words)


def test_values_of_loading_decide(tmp_path, monkeypatch):
    monkeypatch.setitem(loading.REFUSED, "load_in_9bit", "8")
    monkeypatch.setattr(loading, "ARGUMENTS", loading.ARGUMENTS | {"load_in_9bit"})
    report = check(
        tmp_path,
        """
        from transformers import AutoModelForCausalLM, LlamaForCausalLM, pipeline
        fast = "flash_attention_2"
        AutoModelForCausalLM.from_pretrained("x", attn_implementation=fast, load_in_9bit=False)
        LlamaForCausalLM.from_pretrained("x", attn_implementation="sdpa", load_in_9bit=True)
        model = AutoModelForCausalLM.from_pretrained("x", low_cpu_mem_usage=True, proxies={})
        model.save_pretrained("y", save_function=print, safe_serialization=False)
        pipeline("mask-generation")
        pipeline("text-generation")
        """,
    )
    found = verdicts(report)
    auto = "transformers.AutoModelForCausalLM.from_pretrained"
    assert found[f"{auto}(attn_implementation=)"] == "will fail"
    assert "'sdpa'" in how(report, f"{auto}(attn_implementation=)")
    assert f"{auto}(load_in_9bit=)" not in found
    assert found["transformers.LlamaForCausalLM.from_pretrained(load_in_9bit=)"] == "will fail"
    assert found[f"{auto}(proxies=)"] == "no effect"
    saving = "transformers.PreTrainedModel.save_pretrained"
    assert found[f"{saving}(save_function=)"] == "no effect"
    assert found[f"{saving}(safe_serialization=)"] == "will fail"
    assert found["transformers.pipeline(task=)"] == "will fail"


def test_the_family_of_a_folder_and_of_a_config_decide(tmp_path):
    for name in ("llama", "whisper"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(f'{{"model_type": "{name}"}}')
    report = check(
        tmp_path,
        f"""
        from transformers import AutoModel, AutoModelForCausalLM, CTRLConfig, LlamaConfig
        AutoModel.from_pretrained("{tmp_path}/llama")
        AutoModel.from_pretrained("{tmp_path}/whisper")
        AutoModelForCausalLM.from_config(LlamaConfig(hidden_size=8))
        AutoModelForCausalLM.from_config(CTRLConfig())
        """,
    )
    fails = {row.name: row for row in report.rows if row.verdict is Verdict.FAILS}
    assert {name: row.line for name, row in fails.items()} == {
        "transformers.AutoModel.from_pretrained(model_type=)": 4,
        "transformers.AutoModelForCausalLM.from_config(model_type=)": 6,
    }


def test_mirrors_imported_by_our_own_name(tmp_path):
    report = check(
        tmp_path,
        """
        import hfpaddle
        import hfpaddle.torch as torch
        from hfpaddle.transformers import Trainer, NoSuchName
        hfpaddle.install()
        torch.float17
        """,
    )
    found = verdicts(report)
    assert found["torch.float17"] == "will fail" == found["transformers.NoSuchName"]
    assert found["transformers.Trainer"] == "works"


def test_accelerator_is_asked(tmp_path):
    from hfpaddle.accelerate.state import AcceleratorState, PartialState

    before = dict(AcceleratorState._shared_state), dict(PartialState._shared_state)
    report = check(
        tmp_path,
        """
        from accelerate import Accelerator, DeepSpeedPlugin
        accelerator = Accelerator(deepspeed_plugin=3)
        accelerator = Accelerator(gradient_accumulation_steps=2, cpu=True)
        DeepSpeedPlugin()
        model, extra = accelerator.prepare(accelerator, 3)
        model.no_such_method()
        """,
    )
    found = verdicts(report)
    assert found["accelerate.DeepSpeedPlugin"] == "will fail"
    assert found["accelerate.Accelerator(deepspeed_plugin=)"] == "will fail"
    assert found["accelerate.Accelerator.no_such_method"] == "will fail"
    assert found["accelerate.Accelerator"] == "works"
    assert before == (AcceleratorState._shared_state, PartialState._shared_state)


def test_methods_of_known_objects_are_checked(tmp_path):
    report = check(
        tmp_path,
        """
        import torch
        from transformers import AutoModel, HfArgumentParser, Trainer, TrainingArguments
        (args,) = HfArgumentParser((TrainingArguments,)).parse_args_into_dataclasses()
        model = AutoModel.from_pretrained("x").to("cpu").eval()
        trainer = Trainer(model=model, args=args, tokenizers=None)
        trainer.train(resume_from_checkpoint=None)
        trainer.trane()
        args.get_process_log_level()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, rate=2)
        optimizer.step(); optimizer.stepp()
        model.ipu()
        model.config.anything.at.all
        torch.ones(2).to_mkldnn()

        def anything(batch, image, array, table):
            batch.q_zero_point()
            image.resize((2, 2)), array.index(3), table.rename(columns={}), batch.sum()
        anything
        """,
    )
    fails = {row.name for row in report.rows if row.verdict is Verdict.FAILS}
    assert fails == {
        "transformers.Trainer(tokenizers=)",
        "transformers.Trainer.trane",
        "torch.optim.AdamW(rate=)",
        "torch.optim.AdamW.stepp",
        "transformers.PreTrainedModel.ipu",
        "torch.Tensor.to_mkldnn",
    }
    may = {row.name for row in report.rows if row.verdict is Verdict.MAY_FAIL}
    assert may == {"?.q_zero_point"}


def test_subclasses_and_super(tmp_path):
    report = check(
        tmp_path,
        """
        import torch
        from torch import nn
        from transformers import Trainer

        class Net(nn.Module):
            def __init__(self, size):
                super().__init__()
                self.inner = nn.Linear(size, size)
                self.extra = {}

            def forward(self, x):
                self.inner.ipu()
                return self.extra, self.later, self.inner(x).to_mkldnn()

        class Mine(Trainer):
            def compute_loss(self, model, inputs, **kwargs):
                super().compute_lozz(model, inputs)
                return super().compute_loss(model, inputs, **kwargs)

            def _wrap_model(self, model, training=True):
                return model

            def log(self, logs, *args):
                self.counter = 1
                self.counter, self.stat, self.state

        Mine(model=Net(2), arguments=1).trane()
        Net(2).to("cpu").train()
        """,
    )
    found = verdicts(report)
    fails = {name for name, verdict in found.items() if verdict == "will fail"}
    assert fails == {
        "torch.nn.Linear.ipu",
        "transformers.Trainer.compute_lozz",
        "transformers.Trainer.stat",
        "transformers.Trainer.trane",
        "transformers.Trainer(arguments=)",
    }
    assert found["?.to_mkldnn"] == "may fail"
    assert found["Mine._wrap_model"] == "no effect"
    assert found["transformers.Trainer.compute_loss"] == "works"


def test_guards(tmp_path):
    report = check(
        tmp_path,
        """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        import contextlib
        import torch
        if TYPE_CHECKING:
            from transformers import Trainer
            from torch.nothing import Never
        try:
            from torch.distributed.fsdp import wrap
            import no_such_package
        except ImportError:
            wrap = None
        with contextlib.suppress(ImportError):
            import no_other_package
        if hasattr(torch, "nowhere"):
            torch.nowhere()
        x = getattr(torch, "elsewhere", None)
        if torch.backends.mps.is_available():
            torch.mps.no_such_name()
        def f(x: torch.NoSuchTensor) -> Never: ...
        f(1)
        """,
    )
    found = verdicts(report)
    assert report.would_run(strict=True)
    for name in (
        "transformers.Trainer torch.nothing.Never torch.distributed.fsdp.wrap no_such_package "
        "no_other_package torch.nowhere torch.elsewhere torch.mps.no_such_name torch.NoSuchTensor"
    ).split():
        assert found[name] == "guarded", name


def test_a_handler_that_raises_again_guards_nothing(tmp_path):
    report = check(
        tmp_path,
        """
        try:
            import torch.no_such_part
        except ImportError as error:
            raise RuntimeError("please install it") from error
        try:
            from transformers import NoSuchName
        except ImportError:
            from transformers import NoOtherName
        """,
    )
    found = verdicts(report)
    assert found["torch.no_such_part"] == "will fail"
    assert found["transformers.NoSuchName"] == "guarded"
    assert found["transformers.NoOtherName"] == "will fail"


def test_a_branch_may_fail_and_both_branches_do(tmp_path):
    report = check(
        tmp_path,
        """
        import sys, torch
        if len(sys.argv) > 1:
            torch.first()
        if len(sys.argv) > 2:
            torch.second()
        elif len(sys.argv) > 3:
            torch.third()
        else:
            torch.fourth()
        if __name__ == "__main__":
            torch.fifth()
        def nobody_calls_it():
            torch.sixth()
        """,
    )
    found = {name.removeprefix("torch."): verdict for name, verdict in verdicts(report).items()}
    assert found["first"] == "may fail" == found["sixth"]
    assert [found[n] for n in ("second", "third", "fourth", "fifth")] == ["will fail"] * 4


def test_availability_is_the_mirrors(tmp_path):
    report = check(
        tmp_path,
        """
        from transformers.utils import is_torch_available, is_tf_available
        from transformers import is_torchvision_available
        if is_torch_available():
            import torch
            torch.no_such_name()
        else:
            from transformers import NotNeeded
        if not is_torchvision_available():
            raise ImportError
        """,
    )
    found = verdicts(report)
    assert found["torch.no_such_name"] == "will fail"
    assert found["transformers.NotNeeded"] == "guarded"


def test_files_beside_the_script_are_read(tmp_path):
    report = check(
        tmp_path,
        """
        import other
        from helpers import train, unused
        train(None)
        other.make().trane()
        """,
        helpers="""
        import torch
        def train(model):
            torch.no_such_name()
        def unused():
            torch.no_other_name()
        """,
        other="""
        from transformers import Trainer
        import helpers
        def make():
            return Trainer()
        if __name__ == "__main__":
            Trainer().never()
        """,
    )
    rows = {(Path(row.file).name, row.name): row.verdict.value for row in report.rows}
    assert rows["helpers.py", "torch.no_such_name"] == "will fail"
    assert rows["script.py", "transformers.Trainer.trane"] == "will fail"
    assert rows["other.py", "transformers.Trainer.never"] == "guarded"
    assert report.rows[0].file.endswith("script.py")


def test_a_broken_file_beside_the_script_fails_where_it_is_imported(tmp_path):
    report = check(tmp_path, "import torch\nimport other\n", other="def (:\n")
    assert verdicts(report) == {"torch": "works", "other": "will fail"}
    assert "other.py:1" in how(report, "other")


def test_packages_without_a_mirror(tmp_path, monkeypatch):
    from hfpaddle.core import mirrors

    names = {"peft": False, "trl": False, "torch": True, "torchvision": True}
    monkeypatch.setattr(mirrors, "mirrored", lambda name: names.get(name, True))
    report = check(tmp_path, "from peft import LoraConfig, get_peft_model\nLoraConfig(r=1)\n")
    assert verdicts(report) == {"peft.LoraConfig": "will fail", "peft.get_peft_model": "will fail"}
    assert "no mirror of peft yet" in how(report, "peft.LoraConfig")


def test_nothing_of_the_script_runs(tmp_path):
    target = tmp_path / "touched"
    report = check(
        tmp_path,
        f"""
        import pathlib, other
        import torch
        pathlib.Path({str(target)!r}).write_text("ran")
        class Meta(type):
            pathlib.Path({str(target)!r}).write_text("ran")
        x = torch.zeros(2, dtype=pathlib.Path({str(target)!r}).write_text("ran"))
        raise SystemExit(3)
        """,
        other=f"""
        open({str(target)!r}, "w")
        """,
    )
    assert verdicts(report)["torch.zeros"] == "works"
    assert not target.exists()


def test_what_is_no_script(tmp_path):
    with pytest.raises(ScriptError, match="does not exist"):
        check_script(tmp_path / "absent.py")
    with pytest.raises(ScriptError, match="is a folder"):
        check_script(tmp_path)
    with pytest.raises(ScriptError, match=r"script\.py:2: syntax error"):
        check(tmp_path, "import torch\ndef (:\n")
    (tmp_path / "bytes.py").write_bytes(b"\x00\xff")
    with pytest.raises(ScriptError):
        check_script(tmp_path / "bytes.py")


def test_a_base_that_is_missing_is_said_once(tmp_path):
    report = check(
        tmp_path,
        """
        import torch, PIL.Image
        from . import beside
        from transformers import CTRLPreTrainedModel
        class Mine(CTRLPreTrainedModel):
            def __init__(self, config):
                super().__init__(config)
                self.post_init()
                self.dtype
        class Other(torch.nn.Module):
            def __new__(cls, size):
                return torch.nn.Linear(size, size)
        Mine(None).to_mkldnn()
        Other(size=2)
        PIL.Image.new("RGB", (2, 2))
        """,
    )
    fails = {row.name for row in report.rows if row.verdict is Verdict.FAILS}
    assert fails == {".", "transformers.CTRLPreTrainedModel"}
    assert not report.count(Verdict.MAY_FAIL)


def test_a_script_without_our_packages(tmp_path):
    report = check(tmp_path, "import os\nprint(os.getcwd())\n")
    assert not report.rows and report.would_run()
    assert "nothing taken" in report.summary()


def test_methods_are_off_again(tmp_path):
    import hfpaddle.torch as torch
    from hfpaddle.core.mirrors import is_hooked
    from hfpaddle.torch import _switch

    torch.uninstall_methods()
    check(tmp_path, "import torch\ntorch.ones(1).sort()\n")
    assert not _switch.is_on() and not is_hooked()


def test_odd_syntax_is_read(tmp_path):
    report = check(
        tmp_path,
        """
        import torch
        async def f(*args, key=torch.ones(1), **kwargs):
            async with torch.no_grad() as x:
                yield await x
        match torch.ones(1):
            case [a, *rest] if torch.no_such_guard():
                torch.no_such_case()
        lambda x: torch.no_such_lambda(x)
        [torch.no_such_item(x) for x in range(3) if x]
        while torch.ones(1): break
        try:
            pass
        finally:
            torch.no_such_end()
        (y := torch.ones(1)).to_mkldnn()
        from torch import *
        zeros(1), no_such_star
        a = b = torch
        a.no_such_alias, b.ones
        def recursive(n):
            return recursive(n)
        recursive(1).x
        torch.nn.functional.relu(*[1], **{"inplace": True, "no": 1})
        """,
    )
    fails = {r.name.rpartition(".")[2] for r in report.rows if r.verdict is Verdict.FAILS}
    assert fails == {
        *("no_such_lambda", "no_such_item", "no_such_end", "to_mkldnn", "no_such_alias"),
        "relu(no=)",
    }
    may = {r.name.rpartition(".")[2] for r in report.rows if r.verdict is Verdict.MAY_FAIL}
    assert may == {"no_such_guard", "no_such_case"}
