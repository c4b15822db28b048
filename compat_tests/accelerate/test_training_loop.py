"""Loops written by hand, their settings and what they save, beside the original.

Each body runs twice: once with the original's modules, once with the mirrors, which hold the same
names.
"""

from __future__ import annotations

import importlib
import math
import types

import accelerate
import accelerate.hooks
import numpy as np
import pytest
import torch
import transformers

import hfpaddle.accelerate
import hfpaddle.accelerate.utils
import hfpaddle.torch
from hfpaddle import transformers as mirror
from hfpaddle.core.errors import CheckpointError, MissingFileError

pytestmark = pytest.mark.compat

ROWS, BATCH = 11, 2
IDS = np.random.RandomState(0).randint(0, 60, (ROWS, 9))
LABELS = np.random.RandomState(1).randint(0, 2, ROWS)


def world(torch_module, transformers_module, accelerate_name):
    def part(path):
        return importlib.import_module(accelerate_name + path)

    return types.SimpleNamespace(
        torch=torch_module,
        transformers=transformers_module,
        accelerate=part(""),
        utils=part(".utils"),
        state=part(".state"),
        hooks=part(".hooks"),
    )


THEIRS = world(torch, transformers, "accelerate")
OURS = world(hfpaddle.torch, mirror, "hfpaddle.accelerate")


@pytest.fixture(autouse=True)
def fresh():
    def reset():
        for side in (THEIRS, OURS):
            side.state.AcceleratorState._reset_state(True)
            side.state.GradientState._reset_state()

    reset()
    yield
    reset()


def both(body, *args):
    """Return what ``body`` gives in the original's world, and here."""
    return [body(side, *args) for side in (THEIRS, OURS)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    torch.manual_seed(0)
    size = {"vocab_size": 60, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    size |= {"num_attention_heads": 2, "max_position_embeddings": 32}
    drop = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    models = {
        "llama": transformers.LlamaForCausalLM(transformers.LlamaConfig(**size)),
        "bert": transformers.BertForSequenceClassification(transformers.BertConfig(**size, **drop)),
    }
    root = tmp_path_factory.mktemp("models")
    for name, model in models.items():
        model.save_pretrained(root / name)
    return root


def load(side, folder):
    kinds = {"llama": side.transformers.AutoModelForCausalLM}
    cls = kinds.get(folder.name, side.transformers.AutoModelForSequenceClassification)
    return cls.from_pretrained(folder)


def rows(side, streamed=False):
    def row(i):
        return {"input_ids": side.torch.tensor(IDS[i]), "labels": side.torch.tensor(LABELS[i])}

    class Rows(side.torch.utils.data.Dataset):
        def __len__(self):
            return ROWS

        def __getitem__(self, i):
            return row(i)

    class Stream(side.torch.utils.data.IterableDataset):
        def __iter__(self):
            yield from map(row, range(ROWS))

    return Stream() if streamed else Rows()


def train(side, folder, settings, loading, accumulation, options):
    """Two epochs of a script's loop: its losses, rates, norms, gathered sizes and labels."""
    # With the same name as the original's, a setting is made of each world's own class.
    accelerator = side.accelerate.Accelerator(
        cpu=True,
        dataloader_config=side.accelerate.DataLoaderConfiguration(**settings),
        gradient_accumulation_plugin=side.utils.GradientAccumulationPlugin(**accumulation),
        step_scheduler_with_optimizer=options.get("schedule_with_optimizer", True),
    )
    side.utils.set_seed(3)
    model = load(side, folder)
    optimizer = side.torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    schedule = side.transformers.get_scheduler("cosine", optimizer, 2, 14)
    data = rows(side, loading.pop("streamed", False))
    loader = side.torch.utils.data.DataLoader(data, batch_size=BATCH, **loading)
    schedule, loader, model, optimizer = accelerator.prepare(schedule, loader, model, optimizer)
    model.train()
    out = {"losses": [], "rates": [], "norms": [], "gathered": [], "flags": []}
    for _ in range(2):
        for batch in loader:
            with accelerator.accumulate(model):
                labels = batch["input_ids"] if folder.name == "llama" else batch["labels"]
                output = model(input_ids=batch["input_ids"], labels=labels)
                accelerator.backward(output.loss)
                if accelerator.sync_gradients and "clip_value" in options:
                    accelerator.clip_grad_value_(model.parameters(), options["clip_value"])
                elif accelerator.sync_gradients:
                    norm = accelerator.clip_grad_norm_(model.parameters(), 0.5)
                    out["norms"].append(norm.item())
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            out["losses"].append(output.loss.item())
            out["rates"].append(schedule.get_last_lr()[0])
            state = accelerator.gradient_state
            out["flags"].append(
                [accelerator.sync_gradients, state.end_of_dataloader, state.remainder]
            )
            tensors, seen = accelerator.gather_for_metrics((output.logits, batch["labels"]))
            names = [f"row {label}" for label in batch["labels"].tolist()]
            texts = accelerator.gather_for_metrics(names, use_gather_object=True)
            out["gathered"].append([list(tensors.shape), seen.tolist(), texts])
    return out


ACCUMULATE = {"num_steps": 2}
CASES = {
    "plain": ("llama", {}, {}, ACCUMULATE, {}),
    "shuffled": ("bert", {}, {"shuffle": True}, ACCUMULATE, {}),
    "seedable": ("bert", {"use_seedable_sampler": True, "data_seed": 7}, {"shuffle": True}, {}, {}),
    "split": ("bert", {"split_batches": True}, {"shuffle": True}, ACCUMULATE, {}),
    "dispatch": ("bert", {"dispatch_batches": True}, {}, ACCUMULATE, {}),
    "uneven": ("bert", {"even_batches": False}, {"drop_last": True}, ACCUMULATE, {}),
    "streamed": ("bert", {}, {"streamed": True}, {"num_steps": 4}, {}),
    "streamed here": ("bert", {"dispatch_batches": False}, {"streamed": True}, ACCUMULATE, {}),
    "over the end": ("bert", {}, {}, {"num_steps": 4, "sync_with_dataloader": False}, {}),
    "fixed schedule": ("bert", {}, {}, {"num_steps": 2, "adjust_scheduler": False}, {}),
    "own schedule": ("bert", {}, {}, ACCUMULATE, {"schedule_with_optimizer": False}),
    "clip values": ("llama", {}, {"shuffle": True}, {"num_steps": 3}, {"clip_value": 0.01}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_loop_gives_the_numbers_of_the_original(folders, case):
    kind, settings, loading, accumulation, options = CASES[case]
    theirs, mine = both(
        lambda side: train(
            side, folders / kind, settings, dict(loading), {"num_steps": 1, **accumulation}, options
        )
    )
    assert mine["gathered"] == theirs["gathered"] and mine["flags"] == theirs["flags"]
    assert mine["rates"] == pytest.approx(theirs["rates"], rel=1e-9)
    assert mine["losses"] == pytest.approx(theirs["losses"], rel=1e-4)
    assert mine["norms"] == pytest.approx(theirs["norms"], rel=1e-3)
    assert len(theirs["losses"]) == (10 if loading.get("drop_last") else 12)
    assert not math.isclose(theirs["losses"][0], theirs["losses"][-1], rel_tol=1e-3)


def small(side):
    nn = side.torch.nn
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 4))
    model.append(nn.Linear(4, 4))
    model[4].weight = model[3].weight
    return model


def save_small(side, folder):
    accelerator = side.accelerate.Accelerator(cpu=True)
    side.utils.set_seed(3)
    model = small(side)
    optimizer = side.torch.optim.AdamW(model.parameters(), lr=0.1)
    schedule = side.torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1))
    data = side.torch.utils.data.TensorDataset(side.torch.ones(4, 3))
    loader = side.torch.utils.data.DataLoader(data, batch_size=2, shuffle=True)
    accelerator.prepare(model, optimizer, schedule, loader)

    class Counter:
        def state_dict(self):
            return {"count": 3}

        def load_state_dict(self, state):
            assert state == {"count": 3}

    accelerator.register_for_checkpointing(Counter())
    accelerator.save_state(str(folder))
    return accelerator, model


def test_a_saved_state_has_the_files_of_the_original_and_its_weights(tmp_path):
    names = {}
    saved = {}
    for name, side in (("theirs", THEIRS), ("ours", OURS)):
        accelerator, saved[name] = save_small(side, tmp_path / name)
        accelerator.save_model(
            saved[name], str(tmp_path / f"{name}.model"), max_shard_size="0.06KB"
        )
        names[name] = sorted(path.name for path in (tmp_path / name).iterdir())
        names[name] += sorted(path.name for path in (tmp_path / f"{name}.model").iterdir())
    names["ours"].remove("sampler.bin")  # the loader's position, which the original forgets
    assert names["ours"] == names["theirs"]
    with pytest.raises(CheckpointError, match="written by accelerate on torch"):
        accelerator.load_state(str(tmp_path / "theirs"))
    accelerator.load_state(str(tmp_path / "ours"))
    # Either world loads what the other has written, the shards of save_model too.
    for suffix in ("", ".model"):
        for side, source in ((THEIRS, "ours"), (OURS, "theirs")):
            model = small(side)
            if suffix:
                side.accelerate.load_checkpoint_in_model(model, str(tmp_path / (source + suffix)))
            else:
                file = tmp_path / source / "model.safetensors"
                side.accelerate.load_checkpoint_and_dispatch(model, str(file), {"": "cpu"})
            wanted = saved[source].state_dict()
            for key, value in model.state_dict().items():
                assert np.array_equal(value.detach().numpy(), wanted[key].detach().numpy()), key


def test_weights_that_torch_wrote_and_an_index_load(tmp_path):
    source = small(THEIRS)
    torch.save(source.state_dict(), tmp_path / "pytorch_model.bin")
    accelerate.Accelerator(cpu=True).save_model(source, tmp_path / "m", max_shard_size="0.06KB")
    index = tmp_path / "m" / "model.safetensors.index.json"
    for checkpoint in (tmp_path / "pytorch_model.bin", tmp_path, index):
        model = small(OURS)
        OURS.accelerate.load_checkpoint_in_model(model, str(checkpoint))
        for key, value in source.state_dict().items():
            assert np.array_equal(model.state_dict()[key].numpy(), value.numpy()), key
    with pytest.raises(MissingFileError, match="no file of weights"):
        OURS.accelerate.load_checkpoint_in_model(small(OURS), str(tmp_path / "no.bin"))


def sizes(side):
    utils, model = side.utils, small(side)
    device_map = side.accelerate.infer_auto_device_map(model)
    lacking = None
    try:
        utils.check_device_map(model, {"0": "cpu", "3": "cpu"})
    except ValueError as error:
        lacking = str(error)
    found = [
        dict(utils.compute_module_sizes(model)),
        dict(utils.compute_module_sizes(model, dtype="float16", special_dtypes={"0.bias": "int8"})),
        utils.calculate_maximum_sizes(model),
        utils.find_tied_parameters(model),
        [name for name, _ in utils.named_module_tensors(model, recurse=True)],
        [utils.convert_file_size_to_int(text) for text in (7, "2GB", "1.5KiB", "8Mb", "3MIB")],
        [utils.dtype_byte_size(getattr(side.torch, name)) for name in ("bool", "int64", "float16")],
        utils.dtype_byte_size(utils.CustomDtype.INT4),
        [str(key) for key in device_map], [str(value) for value in device_map.values()],
        lacking,
        [utils.convert_bytes(size) for size in (12, 5000, 3 * 2**40)],
        utils.convert_dict_to_env_variables({"A": "1", "B": "<x", "C": ""}),
        utils.compare_versions("numpy", ">", "1.0"), utils.is_torch_version(">=", "2.1"),
        utils.is_compiled_module(model), utils.is_peft_model(model),
    ]  # fmt: skip
    utils.set_module_tensor_to_device(model, "0.bias", "cpu", value=side.torch.ones(4))
    made = utils.initialize_tensors(utils.get_data_structure({"x": [side.torch.zeros(2, 3)]}))
    return [*found, model[0].bias.tolist(), list(made["x"][0].shape)]


def test_sizes_names_and_ties_of_models_are_those_of_the_original():
    theirs, mine = both(sizes)
    assert mine == theirs


def hooked(side):
    class Scale(side.hooks.ModelHook):
        def __init__(self, factor):
            self.factor = factor

        def pre_forward(self, module, *args, **kwargs):
            return (args[0] + 1,), kwargs

        def post_forward(self, module, output):
            return output * self.factor

    class Silent(Scale):
        no_grad = True

    nn = side.torch.nn
    model = nn.Linear(2, 2)
    with side.torch.no_grad():
        model.weight.fill_(0.5)
        model.bias.fill_(0.25)
    x, found = side.torch.ones(1, 2), []
    plain = model(x).tolist()
    side.hooks.add_hook_to_module(model, Scale(2))
    found.append(model(x).tolist())
    side.hooks.add_hook_to_module(model, Scale(3), append=True)
    found += [model(x).tolist(), type(model._hf_hook).__name__]
    side.hooks.add_hook_to_module(model, Silent(5))
    found += [model(x).tolist(), model(x).requires_grad]
    side.hooks.remove_hook_from_module(model, recurse=True)
    found += [model(x).tolist() == plain, hasattr(model, "_hf_hook"), model(x).requires_grad]
    side.hooks.add_hook_to_module(model, side.hooks.AlignDevicesHook("cpu", io_same_device=True))
    found.append(model(x).tolist())
    side.hooks.remove_hook_from_submodules(model)
    model, first = side.accelerate.cpu_offload_with_hook(model, "cpu")
    other, second = side.accelerate.cpu_offload_with_hook(nn.Linear(2, 1, bias=False), "cpu", first)
    found.append(list(other(model(x)).shape))
    first.offload()
    second.remove()
    return [*found, hasattr(other, "_hf_hook"), side.accelerate.cpu_offload(model) is model]


def test_hooks_do_what_they_do_in_the_original():
    theirs, mine = both(hooked)
    assert mine == theirs


def talk(side, folder):
    """Methods with a small answer, in one list."""
    accelerator = side.accelerate.Accelerator(cpu=True, project_dir=str(folder))
    side.utils.set_seed(5)
    found = [accelerator.check_trigger()]
    accelerator.set_trigger()
    found += [accelerator.check_trigger(), accelerator.check_trigger()]
    t = side.torch.arange(6).reshape(2, 3)
    nested = {"a": (t, t + 1)}
    found += [accelerator.gather(nested)["a"][1].tolist()]
    found += [accelerator.reduce(t * 1.0, "mean", scale=3.0).tolist()]
    found += [accelerator.pad_across_processes(t, dim=1, pad_index=9).tolist()]
    found += [side.utils.gather_object([1, "x"]), side.utils.find_batch_size(nested)]
    found += [side.utils.concatenate([nested, nested])["a"][0].tolist()]
    found += [
        side.utils.listify(nested),
        side.utils.slice_tensors(nested, slice(0, 1))["a"][0].shape[0],
    ]
    model = small(side)
    prepared = accelerator.prepare_model(model)
    found += [accelerator.unwrap_model(prepared) is model, accelerator.verify_device_map(model)]
    found += [sorted(accelerator.get_state_dict(prepared)), accelerator.free_memory(model)]
    with accelerator.no_sync(model), accelerator.autocast(), accelerator.main_process_first():
        with accelerator.join_uneven_inputs([model], even_batches=False):
            found.append(accelerator.on_last_process(lambda: "ran")())
    for inputs in ([1, 2, 3], {"k": [1, 2]}, t):
        with accelerator.split_between_processes(inputs, apply_padding=True) as part:
            found.append(part.tolist() if part is t else part)
    with side.accelerate.PartialState().local_main_process_first():
        found += [accelerator.optimizer_step_was_skipped, accelerator.save_iteration]
    for argument in (dict(device_placement=[True]), dict(device_placement=[True] * 3)):
        try:
            accelerator.prepare(model, None, **argument)
        except ValueError as error:
            found.append(str(error))
    return found


def test_small_answers_are_those_of_the_original(tmp_path):
    theirs, mine = both(talk, tmp_path)
    assert mine == theirs


def late(side):
    """A schedule made of a prepared optimizer, two groups, and batches left out."""
    accelerator = side.accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    side.utils.set_seed(1)
    nn, data = side.torch.nn, side.torch.utils.data
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 1))
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.5}]
    model, optimizer = accelerator.prepare(
        model, side.torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    )
    schedule = side.transformers.get_scheduler("linear", optimizer, 1, 8)
    schedule = accelerator.prepare(schedule)
    rows = data.TensorDataset(side.torch.randn(10, 3), side.torch.randn(10, 1))
    loader = accelerator.prepare(data.DataLoader(rows, batch_size=2, shuffle=True))
    kinds = [isinstance(optimizer, side.torch.optim.Optimizer), isinstance(loader, data.DataLoader)]
    kinds += [isinstance(schedule, side.torch.optim.lr_scheduler.LRScheduler), len(loader)]
    losses, rates = [], []
    for epoch in range(2):
        batches = loader if epoch else accelerator.skip_first_batches(loader, 1)
        for x, y in batches:
            with accelerator.accumulate(model):
                loss = ((model(x) - y) ** 2).mean()
                accelerator.backward(loss)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            losses.append(loss.item())
            rates.append(schedule.get_last_lr())
    optimizer.add_param_group({"params": [nn.Parameter(side.torch.ones(1))]})
    kinds += [len(optimizer.param_groups), len(optimizer.state_dict()["param_groups"])]
    return losses, rates, [*kinds, repr(accelerator.state), repr(accelerator.gradient_state)]


def test_a_schedule_of_a_prepared_optimizer():
    (losses, rates, kinds), mine = both(late)
    assert mine[0] == pytest.approx(losses, rel=1e-4) and len(losses) == 9
    assert np.allclose(mine[1], rates, rtol=1e-9) and len(rates[0]) == 2
    assert mine[2] == kinds


def tracked(side, folder):
    calls = []

    class Mine(side.accelerate.tracking.GeneralTracker):
        name, requires_logging_directory = "mine", False

        def __init__(self):
            super().__init__()
            self.box = calls

        @property
        def tracker(self):
            return self.box

        def store_init_configuration(self, values):
            calls.append(("config", values))

        def log(self, values, step=None, **kwargs):
            calls.append(("log", values, step, kwargs))

        def finish(self):
            calls.append("finish")

    accelerator = side.accelerate.Accelerator(
        cpu=True, log_with=[Mine(), "tensorboard"], project_dir=str(folder)
    )
    accelerator.init_trackers("run", config={"lr": 0.1})
    accelerator.log({"loss": 0.5}, step=3, log_kwargs={"mine": {"extra": 1}})
    calls.append(accelerator.get_tracker("mine", unwrap=True) is calls)
    calls.append(accelerator.get_tracker("tensorboard").name)
    accelerator.end_training()
    return calls, any(p.name.startswith("events") for p in (folder / "run").rglob("*"))


def test_trackers_are_called_as_in_the_original(tmp_path):
    import accelerate.tracking  # noqa: F401

    import hfpaddle.accelerate.tracking  # noqa: F401

    (theirs, wrote), (mine, we_wrote) = (
        tracked(side, tmp_path / name) for name, side in (("t", THEIRS), ("o", OURS))
    )
    assert mine == theirs and wrote and we_wrote


def public(module):
    import inspect

    return {n for n, v in vars(module).items() if not n.startswith("_") and not inspect.ismodule(v)}


def test_every_name_of_the_original_resolves():
    for module, mirrored in ((accelerate, OURS.accelerate), (accelerate.utils, OURS.utils)):
        assert not [name for name in public(module) if not hasattr(mirrored, name)]


def files():
    """Every file of the original that imports here; its tests and commands are its own."""
    import pkgutil

    skipped = ("accelerate.test_utils", "accelerate.commands", "accelerate.utils.rich")
    for found in pkgutil.walk_packages(accelerate.__path__, "accelerate."):
        if not found.name.startswith(skipped):
            yield importlib.import_module(found.name)


def test_every_name_of_the_original_s_files_is_ours_or_raises_when_used():
    from hfpaddle.core.errors import MissingFeatureError
    from hfpaddle.core.stand_in import StandIn

    ours, stand_ins = set(), set()
    for module in files():
        mirrored = importlib.import_module(f"hfpaddle.{module.__name__}")
        own = {
            n
            for n in public(module)
            if getattr(vars(module)[n], "__module__", None) == module.__name__
        }
        if module is accelerate.utils.constants:
            own = public(module)
        for name in own:
            value = getattr(mirrored, name)
            (stand_ins if isinstance(value, StandIn) else ours).add(name)
            if isinstance(value, StandIn):
                with pytest.raises(MissingFeatureError, match=name):
                    value()
    assert len(ours) > 200
    assert not [name for name in stand_ins if name.startswith("is_") and "available" in name[-9:]]
    assert hfpaddle.accelerate.is_rich_available() is accelerate.utils.is_rich_available()
    with pytest.raises(AttributeError, match="add_hook_to_modul"):
        getattr(OURS.hooks, "add_hook_to_modul")  # noqa: B009


def test_constants_are_the_original_s():
    for name in public(accelerate.utils.constants):
        if name not in ("SUPPORTED_PYTORCH_LAYERS_FOR_UPCASTING",):
            mine = getattr(hfpaddle.accelerate.utils.constants, name)
            assert mine == getattr(accelerate.utils.constants, name), name


def signature(function):
    import inspect

    return {
        name: (p.kind, None if "object object" in repr(p.default) else p.default)
        for name, p in inspect.signature(function).parameters.items()
    }


# Not init_trackers and log: a decorator of the original hides their arguments.
METHODS = (
    "__init__ accumulate autocast backward check_trigger clip_grad_norm_ clip_grad_value_ "
    "end_training free_memory gather gather_for_metrics get_state_dict get_tracker "
    "join_uneven_inputs load_state local_main_process_first main_process_first no_sync "
    "on_last_process on_local_main_process on_local_process on_main_process on_process "
    "pad_across_processes prepare prepare_data_loader prepare_model prepare_optimizer "
    "prepare_scheduler print profile reduce register_for_checkpointing "
    "register_load_state_pre_hook register_save_state_pre_hook save save_model save_state "
    "set_trigger skip_first_batches split_between_processes unscale_gradients unwrap_model "
    "wait_for_everyone"
).split()


@pytest.mark.parametrize("name", METHODS)
def test_methods_take_the_arguments_of_the_original(name):
    mine = getattr(hfpaddle.accelerate.Accelerator, name)
    assert signature(mine) == signature(getattr(accelerate.Accelerator, name))


SETTINGS = (
    "AutocastKwargs DataLoaderConfiguration GradScalerKwargs GradientAccumulationPlugin "
    "ProjectConfiguration"
).split()


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_have_the_fields_and_defaults_of_the_original(name):
    mine = getattr(hfpaddle.accelerate.utils, name)()
    assert vars(mine) == vars(getattr(accelerate.utils, name)())
