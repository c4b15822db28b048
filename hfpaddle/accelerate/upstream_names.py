"""What accelerate 1.15 has: tables of names, read by `mirror`."""

# Every public name of accelerate 1.15 and of its utils.
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

# Names that only the files inside have, and that scripts rarely import.
UPSTREAM_INSIDE = frozenset(
    """
    AimTracker AlignDevicesHook BatchSamplerShard CPUInformation ClearMLTracker CometMLTracker
    ConvertOutputsToFp32 DVCLiveTracker DataLoaderAdapter DataLoaderDispatcher
    DataLoaderStateMixin DeepSpeedEngineWrapper DeepSpeedOptimizerWrapper
    DeepSpeedSchedulerWrapper DistributedOperationException FP8BackendType HfDeepSpeedConfig
    IterableDatasetShard LayerwiseCastingHook MLflowTracker MegatronEngine
    MegatronLMOptimizerWrapper MegatronLMSchedulerWrapper SUPPORTED_PYTORCH_LAYERS_FOR_UPCASTING
    SageMakerConfig SkipDataLoader SwanLabTracker ThreadLocalSharedDict TrackioTracker
    attach_align_device_hook attach_align_device_hook_on_blocks attach_execution_device_hook
    attach_layerwise_casting_hooks build_pipeline chained_operation check_device_same
    clean_device_map compute_module_total_buffer_size do_nothing env_var_path_add
    fallback_allocate filter_linear_layers find_first_last_linear_layers find_pippy_batch_size
    finish_mpu_init fsdp2_prepare_auto_wrap_policy gather_across_data_parallel_groups
    gather_tensor_shape generate_device_map get_active_deepspeed_plugin get_driver_version
    get_free_port get_keys_to_not_convert get_module_class_from_name get_module_leaves
    get_module_size_with_ties get_parameter_device get_parameters_from_modules
    get_quantized_model_device_map get_sampler get_shape get_state_dict_from_offload
    get_state_dict_offloaded_model has_repeated_blocks initialize is_numpy_available
    is_repeated_blocks is_torch_distributed_available is_torch_xpu_tensor is_tqdm_available
    load_custom_state map_pytorch_optim_to_deepspeed model_provider_func move_to_device
    on_main_process override_numa_affinity parse_bert_config parse_glm4_moe_config
    parse_gpt2_config parse_llama_config parse_t5_config patch_optimizer_step pippy_forward
    prepare_extend_env_parallelism_config prepare_model_optimizer_scheduler prepare_data_loader
    prepare_optimizer
    prepare_scheduler quantize_and_offload_8bit register_tracker_class replace_with_bnb_layers
    save_custom_state setup_fp8_env test_launch verify_operation
    """.split()
)
# Files of upstream whose names are all found elsewhere here, or are stand-ins.
WITHOUT_FILE = (
    "inference memory_utils parallelism_config utils.ao utils.bnb "
    "utils.deepspeed utils.environment utils.fsdp_utils utils.launch "
    "utils.megatron_lm utils.offload utils.torch_xla utils.tqdm "
    "utils.transformer_engine utils.versions "
).split()
