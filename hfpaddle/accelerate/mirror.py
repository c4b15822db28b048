"""How a name of accelerate is found here: ours, or a stand-in that raises when it is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from typing import Any

from hfpaddle.accelerate.upstream_names import (
    UPSTREAM,
    UPSTREAM_INSIDE,
    UPSTREAM_UTILS,
    WITHOUT_FILE,
)
from hfpaddle.core.errors import nearest
from hfpaddle.core.stand_in import stand_in

PACKAGE = "hfpaddle.accelerate"
UTILS = f"{PACKAGE}.utils"


def _homes(module: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), module)


_SETTINGS = (
    "AutocastKwargs DDPCommunicationHookType DataLoaderConfiguration DistributedDataParallelKwargs "
    "DistributedType GradScalerKwargs InitProcessGroupKwargs ProfileKwargs"
)
_MEMORY = "find_executable_batch_size"

# Name -> the module of ours that has it.
OURS: dict[str, str] = {
    "Accelerator": f"{PACKAGE}.accelerator",
    "PartialState": f"{PACKAGE}.state",
    "skip_first_batches": f"{PACKAGE}.data_loader",
    "notebook_launcher": f"{PACKAGE}.launchers",
    **_homes(
        f"{PACKAGE}.big_modeling",
        "cpu_offload cpu_offload_with_hook dispatch_model init_empty_weights init_on_device "
        "load_checkpoint_and_dispatch load_checkpoint_in_model",
    ),
    "infer_auto_device_map": f"{UTILS}.modeling",
    "is_rich_available": f"{UTILS}.imports",
    **_homes(f"{UTILS}.dataclasses", _SETTINGS),
    **_homes(f"{UTILS}.memory", _MEMORY),
    "synchronize_rng_states": f"{UTILS}.random",
}
OURS_IN_UTILS: dict[str, str] = {
    **_homes(
        f"{UTILS}.dataclasses",
        f"{_SETTINGS} ComputeEnvironment CustomDtype DynamoBackend GradientAccumulationPlugin "
        "KwargsHandler LoggerType PrecisionType ProjectConfiguration RNGType "
        "SageMakerDistributedType TensorInformation TorchDynamoPlugin",
    ),
    **_homes(
        f"{UTILS}.constants",
        "MODEL_NAME OPTIMIZER_NAME PROFILE_PATTERN_NAME RNG_STATE_NAME SAFE_MODEL_NAME "
        "SAFE_WEIGHTS_INDEX_NAME SAFE_WEIGHTS_NAME SAFE_WEIGHTS_PATTERN_NAME SAMPLER_NAME "
        "SCALER_NAME SCHEDULER_NAME WEIGHTS_INDEX_NAME WEIGHTS_NAME WEIGHTS_PATTERN_NAME "
        "MITA_PROFILING_AVAILABLE_PYTORCH_VERSION TORCH_DISTRIBUTED_OPERATION_TYPES "
        "TORCH_LAUNCH_PARAMS XPU_PROFILING_AVAILABLE_PYTORCH_VERSION",
    ),
    **_homes(f"{UTILS}.random", "set_seed synchronize_rng_state synchronize_rng_states"),
    **_homes(f"{UTILS}.memory", f"{_MEMORY} clear_device_cache release_memory"),
    **_homes(
        f"{UTILS}.modeling",
        "calculate_maximum_sizes check_device_map compute_module_sizes convert_file_size_to_int "
        "dtype_byte_size find_tied_parameters get_max_layer_size has_offloaded_params "
        "id_tensor_storage "
        "infer_auto_device_map is_peft_model load_state_dict named_module_tensors "
        "retie_parameters set_module_tensor_to_device",
    ),
    **_homes(
        f"{UTILS}.operations",
        "broadcast broadcast_object_list concatenate convert_to_fp32 find_batch_size find_device "
        "gather gather_object get_data_structure honor_type ignorant_find_batch_size "
        "initialize_tensors is_namedtuple is_tensor_information is_torch_tensor listify "
        "pad_across_processes pad_input_tensors recursively_apply reduce send_to_device "
        "slice_tensors",
    ),
    **_homes(
        f"{UTILS}.other",
        "check_os_kernel clean_state_dict_for_safetensors clear_environment compare_versions "
        "compile_regions convert_bytes convert_dict_to_env_variables extract_model_from_parallel "
        "get_int_from_env get_pretty_name has_compiled_regions is_compiled_module "
        "is_torch_version load merge_dicts model_has_dtensor parse_choice_from_env "
        "parse_flag_from_env patch_environment recursive_getattr save str_to_bool tqdm "
        "wait_for_everyone write_basic_config",
    ),
    **_homes(
        f"{UTILS}.imports",
        "are_libraries_initialized get_current_device_type is_bf16_available is_cuda_available "
        "is_fp16_available is_mlu_available is_npu_available is_peft_available is_port_in_use "
        "is_torchvision_available is_triton_available is_weights_only_available is_xpu_available "
        "is_rich_available purge_accelerate_environment",
    ),
    "load_checkpoint_in_model": f"{PACKAGE}.big_modeling",
    "is_initialized": f"{PACKAGE}.state",
}
# What only the files inside have; any of upstream's files answers for any of these names.
OURS_INSIDE: dict[str, str] = {
    **OURS,
    **OURS_IN_UTILS,
    "AcceleratedOptimizer": f"{PACKAGE}.optimizer",
    "AcceleratedScheduler": f"{PACKAGE}.scheduler",
    "LocalSGD": f"{PACKAGE}.local_sgd",
    "get_logger": f"{PACKAGE}.logging",
    "get_non_persistent_buffers": f"{UTILS}.modeling",
    **_homes(f"{PACKAGE}.state", "AcceleratorState GradientState"),
    **_homes(f"{PACKAGE}.hooks", "AlignDevicesHook CpuOffload UserCpuOffloadHook"),
    **_homes(f"{UTILS}.dataclasses", "BaseEnum"),
}


def resolve(name: str, where: str, ours: Mapping[str, str], upstream: frozenset[str]) -> Any:
    """Return what ``name`` of the package ``where`` stands for.

    Raises: AttributeError naming the nearest name if upstream has no such name either.
    """
    if name in ours:
        return getattr(importlib.import_module(ours[name]), name)
    if name not in upstream:
        known = {*ours, *upstream}
        raise AttributeError(f"module {where!r} has no attribute {name!r}{nearest(name, known)}")
    shown = where.removeprefix("hfpaddle.")
    message = (
        f"{shown}.{name} has no implementation in hfpaddle{nearest(name, ours)}: one device, one "
        "process so far."
    )
    return stand_in(name, where, message)


def fallback(where: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of the module ``where``: upstream's names that it lacks."""
    known = UPSTREAM | UPSTREAM_UTILS | UPSTREAM_INSIDE

    def find(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        from hfpaddle.accelerate.utils.imports import probe

        ours = {n: home for n, home in OURS_INSIDE.items() if home != where}
        return probe(name) or resolve(name, where, ours, known)

    return find


def register_modules() -> None:
    """Let upstream's files that have none here be imported, by their names, from this package."""
    for path in WITHOUT_FILE:
        name = f"{PACKAGE}.{path}"
        module = module_from_spec(ModuleSpec(name, None))
        module.__getattr__ = fallback(name)  # type: ignore[method-assign]
        sys.modules.setdefault(name, module)
