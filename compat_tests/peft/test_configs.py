"""Every config has peft's fields and defaults, writes peft's file, and refuses what it does."""

from __future__ import annotations

import dataclasses
import json
import warnings

import peft
import pytest
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

import hfpaddle.peft as ours_peft

KINDS = sorted(kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING)
NEEDED = {
    "ADALORA": {"total_step": 100},
    "CPT": {"task_type": "CAUSAL_LM"},
    "XLORA": {"hidden_size": 32, "adapters": {}},
}
# Values that peft refuses, and some that it only warns of.
BAD = {
    "r": [0, 3],
    "layers_pattern": ["layers"],
    "layers_to_transform": [0],
    "mask_interval": [0],
    "use_asa": [True],
    "init_weights": ["other"],
    "num_frozen_tokens": [-1, 5],
    "num_virtual_tokens": [0, 4],
    "cpt_mask": [[1, 1]],
    "decomposition_method": ["svd"],
    "sparse_rate": [-1.0, 2.0],
    "config_A_B": ["other"],
    "config_C": ["constant"],
    "config_D_E": ["lora"],
    "gralora_k": [0, 5],
    "stride_A": [0],
    "num_B": [1],
    "depth": [-1],
    "act_fn": ["nothing", "gelu"],
    "ab_svd_init": ["other"],
    "psoft_svd": ["other", "lowrank"],
    "num_cayley_neumann_terms": [0],
    "cayley_neumann_eps": [2.0],
    "psoft_svd_lowrank_niter": [3],
    "variant": ["road_3"],
    "group_size": [0, 3],
    "shadow_hidden_size": [8],
    "sparsity": [1.0, -0.5],
    "lora_alpha": [3],
    "lora_dropout": [1.0],
    "save_projection": [False],
    "save_precomputed_indices": [False],
    "mask_type": ["other"],
    "weight_tying": [2.0],
    "u": [0],
    "theta_d_length": [0],
    "unilora_dropout": [2.0],
    "init_theta_d_bound": [0],
    "bias": ["some"],
    "wavelet_family": ["haar", "coif17", "sym20", "db38"],
    "task_type": ["SEQ_CLS", "other"],
    "hidden_size": [None],
    "adapters": [None],
    "top_k_lora": [0],
    "enable_softmax_topk": [True],
    "target_modules": [["q", "v"], "q|v"],
    "exclude_modules": [["q"]],
    "prompt_tuning_init": ["TEXT", "RANDOM"],
}


def classes(kind):
    theirs = PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType(kind)]
    return getattr(ours_peft, theirs.__name__), theirs


def default(field):
    if field.default is not dataclasses.MISSING:
        return field.default
    made = field.default_factory()
    return dataclasses.asdict(made) if dataclasses.is_dataclass(made) else made


@pytest.mark.parametrize("kind", KINDS)
def test_fields_and_defaults(kind):
    ours, theirs = ({f.name: default(f) for f in dataclasses.fields(c)} for c in classes(kind))
    assert ours == theirs
    assert list(ours)[7:] == list(theirs)[7:]


def outcome(cls, values):
    """What becomes of the config: its fields and whether it warned, or the kind of its error."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            made = cls(**values)
        except Exception as error:
            return type(error).__name__
    fields = {k: sorted(v) if isinstance(v, set) else v for k, v in made.to_dict().items()}
    return fields, len(said)


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_refused_alike(kind):
    ours, theirs = classes(kind)
    names = {field.name for field in dataclasses.fields(theirs)}
    tried = [{}] + [{k: v} for k in sorted(names & BAD.keys()) for v in BAD[k]]
    if {"layers_to_transform", "layers_pattern"} <= names:
        tried += [{"target_modules": "q", "layers_to_transform": [1]}]
        tried += [{"layers_pattern": "layers", "layers_to_transform": 0}]
    if kind == "ADAMSS":
        tried += [{"use_asa": True, k: 0} for k in ("mask_interval", "final_warmup")]
        tried += [
            {"use_asa": True, k: 0} for k in ("asa_target_subspaces", "asa_schedule_exponent")
        ]
    if kind == "PSOFT":
        more = {"num_cayley_neumann_terms": 0}, {"cayley_neumann_eps": 2.0}
        tried += [{"use_cayley_neumann": True, **values} for values in more]
    if kind == "SHADOW":
        tried += [{"shadow_model": "x", "shadow_hidden_size": 8}]
    for values in tried:
        values = {**NEEDED.get(kind, {}), **values}
        assert outcome(ours, values) == outcome(theirs, values), values


@pytest.mark.parametrize("kind", KINDS)
def test_files_go_both_ways(kind, tmp_path):
    ours, theirs = (cls(**NEEDED.get(kind, {}), inference_mode=True) for cls in classes(kind))
    ours.save_pretrained(tmp_path / "ours"), theirs.save_pretrained(tmp_path / "theirs")
    texts = [(tmp_path / who / "adapter_config.json").read_text() for who in ("ours", "theirs")]
    assert json.loads(texts[0]) == json.loads(texts[1])
    assert ours_peft.PeftConfig.from_pretrained(tmp_path / "theirs").to_dict() == ours.to_dict()
    assert peft.PeftConfig.from_pretrained(tmp_path / "ours").to_dict() == theirs.to_dict()
