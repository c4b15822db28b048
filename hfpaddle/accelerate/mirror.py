"""How a name of accelerate is found here: ours, or a stand-in that raises when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

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
        "dispatch_model init_empty_weights init_on_device load_checkpoint_and_dispatch "
        "load_checkpoint_in_model",
    ),
    **_homes(f"{UTILS}.dataclasses", _SETTINGS),
    **_homes(f"{UTILS}.memory", _MEMORY),
    "synchronize_rng_states": f"{UTILS}.random",
}
OURS_IN_UTILS: dict[str, str] = {
    **_homes(
        f"{UTILS}.dataclasses",
        f"{_SETTINGS} ComputeEnvironment DynamoBackend GradientAccumulationPlugin KwargsHandler "
        "LoggerType PrecisionType ProjectConfiguration RNGType TorchDynamoPlugin",
    ),
    **_homes(
        f"{UTILS}.constants",
        "MODEL_NAME OPTIMIZER_NAME PROFILE_PATTERN_NAME RNG_STATE_NAME SAFE_MODEL_NAME "
        "SAFE_WEIGHTS_INDEX_NAME SAFE_WEIGHTS_NAME SAFE_WEIGHTS_PATTERN_NAME SAMPLER_NAME "
        "SCALER_NAME SCHEDULER_NAME WEIGHTS_INDEX_NAME WEIGHTS_NAME WEIGHTS_PATTERN_NAME",
    ),
    **_homes(f"{UTILS}.random", "set_seed synchronize_rng_state synchronize_rng_states"),
    **_homes(f"{UTILS}.memory", f"{_MEMORY} release_memory"),
    **_homes(
        f"{UTILS}.operations",
        "broadcast broadcast_object_list concatenate convert_to_fp32 find_batch_size find_device "
        "gather gather_object honor_type ignorant_find_batch_size is_namedtuple is_torch_tensor "
        "listify pad_across_processes pad_input_tensors recursively_apply reduce send_to_device "
        "slice_tensors",
    ),
    **_homes(
        f"{UTILS}.other",
        "clean_state_dict_for_safetensors clear_environment extract_model_from_parallel "
        "get_int_from_env get_pretty_name load merge_dicts parse_choice_from_env "
        "parse_flag_from_env patch_environment save str_to_bool wait_for_everyone "
        "write_basic_config",
    ),
    **_homes(
        f"{UTILS}.imports",
        "are_libraries_initialized get_current_device_type is_bf16_available is_cuda_available "
        "is_fp16_available is_mlu_available is_npu_available is_peft_available is_port_in_use "
        "is_torchvision_available is_triton_available is_weights_only_available is_xpu_available "
        "purge_accelerate_environment",
    ),
    "load_checkpoint_in_model": f"{PACKAGE}.big_modeling",
    "is_initialized": f"{PACKAGE}.state",
}

# Every public name of accelerate 1.15 and of its utils; those without a home above are stand-ins.
UPSTREAM = frozenset(
    """
    Accelerator AutocastKwargs DDPCommunicationHookType DataLoaderConfiguration DeepSpeedPlugin
    DistributedDataParallelKwargs DistributedType FullyShardedDataParallelPlugin
    GradScalerKwargs InitProcessGroupKwargs ParallelismConfig PartialState ProfileKwargs
    cpu_offload cpu_offload_with_hook debug_launcher disk_offload dispatch_model
    find_executable_batch_size infer_auto_device_map init_empty_weights init_on_device
    is_rich_available load_checkpoint_and_dispatch load_checkpoint_in_model notebook_launcher
    prepare_pippy skip_first_batches synchronize_rng_states
    """.split()
)
UPSTREAM_UTILS = frozenset(
    """
    AORecipeKwargs AbstractTrainStep AutocastKwargs BertTrainStep BnbQuantizationConfig
    CannotPadNestedTensorWarning ComputeEnvironment CustomDtype DDPCommunicationHookType
    DataLoaderConfiguration DeepSpeedPlugin DeepSpeedSequenceParallelConfig
    DistributedDataParallelKwargs DistributedType DynamoBackend FP8RecipeKwargs
    FullyShardedDataParallelPlugin GPTTrainStep GatheredParameters GradScalerKwargs
    GradientAccumulationPlugin InitProcessGroupKwargs KwargsHandler LoggerType
    MITA_PROFILING_AVAILABLE_PYTORCH_VERSION MODEL_NAME MSAMPRecipeKwargs
    MegatronLMDummyDataLoader MegatronLMDummyScheduler MegatronLMPlugin OPTIMIZER_NAME
    OffloadedWeightsLoader PROFILE_PATTERN_NAME ParallelismConfig PrecisionType PrefixedDataset
    PrepareForLaunch ProfileKwargs ProjectConfiguration RNGType RNG_STATE_NAME SAFE_MODEL_NAME
    SAFE_WEIGHTS_INDEX_NAME SAFE_WEIGHTS_NAME SAFE_WEIGHTS_PATTERN_NAME SAMPLER_NAME SCALER_NAME
    SCHEDULER_NAME SageMakerDistributedType T5TrainStep TERecipeKwargs
    TORCH_DISTRIBUTED_OPERATION_TYPES TORCH_LAUNCH_PARAMS TensorInformation
    TorchContextParallelConfig TorchDynamoPlugin TorchTensorParallelConfig
    TorchTensorParallelPlugin WEIGHTS_INDEX_NAME WEIGHTS_NAME WEIGHTS_PATTERN_NAME
    XPU_PROFILING_AVAILABLE_PYTORCH_VERSION add_model_config_to_megatron_parser
    align_module_device apply_fp8_autowrap are_libraries_initialized
    avg_losses_across_data_parallel_group broadcast broadcast_object_list
    calculate_maximum_sizes check_cuda_fp8_capability check_cuda_p2p_ib_support check_device_map
    check_os_kernel check_tied_parameters_in_config check_tied_parameters_on_same_device
    clean_state_dict_for_safetensors clear_environment compare_versions compile_regions
    compile_regions_deepspeed compile_regions_fsdp2 compute_module_sizes concatenate
    contextual_fp8_autocast convert_bytes convert_dict_to_env_variables convert_file_size_to_int
    convert_model convert_model_to_fp8_ao convert_outputs_to_fp32 convert_to_fp32
    copy_tensor_to_devices deepspeed_required disable_fsdp_ram_efficient_loading dtype_byte_size
    enable_fsdp_ram_efficient_loading ensure_weights_retied extract_model_from_parallel
    extract_submodules_state_dict filter_first_and_last_linear_layers find_batch_size
    find_device find_executable_batch_size find_tied_parameters fsdp2_apply_ac
    fsdp2_canonicalize_names fsdp2_load_full_state_dict fsdp2_prepare_model
    fsdp2_switch_optimizer_parameters gather gather_object get_balanced_memory
    get_cpu_distributed_information get_current_device_type get_data_structure
    get_fsdp2_grad_scaler get_gpu_info get_grad_scaler get_int_from_env get_max_layer_size
    get_max_memory get_mixed_precision_context_manager get_model_tp_size
    get_module_children_bottom_up get_pretty_name has_4bit_bnb_layers has_ao_layers
    has_compiled_regions has_offloaded_params has_transformer_engine_layers honor_type
    id_tensor_storage ignorant_find_batch_size infer_auto_device_map initialize_tensors
    install_xla is_4bit_bnb_available is_8bit_bnb_available is_aim_available is_amdsmi_available
    is_bf16_available is_bitsandbytes_multi_backend_available is_bnb_available
    is_boto3_available is_clearml_available is_comet_ml_available is_compiled_module
    is_cuda_available is_datasets_available is_deepspeed_available is_dvclive_available
    is_fp16_available is_fp8_available is_habana_gaudi1 is_hpu_available
    is_import_timer_available is_lomo_available is_matplotlib_available is_megatron_lm_available
    is_mlflow_available is_mlu_available is_mps_available is_msamp_available is_musa_available
    is_namedtuple is_neuron_available is_npu_available is_pandas_available is_peft_available
    is_peft_model is_pippy_available is_port_in_use is_pynvml_available is_pytest_available
    is_rich_available is_rocm_available is_sagemaker_available is_schedulefree_available
    is_sdaa_available is_swanlab_available is_tensor_information is_tensorboard_available
    is_timm_available is_torch_tensor is_torch_version is_torch_xla_available
    is_torchao_available is_torchdata_available is_torchdata_stateful_dataloader_available
    is_torchvision_available is_trackio_available is_transformer_engine_available
    is_transformer_engine_mxfp8_available is_transformers_available is_triton_available
    is_wandb_available is_weights_only_available is_xccl_available is_xpu_available listify load
    load_and_quantize_model load_checkpoint_in_model load_fsdp_model load_fsdp_optimizer
    load_offloaded_weight load_offloaded_weights load_state_dict merge_dicts merge_fsdp_weights
    model_has_dtensor named_module_tensors offload_state_dict offload_weight
    pad_across_processes pad_input_tensors parse_choice_from_env parse_flag_from_env
    patch_environment prepare_deepspeed_cmd_env prepare_multi_gpu_env
    prepare_sagemager_args_inputs prepare_simple_launcher_cmd_env prepare_tpu
    purge_accelerate_environment recursive_getattr recursively_apply reduce release_memory
    retie_parameters save save_fsdp_model save_fsdp_optimizer save_offload_index send_to_device
    set_module_tensor_to_device set_numa_affinity set_seed slice_tensors str_to_bool
    synchronize_rng_state synchronize_rng_states torchao_required tqdm wait_for_everyone
    write_basic_config DummyOptim DummyScheduler
    """.split()
)


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
