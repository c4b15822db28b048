import numpy as np
import paddle
import pytest
import torch
import transformers
from harness import B, close, original, run_both
from harness_vision import (
    FLAGS,
    check_vision,
    check_vision_head,
    pair,
    pixels,
    same_gradients,
    same_output,
    vision_config,
)

import hfpaddle.modeling.auto as ours_auto
from hfpaddle.core import rng
from hfpaddle.layers.parameter import truncated_normal
from hfpaddle.modeling.auto import AutoModel, AutoModelForImageClassification
from hfpaddle.models.vit import ViTForMaskedImageModeling

CLASSES = "AutoModelForImageClassification"
MASKED = "AutoModelForMaskedImageModeling"
HALF = np.arange(B * 9).reshape(B, 9) % 2 == 0

VARIANTS = {
    "plain": {},
    "sizes": {"num_channels": 1, "patch_size": 3, "hidden_act": "relu", "layer_norm_eps": 1e-5},
    "no biases": {"qkv_bias": False},
    "pooler": {"pooler_output_size": 7, "pooler_act": "gelu"},
    "rest of pixels": {"image_size": 14},
    "lists": {"image_size": [12, 20], "patch_size": [4, 5]},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_vit(variant, tmp_path):
    check_vision("vit", tmp_path, vision_config("vit", **VARIANTS[variant]))


@pytest.mark.parametrize("size", [(24, 24), (16, 24), (8, 8), (13, 12), (12, 12)], ids=str)
def test_vit_other_image_sizes(size, tmp_path):
    """The position table is interpolated, and its gradient goes through that."""
    config = vision_config("vit")
    theirs, ours = pair("AutoModel", config, tmp_path)
    inputs = {"pixel_values": pixels(config, *size)}
    flags = {"interpolate_pos_encoding": True}
    same_output(*run_both(theirs, ours, **inputs, **flags, **FLAGS))
    theirs.forward, ours.forward = (
        lambda f=model.forward, **kw: f(**kw, **flags) for model in (theirs, ours)
    )
    same_gradients(theirs, ours, "pooler_output", **inputs)


def test_vit_attention_mask(tmp_path):
    config = vision_config("vit")
    theirs, ours = pair("AutoModel", config, tmp_path)
    mask = np.ones((B, 10), dtype=np.int64)
    mask[0, 3:5] = 0
    same_output(*run_both(theirs, ours, pixel_values=pixels(config), attention_mask=mask, **FLAGS))


LABELS = {
    "single_label_classification": np.array([2, 0]),
    "multi_label_classification": np.eye(3, dtype="float32")[[2, 0]],
    "regression": np.array([[0.1, 0.2, -1.0], [3.0, 0.0, 0.5]], dtype="float32"),
}


@pytest.mark.parametrize(
    "problem, said",
    [
        ("single_label_classification", True),
        ("single_label_classification", False),
        ("multi_label_classification", True),
        ("multi_label_classification", False),
        ("regression", True),
    ],
)
def test_vit_classifies(problem, said, tmp_path):
    """By what the config says, or by what the labels look like."""
    config = vision_config("vit", num_labels=3, problem_type=problem if said else None)
    _, ours = check_vision_head("vit", CLASSES, tmp_path, config, labels=LABELS[problem])
    assert ours.config.problem_type == problem


def test_vit_regresses_one_number(tmp_path):
    config = vision_config("vit", num_labels=1)
    labels = np.array([0.5, -1.0], dtype="float32")
    _, ours = check_vision_head("vit", CLASSES, tmp_path, config, labels=labels)
    assert ours.config.problem_type == "regression"


def test_vit_without_labels(tmp_path):
    """num_labels=0 gives the class token itself."""
    config = vision_config("vit", num_labels=0)
    theirs, ours = pair(CLASSES, config, tmp_path)
    same_output(*run_both(theirs, ours, pixel_values=pixels(config)))


def test_vit_counts_items_of_several_batches(tmp_path):
    config = vision_config("vit", num_labels=3)
    theirs, ours = pair(CLASSES, config, tmp_path)
    inputs = {"pixel_values": pixels(config), "labels": np.array([2, 0])}
    plain, _ = run_both(theirs, ours, **inputs)
    got, want = run_both(theirs, ours, **inputs, num_items_in_batch=8)
    same_output(got, want)
    np.testing.assert_allclose(float(got.loss) * 4, float(plain.loss), rtol=1e-5)


def test_vit_draws_masked_patches(tmp_path):
    theirs, ours = check_vision_head("vit", MASKED, tmp_path, bool_masked_pos=HALF)
    inputs = {"pixel_values": pixels(ours.config)}
    got, want = run_both(theirs, ours, **inputs)
    same_output(got, want)
    assert got.loss is None
    masked, _ = run_both(theirs, ours, **inputs, bool_masked_pos=HALF)
    assert float((masked.reconstruction - got.reconstruction).abs().max()) > 1e-3


def test_vit_refuses(tmp_path):
    config = vision_config("vit")
    ours = AutoModel.from_config(config)
    with pytest.raises(ValueError, match="doesn't match model"):
        ours(paddle.to_tensor(pixels(config, 16, 16)))
    with pytest.raises(ValueError, match="channel dimension"):
        ours(paddle.zeros([1, 4, 12, 12]))
    with pytest.raises(ValueError, match="mask token"):
        ours(paddle.to_tensor(pixels(config)), paddle.to_tensor(HALF))
    with pytest.raises(ValueError, match="pixel_values"):
        ours()
    drawing = ViTForMaskedImageModeling(vision_config("vit", encoder_stride=8))
    with pytest.raises(ValueError, match="encoder_stride"):
        drawing(paddle.to_tensor(pixels(config)), paddle.to_tensor(HALF))


def test_vit_reads_the_originals_names_in_memory(tmp_path):
    """``layers.0.attention.q_proj`` is what scripts that save ``state_dict()`` write."""
    config = vision_config("vit", num_labels=3)
    theirs, ours = pair(CLASSES, config, tmp_path)
    state = {k: paddle.to_tensor(v.numpy()) for k, v in theirs.state_dict().items()}
    assert "vit.layers.0.attention.q_proj.weight" in state
    again, info = type(ours).from_pretrained(
        None, config=config, state_dict=state, output_loading_info=True
    )
    assert not any(info.values()), info
    images = paddle.to_tensor(pixels(config))
    assert (again(images).logits == ours(images).logits).all()


def test_vit_backbone_from_a_classifier(tmp_path):
    """The pooler is new, as it is in the original; the rest is the classifier's."""
    config = vision_config("vit", num_labels=3)
    theirs, _ = pair(CLASSES, config, tmp_path)
    ours, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert set(info["missing_keys"]) == {"pooler.dense.weight", "pooler.dense.bias"}
    got, want = run_both(theirs.vit, ours, pixel_values=pixels(config))
    close(got[0], want[0], "last state")


@pytest.mark.parametrize("auto", ["AutoModel", CLASSES, MASKED])
@pytest.mark.parametrize("source", ["AutoModel", CLASSES])
def test_vit_new_parts_from_a_seed(auto, source, tmp_path):
    """What the checkpoint lacks has the values that torch's seed gives it."""
    original(source, vision_config("vit", num_labels=3), tmp_path)
    torch.manual_seed(11)
    theirs = getattr(transformers, auto).from_pretrained(tmp_path)
    rng.manual_seed(11)
    ours = getattr(ours_auto, auto).from_pretrained(tmp_path)
    got = dict(ours.named_parameters())
    assert len(got) == len(list(theirs.parameters()))
    for name, param in theirs.named_parameters():
        mine = got[ours.key_map.to_ours(name)].numpy()
        np.testing.assert_array_equal(mine, param.detach().numpy(), name)


def test_vit_starts_as_the_original_does():
    """Position table and class token of a new model; the mask token is zero."""
    config = vision_config("vit", hidden_size=256, initializer_range=0.9)
    embeddings = ViTForMaskedImageModeling(config).vit.embeddings
    for table in (embeddings.position_embeddings, embeddings.cls_token):
        assert 0.7 < float(table.std()) < 0.9 and float(table.abs().max()) <= 2.0
    assert float(embeddings.mask_token.abs().max()) == 0.0


@pytest.mark.parametrize("std, cutoff", [(0.02, 100.0), (0.02, 2.0), (1.0, 0.5), (0.9, 2 / 0.9)])
def test_truncated_normal(std, cutoff):
    rng.manual_seed(4)
    got = truncated_normal(std, cutoff)([7, 33])
    want = torch.empty(7, 33)
    torch.manual_seed(4)
    torch.nn.init.trunc_normal_(want, 0.0, std, -cutoff * std, cutoff * std)
    np.testing.assert_allclose(got, want.numpy(), atol=1e-7)


def test_vit_recomputes():
    """Gradients with and without gradient checkpointing are equal."""
    ours = AutoModelForImageClassification.from_config(vision_config("vit", num_labels=3))
    ours.train()
    calls, norms = [], []
    ours.vit.blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
    for enabled in (False, True):
        if enabled:
            ours.gradient_checkpointing_enable()
        images = paddle.to_tensor(pixels(ours.config))
        ours(images, labels=paddle.to_tensor([2, 0])).loss.backward()
        norms.append([float(p.grad.square().sum()) for p in ours.parameters()])
        ours.clear_gradients()
    assert len(calls) == 3  # once, then once and once more in the backward pass
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-5)
