"""Adapters without the reference: what is refused, what stays, and that training sees them."""

from __future__ import annotations

import paddle
import pytest
import transformers
from paddle import nn

import hfpaddle.peft as peft
from hfpaddle.core import rng
from hfpaddle.core.errors import (
    MissingFeatureError,
    UnsupportedArgumentError,
    WeightMismatchError,
)
from hfpaddle.modeling.auto import AutoModelForCausalLM
from hfpaddle.peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from hfpaddle.peft.utils.peft_types import register_peft_method

pytestmark = pytest.mark.unit

TINY = {
    **{"vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2},
    **{"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64},
}
IDS = paddle.to_tensor([[5, 9, 11, 3, 7], [4, 8, 1, 2, 6]])
METHODS = {
    "LoraConfig": {"r": 2},
    "AdaLoraConfig": {"init_r": 2, "total_step": 4},
    "IA3Config": {},
    "LNTuningConfig": {},
    "LoHaConfig": {"r": 2},
    "LoKrConfig": {"r": 2},
    "VeraConfig": {"r": 4},
    "OFTConfig": {"oft_block_size": 4},
    "BOFTConfig": {"boft_block_size": 4},
    "HRAConfig": {"r": 4},
    "C3AConfig": {"block_size": 4, "init_weights": True},
    "FourierFTConfig": {"n_frequency": 20, "init_weights": True},
    "MissConfig": {"r": 4},
    "HiraConfig": {"r": 4},
    "DeloraConfig": {"r": 4},
    "GraloraConfig": {"r": 4},
    "RoadConfig": {"group_size": 8},
    "ShiraConfig": {"r": 2},
    "VBLoRAConfig": {"num_vectors": 8, "vector_length": 8},
    "TrainableTokensConfig": {"token_indices": [5, 9, 11]},
}


def base(**overrides):
    rng.manual_seed(0)
    config = transformers.LlamaConfig(**{**TINY, **overrides})
    return AutoModelForCausalLM.from_config(config).eval()


def adapted(config="LoraConfig", model=None, **kwargs):
    rng.manual_seed(1)
    kwargs = {"task_type": "CAUSAL_LM", **METHODS.get(config, {}), **kwargs}
    return peft.get_peft_model(base() if model is None else model, getattr(peft, config)(**kwargs))


def shake(model, scale=0.2):
    """Give every trained parameter a visible value."""
    rng.manual_seed(2)
    for param in model.parameters():
        if not param.stop_gradient:
            noise = rng.default_generator.normal(tuple(param.shape), 0.0, scale)
            new = param.astype("float32") + paddle.to_tensor(noise)
            param.set_value(new.astype(param.dtype))
    return model


def close(one, other, atol=1e-5):
    assert float((one - other).abs().max()) <= atol


@pytest.mark.parametrize("config", METHODS)
def test_every_method_changes_the_answer_and_lets_go_of_it(config):
    plain = base()(IDS).logits
    with paddle.no_grad():  # a kernel may have made plans for the model as it was
        base_model = base()
        close(base_model(IDS).logits, plain)
        model = adapted(config, base_model)
        if config not in ("OFTConfig", "VBLoRAConfig"):
            close(model(input_ids=IDS).logits, plain, 1e-4)
        shake(model)
        changed = model(input_ids=IDS).logits
        assert float((changed - plain).abs().max()) > 1e-3
        with model.disable_adapter():
            close(model(input_ids=IDS).logits, plain)
        close(model(input_ids=IDS).logits, changed)
        model.merge_adapter()
        close(model(input_ids=IDS).logits, changed, 1e-4)
        model.unmerge_adapter()
        close(model(input_ids=IDS).logits, changed, 1e-4)
        close(model.unload()(IDS).logits, plain, 1e-4)


@pytest.mark.parametrize("config", METHODS)
def test_recomputation_gives_the_same_gradients(config):
    grads = []
    for recomputed in (False, True):
        model = shake(adapted(config)).train()
        if recomputed:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model(input_ids=IDS, labels=IDS).loss.backward()
        grads.append({n: p.grad for n, p in model.named_parameters() if not p.stop_gradient})
    assert grads[0] and grads[0].keys() == grads[1].keys()
    for name, grad in grads[0].items():
        close(grads[1][name], grad)


@pytest.mark.parametrize("config", METHODS)
def test_half_precision_weights_and_whole_adapters(config):
    model = adapted(config, base().to("bfloat16"))
    trained = [p for p in model.parameters() if not p.stop_gradient]
    if config != "LNTuningConfig":  # copies of norms keep their dtype
        assert {p.dtype for p in trained} == {paddle.float32}
    shake(model)
    outputs = model(input_ids=IDS, labels=IDS)
    outputs.loss.backward()
    assert all(p.grad is not None for p in trained)
    merged = model.merge_and_unload()
    assert merged.dtype == paddle.bfloat16
    close(merged(IDS).logits, outputs.logits, 0.1)


def test_packed_rows_do_not_see_each_other():
    model = shake(adapted())
    apart = model(input_ids=IDS).logits
    positions = paddle.concat([paddle.arange(5), paddle.arange(5)]).unsqueeze(0)
    packed = model(input_ids=IDS.reshape([1, -1]), position_ids=positions, use_cache=False).logits
    close(packed.reshape(apart.shape), apart)


def test_generation_follows_the_adapter():
    model = shake(adapted(), 0.5)
    settings = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None}
    plain = base().generate(IDS, **settings)
    own = model.generate(input_ids=IDS, **settings)
    assert own.tolist() != plain.tolist()
    with model.disable_adapter():
        assert model.generate(input_ids=IDS, **settings).tolist() == plain.tolist()
    assert model.merge_and_unload().generate(IDS, **settings).tolist() == own.tolist()


def test_an_accelerated_loop_trains_the_adapter_alone():
    from hfpaddle.accelerate import Accelerator
    from hfpaddle.torch.optim import AdamW

    model = adapted()
    before = {n: p.clone() for n, p in model.named_parameters()}
    accelerator = Accelerator(cpu=True)
    trained = [p for p in model.parameters() if not p.stop_gradient]
    model, optimizer = accelerator.prepare(model, AdamW(trained, lr=0.05))
    losses = []
    for _ in range(4):
        loss = model(input_ids=IDS, labels=IDS).loss
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    assert losses == sorted(losses, reverse=True)
    for name, param in accelerator.unwrap_model(model).named_parameters():
        assert bool((param == before[name]).all()) is ("lora_" not in name), name


def test_the_same_seed_gives_the_same_adapter():
    one, two = adapted(), adapted()
    for (name, a), (_, b) in zip(one.named_parameters(), two.named_parameters(), strict=True):
        assert bool((a == b).all()), name


REFUSED = {
    "target_parameters": ["x"],
    "use_qalora": True,
    "alora_invocation_tokens": [1],
    "arrow_config": {},
    "kasa_config": {},
    "velora_config": {},
    "init_lora_weights": "eva",
    "megatron_config": {"x": 1},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_numbers_is_refused(name):
    with pytest.raises(UnsupportedArgumentError, match=name):
        adapted(**{name: REFUSED[name]})


def test_adapters_of_tied_modules_are_not_kept_tied():
    tied = base(tie_word_embeddings=True)
    for kwargs in ({"modules_to_save": ["embed_tokens"]}, {"target_modules": ["embed_tokens"]}):
        with pytest.raises(UnsupportedArgumentError, match="ensure_weight_tying"):
            adapted(model=tied, ensure_weight_tying=True, **kwargs)
    with pytest.warns(UserWarning, match="no tied modules were found"):
        adapted(ensure_weight_tying=True)


def test_tokens_outside_of_the_table_are_refused():
    with pytest.raises(IndexError, match="resize_token_embeddings"):
        adapted(trainable_token_indices=[TINY["vocab_size"]])


def test_trained_biases_are_merged_where_there_is_one():
    with pytest.warns(UserWarning, match="no bias"):
        model = adapted("BeftConfig")
    with pytest.raises(ValueError, match="no bias"):
        model.merge_adapter()
    with pytest.raises(TypeError, match="not supported"):
        adapted("BeftConfig", target_modules=["embed_tokens"])


def test_masks_of_ones_own(tmp_path):
    """A mask that is no random one comes as a function, and returns from a file."""
    config = peft.ShiraConfig(r=1, target_modules=["q_proj"], mask_type="own")
    with pytest.raises(UnsupportedArgumentError, match="mask_fn"):
        peft.get_peft_model(base(), config)

    def first_rows(layer, r, **_):
        mask = paddle.zeros([16, 16])
        mask[: 2 * r] = 1
        return mask

    config.mask_fn = first_rows
    model = shake(peft.get_peft_model(base(), config))
    delta = model.base_model.model.model.layers[0].self_attn.q_proj.get_delta_weight("default")
    assert bool((delta[2:] == 0).all()) and bool((delta[:2] != 0).all())
    model.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(base(), tmp_path)
    close(again(input_ids=IDS).logits, model(input_ids=IDS).logits)


def test_further_refusals(tmp_path):
    with pytest.raises(ValueError, match="not compatible"):
        peft.get_peft_model(base(), peft.VeraConfig(), mixed=True)
    with pytest.raises(UnsupportedArgumentError, match="safe_serialization"):
        adapted().save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(UnsupportedArgumentError, match="butterfly"):
        adapted("BOFTConfig", boft_n_butterfly_factor=2)
    with pytest.raises(peft.NoMatchingPeftModuleError):
        adapted(target_modules=["nothing"])
    with pytest.raises(ValueError, match="positive integer"):
        adapted(r=0)
    with pytest.raises(ValueError, match="does not exist"):
        adapted().delete_adapter("other")


WITHOUT_TUNER = sorted(set(PEFT_TYPE_TO_CONFIG_MAPPING) - set(peft.PEFT_TYPE_TO_TUNER_MAPPING))


@pytest.mark.parametrize("kind", WITHOUT_TUNER)
def test_methods_without_implementation_say_so(kind, tmp_path):
    """Their configs can be written and read; a model is refused and left as it was."""
    needed = {"task_type": "CAUSAL_LM"} | (
        {"hidden_size": 8, "adapters": {}} if "X" in kind else {}
    )
    config = PEFT_TYPE_TO_CONFIG_MAPPING[kind](**needed)
    config.save_pretrained(tmp_path)
    assert peft.PeftConfig.from_pretrained(tmp_path) == config
    model = base()
    names = list(model.state_dict())
    with pytest.raises(MissingFeatureError, match=f"{kind.value}.*Nearest: .*Config"):
        peft.get_peft_model(model, config)
    with pytest.raises(MissingFeatureError, match=kind.value):
        peft.inject_adapter_in_model(config, model)
    with pytest.raises(MissingFeatureError, match=kind.value):
        peft.PeftModel.from_pretrained(model, tmp_path)
    assert list(model.state_dict()) == names


def test_unknown_names_are_told():
    with pytest.raises(KeyError):
        peft.get_peft_config({"peft_type": "no_such"})
    with pytest.raises(AttributeError, match="LoraConfig"):
        _ = peft.LorraConfig
    with pytest.raises(MissingFeatureError, match="create_arrow_model"):
        peft.create_arrow_model()


REFUSED_CONFIGS = {
    "AdamssConfig": {"init_weights": "other"},
    "CartridgeConfig": {"num_virtual_tokens": 2, "num_frozen_tokens": 3},
    "CPTConfig": {"task_type": "SEQ_CLS"},
    "DeloraConfig": {"r": 0},
    "DeftConfig": {"target_modules": "q", "layers_to_transform": 1},
    "FrodConfig": {"sparse_rate": 2},
    "GloraConfig": {"config_C": "constant"},
    "GraloraConfig": {"r": 3},
    "LilyConfig": {"num_B": 1},
    "PeanutConfig": {"act_fn": "none"},
    "PsoftConfig": {"use_cayley_neumann": True, "cayley_neumann_eps": 2.0},
    "RoadConfig": {"group_size": 3},
    "ShadowConfig": {"shadow_model": "x", "shadow_hidden_size": 8},
    "SupertuningConfig": {"lora_alpha": 2},
    "TinyLoraConfig": {"weight_tying": 2},
    "UniLoraConfig": {"bias": "some"},
    "VBLoRAConfig": {"layers_pattern": "layers"},
    "WaveFTConfig": {"wavelet_family": "haar"},
}


@pytest.mark.parametrize("name", REFUSED_CONFIGS)
def test_configs_are_checked(name):
    with pytest.raises(ValueError):
        getattr(peft, name)(**REFUSED_CONFIGS[name])


def test_registration_checks_names():
    for name in ("Lora", "lora_", "no_such_method"):
        with pytest.raises(ValueError):
            register_peft_method(name=name, config_cls=None, model_cls=None)
    with pytest.raises(KeyError):
        register_peft_method(name="lora", config_cls=None, model_cls=None)


def test_files_of_another_rank_are_refused(tmp_path):
    shake(adapted(r=4)).save_pretrained(tmp_path)
    with pytest.raises(WeightMismatchError, match="size mismatch"):
        adapted(r=2).load_checkpoint(tmp_path)
    model = adapted(r=4)
    model.load_checkpoint(tmp_path)
    assert any(not p.stop_gradient for p in model.parameters())
    again = peft.PeftModel.from_pretrained(base(), tmp_path)
    close(again(input_ids=IDS).logits, model(input_ids=IDS).logits)
    assert all(p.stop_gradient for p in again.parameters())


def test_circulant_gradients_are_those_of_the_blocks():
    """Also the input's, which the original gets wrong."""
    rng.manual_seed(0)
    config = peft.C3AConfig(block_size=4, target_modules=["0"])
    layer = peft.get_peft_model(nn.Sequential(nn.Linear(8, 12)), config).base_model.model[0]
    x = paddle.to_tensor(rng.default_generator.normal((3, 8), 0.0, 1.0), stop_gradient=False)
    results = layer.activation("default", x), x @ layer.get_delta_weight("default")
    grads = [paddle.grad(y.square().sum(), [x, layer.c3a_kernel["default"]]) for y in results]
    for one, other in zip(*grads, strict=True):
        close(one, other, 1e-6)


def test_tools_without_implementation_say_so():
    from hfpaddle.peft import optimizers
    from hfpaddle.peft.utils.hotswap import prepare_model_for_compiled_hotswap

    with pytest.raises(MissingFeatureError, match="create_lorafa_optimizer.*loraplus"):
        optimizers.create_lorafa_optimizer()
    with pytest.raises(UnsupportedArgumentError, match="8 bits"):
        eight = type("AdamW8bit", (), {})
        optimizers.create_loraplus_optimizer(adapted(), eight, lr=1.0, loraplus_lr_ratio=2.0)
    prepare_model_for_compiled_hotswap(adapted(), target_rank=16)
    with pytest.raises(ValueError, match="No adapter layers"):
        prepare_model_for_compiled_hotswap(base())
