import numpy as np
import paddle
import pytest

from hfpaddle import ops
from hfpaddle.core import rng
from hfpaddle.core.errors import DistributionError


def test_the_mask_comes_from_the_shared_stream():
    x = paddle.full([7, 11], 2.0)
    rng.manual_seed(4)
    dropped = ops.dropout(x, 0.25).numpy()
    after = rng.default_generator.random_u32(1)
    rng.manual_seed(4)
    keep = rng.default_generator.dropout_mask((7, 11), 0.25)
    assert 0 < keep.sum() < keep.size
    np.testing.assert_allclose(dropped, np.where(keep, np.float32(2 / 0.75), 0), rtol=1e-6)
    assert after == rng.default_generator.random_u32(1)


def test_the_gradient_passes_where_the_value_does():
    x = paddle.ones([3, 5])
    x.stop_gradient = False
    y = ops.dropout(x, 0.5)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (0.7, False)])
def test_without_dropout_nothing_is_drawn(p, training):
    x = paddle.ones([4])
    before = rng.default_generator.get_state()
    assert ops.dropout(x, p, training) is x
    np.testing.assert_array_equal(before, rng.default_generator.get_state())


def test_everything_can_be_dropped():
    assert ops.dropout(paddle.ones([4]), 1.0).numpy().tolist() == [0.0] * 4


def test_a_probability_beyond_one_is_refused():
    with pytest.raises(DistributionError, match="1.5"):
        ops.dropout(paddle.ones([4]), 1.5)
