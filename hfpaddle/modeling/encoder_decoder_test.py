import paddle
import pytest

from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.modeling.encoder_decoder import clamp_half, last_end, make_mask, shift_right


def test_shift_right_replaces_what_does_not_count():
    labels = paddle.to_tensor([[5, -100, 7], [8, 9, -100]])
    assert shift_right(labels, 0, 2).tolist() == [[2, 5, 0], [2, 8, 9]]


@pytest.mark.parametrize("tokens, name", [((None, 2), "pad"), ((0, None), "decoder_start")])
def test_shift_right_needs_both_tokens(tokens, name):
    with pytest.raises(ValueError, match=f"{name}_token_id"):
        shift_right(paddle.to_tensor([[5]]), *tokens)


def test_last_end_takes_the_last_of_several():
    x = paddle.arange(8, dtype="float32").reshape([2, 4, 1])
    ids = paddle.to_tensor([[1, 1, 5, 5], [1, 5, 5, 1]])
    assert last_end(x, ids, 1).tolist() == [[1.0], [7.0]]


@pytest.mark.parametrize(
    "ids, message", [([[1, 5], [1, 1]], "same number"), ([[5, 5]], "at least one")]
)
def test_last_end_refuses(ids, message):
    ids = paddle.to_tensor(ids)
    with pytest.raises(ValueError, match=message):
        last_end(paddle.zeros([*ids.shape, 1]), ids, 1)


def test_make_mask_refuses_three_dimensions():
    with pytest.raises(UnsupportedArgumentError, match=r"\[1, 2, 2\]"):
        make_mask(2, 2, paddle.ones([1, 2, 2]), causal=True)


def test_clamp_half_leaves_other_dtypes():
    x = paddle.to_tensor([float("inf")])
    assert clamp_half(x) is x
