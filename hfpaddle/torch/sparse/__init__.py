"""``torch.sparse``: products with sparse matrices, over ``paddle.sparse``."""

import paddle

Tensor = paddle.Tensor


def mm(mat1, mat2):
    """Sparse matrix times dense matrix."""
    return paddle.sparse.matmul(mat1, mat2)


def sum(input, dim=None, dtype=None):
    """Sum of a sparse tensor."""
    return paddle.sparse.sum(input, dim, dtype)
