import numpy as np
import paddle

from hfpaddle import ops
from hfpaddle.core import rng
from hfpaddle.layers.recompute import recompute


def _block(x):
    return ops.dropout(ops.dropout(x, 0.5) * x, 0.3)


def _gradient(call):
    rng.manual_seed(3)
    x = paddle.arange(1, 25, dtype="float32").reshape([4, 6])
    x.stop_gradient = False
    call(call(x)).sum().backward()
    return x.grad.numpy(), rng.default_generator.random_u32(1)


def test_the_second_run_draws_the_first_ones_masks():
    plain, after = _gradient(_block)
    again, after_again = _gradient(lambda x: recompute(_block, x))
    assert np.count_nonzero(plain) > 2
    np.testing.assert_array_equal(again, plain)
    assert after == after_again
