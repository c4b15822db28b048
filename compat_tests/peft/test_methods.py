"""The smaller methods equal peft's: values, forward, gradients, files both ways, merged weights."""

from __future__ import annotations

import pytest
import torch
from adapter_pairs import adapter_pair, check_exchange, check_initial, near, randomise

QV = {"target_modules": ["q_proj", "v_proj"]}
ALL = {"target_modules": "all-linear"}
# name -> (family, config, arguments)
CASES = {
    "ia3": ("llama", "IA3Config", {}),
    "ia3-conv1d": ("gpt2", "IA3Config", {}),
    "ia3-bert": ("bert", "IA3Config", {}),
    "ia3-t5": ("t5", "IA3Config", {}),
    "ia3-drawn": ("llama", "IA3Config", {"init_ia3_weights": False}),
    "norms": ("llama", "LNTuningConfig", {}),
    "norms-gpt2": ("gpt2", "LNTuningConfig", {}),
    "norms-t5": ("t5", "LNTuningConfig", {}),
    "loha": ("llama", "LoHaConfig", {"r": 3, **ALL}),
    "loha-drawn": ("bert", "LoHaConfig", {"r": 3, "alpha": 6, "init_weights": False}),
    "lokr": ("llama", "LoKrConfig", {"r": 2, **ALL}),
    "lokr-both": ("llama", "LoKrConfig", {"r": 1, "decompose_both": True, **ALL}),
    "lokr-factor": ("llama", "LoKrConfig", {"r": 2, "decompose_factor": 4, **QV}),
    "lokr-lycoris": ("bert", "LoKrConfig", {"r": 2, "init_weights": "lycoris"}),
    "lokr-whole": ("llama", "LoKrConfig", {"r": 32, **QV}),
    "adalora": ("llama", "AdaLoraConfig", {"init_r": 4, "total_step": 10}),
    "adalora-conv1d": ("gpt2", "AdaLoraConfig", {"init_r": 4, "total_step": 10}),
    "adalora-t5": ("t5", "AdaLoraConfig", {"init_r": 3, "total_step": 10}),
    "oft": ("llama", "OFTConfig", {"oft_block_size": 8, **ALL}),
    "oft-exact": ("bert", "OFTConfig", {"oft_block_size": 4, "use_cayley_neumann": False}),
    "oft-shared": ("llama", "OFTConfig", {"r": 8, "oft_block_size": 0, "block_share": True, **QV}),
    "oft-bounded": ("llama", "OFTConfig", {"oft_block_size": 8, "coft": True, "eps": 0.3, **QV}),
    "oft-embedding": (
        "llama", "OFTConfig", {"oft_block_size": 7, "target_modules": ["embed_tokens", "q_proj"]},
    ),
    "boft": ("llama", "BOFTConfig", {**ALL}),
    "boft-drawn": ("bert", "BOFTConfig", {"boft_block_num": 4, "boft_block_size": 0,
                                          "init_weights": False}),
    "hra": ("llama", "HRAConfig", {"r": 4, **ALL}),
    "hra-orthogonal": ("bert", "HRAConfig", {"r": 3, "apply_GS": True, "init_weights": False}),
    "fourier": ("llama", "FourierFTConfig", {
        "n_frequency": 50, "scaling": 40.0, "n_frequency_pattern": {"q_proj": 20}, **ALL,
    }),
    "fourier-conv1d": ("gpt2", "FourierFTConfig", {"n_frequency": 30}),
    "fourier-zero": ("bert", "FourierFTConfig", {"n_frequency": 30, "init_weights": True}),
    # The last layer alone: peft's C3A passes a wrong gradient on to the layers before.
    "circulant": ("llama", "C3AConfig", {"block_size": 8, "block_size_pattern": {"q_proj": 4},
                                         "layers_to_transform": [1], **QV}),
    "circulant-normal": ("bert", "C3AConfig", {"block_size": 4, "init_weights": "gaussian",
                                               "layers_to_transform": [1]}),
    "vera": ("llama", "VeraConfig", {"r": 6, **ALL}),
    "vera-conv1d": ("gpt2", "VeraConfig", {"r": 6}),
    "miss": ("llama", "MissConfig", {"r": 4, **ALL}),
    "miss-rest": ("llama", "MissConfig", {"r": 7, **QV}),
    "miss-drawn": ("bert", "MissConfig", {"r": 8, "init_weights": False}),
    "miss-mini": ("llama", "MissConfig", {"r": 4, "init_weights": "mini", "mini_r": 8, **QV}),
    "miss-bat": ("llama", "MissConfig", {"r": 8, "init_weights": "bat", **QV}),
    "miss-bat-bias": ("bert", "MissConfig", {"r": 8, "init_weights": "bat"}),
    "hira": ("llama", "HiraConfig", {"r": 4, "rank_pattern": {"q_proj": 2}, **ALL}),
    "hira-conv1d": ("gpt2", "HiraConfig", {"r": 4}),
    "hira-normal": ("bert", "HiraConfig", {"r": 4, "init_weights": "gaussian"}),
    "hira-drawn": ("llama", "HiraConfig", {"r": 4, "init_weights": False, **QV}),
    "delora": ("llama", "DeloraConfig", {"r": 4, "lambda_pattern": {"q_proj": 3}, **ALL}),
    "delora-drawn": ("bert", "DeloraConfig", {"r": 4, "init_weights": False}),
    "road": ("llama", "RoadConfig", {"group_size": 8, **QV}),
    "road-two": ("llama", "RoadConfig", {"variant": "road_2", "group_size": 4, **ALL}),
    "road-four": ("bert", "RoadConfig", {
        "variant": "road_4", "group_size": 16, "init_weights": False,
    }),
    "shira": ("llama", "ShiraConfig", {"r": 2, **ALL}),
    "shira-seeded": ("bert", "ShiraConfig", {"r": 3, "random_seed": 5, "init_weights": False}),
    "vblora": ("llama", "VBLoRAConfig", {"num_vectors": 12, "vector_length": 8, **ALL}),
    "vblora-short": ("llama", "VBLoRAConfig", {
        "num_vectors": 300, "vector_length": 8, "save_only_topk_weights": True, **QV,
    }),
    "vblora-conv1d": ("gpt2", "VBLoRAConfig", {"num_vectors": 12, "vector_length": 8, "topk": 3}),
    "gralora": ("llama", "GraloraConfig", {"r": 4, "alpha": 8, **ALL}),
    "gralora-hybrid": ("llama", "GraloraConfig", {"r": 8, "gralora_k": 4, "hybrid_r": 2, **QV}),
    "gralora-conv1d": ("gpt2", "GraloraConfig", {"r": 4}),
    "gralora-drawn": ("bert", "GraloraConfig", {"r": 4, "hybrid_r": 3, "init_weights": False}),
    "beft": ("bert", "BeftConfig", {"init_weights": False}),
    "vera-drawn": ("llama", "VeraConfig", {"r": 6, "init_weights": False, **QV}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_method(case, tmp_path):
    family, config, kwargs = CASES[case]
    pair = adapter_pair(family, tmp_path / "base", config, False, **kwargs)
    check_initial(pair)
    pair.check_forward()
    randomise(pair)
    pair.check_forward()
    pair.gradients()
    # The original's AdaLoRA gives no loss once it is frozen.
    check_exchange(pair, tmp_path, trainable=config == "AdaLoraConfig")
    before = pair.outputs()[0].logits
    pair.ours.merge_adapter(), pair.theirs.merge_adapter()
    pair.check_forward(2e-5)
    pair.ours.unmerge_adapter(), pair.theirs.unmerge_adapter()
    near(before, torch.from_numpy(pair.outputs()[0].logits.numpy()), "unmerged", 2e-5)
    pair.ours, pair.theirs = pair.ours.merge_and_unload(), pair.theirs.merge_and_unload()
    pair.check_forward(2e-5)
    assert pair.ours.state_dict().keys() == pair.theirs.state_dict().keys()


def test_adalora_prunes_alike(tmp_path):
    """Ten steps of plain descent: the same singular values fall, and the files are the same."""
    settings = {"init_r": 6, "target_r": 2, "total_step": 8, "tinit": 1, "tfinal": 2, "deltaT": 2}
    pair = adapter_pair("llama", tmp_path / "base", "AdaLoraConfig", **settings)
    for step in range(1, 10):
        pair.gradients()
        for param in pair.theirs.parameters():
            if param.grad is not None:
                param.data -= 0.05 * param.grad
        for param in pair.ours.parameters():
            if param.grad is not None:
                param.set_value(param - 0.05 * param.grad)
        for model in (pair.ours, pair.theirs):
            model.base_model.update_and_allocate(step)
        patterns = [m.peft_config["default"].rank_pattern for m in (pair.ours, pair.theirs)]
        assert patterns[0] == patterns[1], step
        pair.theirs.zero_grad(), [p.clear_gradient() for p in pair.ours.parameters()]
    assert sum(map(sum, patterns[0].values())) == 2 * len(patterns[0])
    check_exchange(pair, tmp_path, trainable=True)
