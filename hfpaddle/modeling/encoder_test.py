import inspect

import numpy as np
import paddle
import pytest
import transformers
from paddle import nn

from hfpaddle.core.errors import UnsupportedArgumentError, UnsupportedConfigError
from hfpaddle.layers import Linear
from hfpaddle.modeling import auto
from hfpaddle.modeling.registry import auto_model_class
from hfpaddle.models.bert import BertForMaskedLM, BertModel, BertPreTrainedModel

pytestmark = pytest.mark.unit

TINY = {
    **{"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"max_position_embeddings": 12, "pad_token_id": 0},
}
FAMILIES = [
    *("bert", "roberta", "xlm-roberta", "distilbert", "electra", "ernie", "modernbert"),
    "deberta-v2",
]
IDS = paddle.to_tensor(np.arange(2, 12).reshape(2, 5))


def config(family="bert", **fields):
    if family == "modernbert":
        fields |= {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    if family == "deberta-v2":
        fields |= {"relative_attention": True, "position_buckets": 4, "pos_att_type": "c2p|p2c"}
    if family == "electra":
        fields |= {"embedding_size": 8}
    return transformers.AutoConfig.for_model(family, **{**TINY, **fields})


@pytest.mark.parametrize("family", FAMILIES)
def test_stored_as_bfloat16_computes_in_float32(family):
    model = auto.AutoModelForMaskedLM.from_config(config(family)).eval()
    want = model(IDS).logits
    got = model.to("bfloat16")(IDS).logits
    assert model.dtype == paddle.bfloat16 and got.dtype == paddle.float32
    assert 0 < float((got - want).abs().max()) < 0.1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [True, False])
def test_resized_vocabulary(family, tied):
    model = auto.AutoModelForMaskedLM.from_config(config(family, tie_word_embeddings=tied)).eval()
    before = model(IDS).logits
    model.resize_token_embeddings(35)
    after = model(IDS).logits
    assert model.config.vocab_size == 35 and list(after.shape) == [2, 5, 35]
    np.testing.assert_allclose(after[..., :30].numpy(), before.numpy(), atol=1e-6)
    again = auto.AutoModelForMaskedLM.from_config(model.config)
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in model.state_dict().items()
    }


def test_new_matched_head_follows_a_resized_vocabulary():
    model = auto.AutoModelForMaskedLM.from_config(config("deberta-v2", legacy=False))
    model.resize_token_embeddings(33)
    assert list(model(IDS).logits.shape) == [2, 5, 33]


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_only_while_training(family):
    model = auto.AutoModel.from_config(config(family))
    if family == "modernbert":  # whose config switches dropout off
        model = auto.AutoModel.from_config(config(family, embedding_dropout=0.5, mlp_dropout=0.5))
    runs = [model.train()(IDS)[0] for _ in range(2)]
    assert float((runs[0] - runs[1]).abs().max()) > 1e-3
    runs = [model.eval()(IDS)[0] for _ in range(2)]
    assert float((runs[0] - runs[1]).abs().max()) == 0


def test_masks_of_both_shapes_agree():
    model = BertModel(config()).eval()
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    want = model(IDS, paddle.to_tensor(mask))[0]
    seen = paddle.to_tensor(np.broadcast_to(mask[:, None, None] > 0, (2, 1, 5, 5)).copy())
    added = paddle.where(seen, paddle.zeros([1]), paddle.full([1], float("-inf")))
    for four in (seen, added):
        np.testing.assert_allclose(model(IDS, four)[0].numpy(), want.numpy(), atol=1e-6)
    assert float((model(IDS)[0] - want).abs().max()) > 1e-3
    with pytest.raises(UnsupportedArgumentError, match=r"attention_mask has shape \[2, 5, 5\]"):
        model(IDS, seen[:, 0])


def test_prefix_in_a_cache_is_seen_by_every_token():
    from hfpaddle.layers.cache import DynamicCache

    model = BertModel(config()).eval()
    cache = DynamicCache(config=model.config)
    prefix = paddle.linspace(-1, 1, 96).reshape([2, 2, 3, 8])
    for layer in range(2):
        cache.update(prefix, prefix, layer)
    flags = {"output_attentions": True, "past_key_values": cache}
    mask = paddle.ones([2, 8], dtype="int64")
    mask[0, 0] = 0
    output = model(IDS, mask, **flags)
    weights = output.attentions[0].numpy()
    assert output.past_key_values is None and weights.shape == (2, 2, 5, 8)
    # Paddle's softmax turns minus infinity into 1e-29.
    assert (weights[0, :, :, 0] < 1e-20).all() and (weights[0, :, :, 1:] > 1e-3).all()
    assert (weights[1] > 1e-3).all()


def test_refusals():
    model = BertModel(config())
    with pytest.raises(ValueError, match="exactly one"):
        model()
    with pytest.raises(UnsupportedArgumentError, match="encoder_hidden_states"):
        model(IDS, encoder_hidden_states=paddle.ones([2, 3, 16]))
    with pytest.raises(ValueError, match="13 tokens, but the model has 12 positions"):
        model(paddle.ones([1, 13], dtype="int64"))
    with pytest.raises(UnsupportedConfigError, match="not a multiple"):
        BertModel(config(hidden_size=18, num_attention_heads=4))


def test_config_decides_what_is_returned():
    model = BertModel(config(return_dict=False, output_hidden_states=True)).eval()
    output = model(IDS)
    assert isinstance(output, tuple) and len(output) == 3 and len(output[2]) == 3
    assert model(IDS, return_dict=True).pooler_output.shape == [2, 16]


def test_pooler_is_optional():
    model = BertModel(config(), add_pooling_layer=False)
    assert model(IDS).pooler_output is None
    assert not [name for name in model.state_dict() if "pooler" in name]


def test_a_head_of_the_users_own(tmp_path):
    class Scorer(BertPreTrainedModel):
        def __init__(self, config):
            super().__init__(config)
            self.bert = BertModel(config)
            self.drop = nn.Dropout(0.1)
            self.scorer = Linear(config.hidden_size, 1)
            self.post_init()

        def forward(self, input_ids, **kwargs):
            return self.scorer(self.drop(self.bert(input_ids, **kwargs).pooler_output))

    model = Scorer(config()).eval()
    model.save_pretrained(tmp_path)
    again, info = Scorer.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert (again(IDS) == model(IDS)).all()
    backbone = BertModel.from_pretrained(tmp_path)
    assert (backbone(IDS)[0] == model.bert(IDS)[0]).all()


def test_heads_load_a_backbone(tmp_path):
    backbone = BertModel(config(), add_pooling_layer=False).eval()
    backbone.save_pretrained(tmp_path)
    head, info = BertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert all(name.startswith("cls.") for name in info["missing_keys"])
    assert (head.bert(IDS)[0] == backbone(IDS)[0]).all()


@pytest.mark.parametrize(
    "name, family, first",
    [
        ("AutoModel", "bert", ["token_type_ids", "position_ids", "inputs_embeds"]),
        ("AutoModel", "ernie", ["token_type_ids", "task_type_ids", "position_ids"]),
        ("AutoModelForMultipleChoice", "ernie", ["token_type_ids", "task_type_ids"]),
        ("AutoModel", "distilbert", ["inputs_embeds", "position_ids"]),
        (
            "AutoModelForSequenceClassification",
            "distilbert",
            ["inputs_embeds", "labels", "position_ids"],
        ),
        ("AutoModelForMaskedLM", "modernbert", ["position_ids", "inputs_embeds", "labels"]),
        (
            "AutoModelForQuestionAnswering",
            "modernbert",
            ["position_ids", "start_positions", "end_positions"],
        ),
    ],
)
def test_arguments_stand_where_the_original_has_them(name, family, first):
    forward = auto_model_class(name, family).forward
    names = ["self", "input_ids", "attention_mask", *first]
    assert list(inspect.signature(forward).parameters)[: len(names)] == names


def test_every_choice_gets_its_own_types_and_tasks():
    fields = {"use_task_id": True, "task_type_vocab_size": 4}
    model = auto.AutoModelForMultipleChoice.from_config(config("ernie", **fields)).eval()
    ids = paddle.stack([IDS, IDS], axis=1)
    rows = paddle.to_tensor([[0] * 5, [1] * 5]).unsqueeze(0).expand([2, 2, 5])
    zeros = paddle.zeros_like(rows)
    for given in ({"task_type_ids": rows}, {"token_type_ids": rows}):
        logits = model(ids, **given).logits
        plain = model(ids, **{name: zeros for name in given}).logits
        assert (logits[:, 0] == plain[:, 0]).all() and (logits[:, 1] != plain[:, 1]).all()
