"""Tables that grow and shrink with the vocabulary; new rows are those that the original would draw.

Shape letters: R rows, H hidden.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddle import nn

from hfpaddle.core import rng
from hfpaddle.core.errors import UnsupportedArgumentError
from hfpaddle.layers.basic import Embedding
from hfpaddle.layers.parameter import assign, empty_parameters, parameter
from hfpaddle.layers.quantized import Quantized

_SPREAD = 1e-9  # of the old rows' covariance, as upstream


def resize_layer(model: nn.Layer, layer: Any, rows: int, mean: bool, std: float) -> None:
    """Give an embedding or a projection ``rows`` rows, and its bias if it has one.

    Args:
        model: where other layers that share the parameters are found.
        mean: new rows are drawn close to the mean of the old ones, else as in a new model.
        std: of a new model.
    Raises: UnsupportedArgumentError for quantised tables.
    """
    if isinstance(layer, Quantized):
        raise UnsupportedArgumentError(
            "resize_token_embeddings: the table is quantised. Load the model without "
            "quantization_config, resize it, and save it."
        )
    added = rows - layer.weight.shape[0]
    bias = getattr(layer, "bias", None)
    table = isinstance(layer, Embedding)
    shape = [rows, layer.weight.shape[1]]
    if added > 0:
        # Upstream builds a new layer first, whose constructor draws.
        generator = rng.default_generator
        generator.normal(shape) if table else generator.uniform(shape)
        if bias is not None and not table:
            generator.uniform([rows])
    if added > 0 and mean:
        new = near_mean(layer.weight.astype("float32").numpy(), added)
    else:
        new = rng.default_generator.normal(shape, 0.0, std)[-added:] if added > 0 else None
    resize_rows(model, layer, "weight", rows, new)
    if bias is not None and bias.shape[0] != rows:
        value = np.zeros([max(added, 0)], "float32")
        if added > 0 and mean:
            old = bias.astype("float32").numpy()
            spread = _SPREAD * float(old.std(ddof=1))
            value = rng.default_generator.normal([added], float(old.mean()), spread)
        resize_rows(model, layer, "bias", rows, value)
    if table:
        layer.num_embeddings = rows
        if layer.padding_idx is not None and layer.padding_idx >= rows:
            layer.padding_idx = None
    else:
        layer.out_features = rows


def near_mean(old_RH: np.ndarray, added: int) -> np.ndarray:
    """Draw ``[added, H]`` float32 normally around the mean of the rows, within a tiny part of their
    covariance. It is the mean itself where the covariance is not positive definite.
    """
    centre_H = old_RH.mean(axis=0)
    centred_RH = old_RH - centre_H
    covariance_HH = np.float32(_SPREAD) * (centred_RH.T @ centred_RH / np.float32(len(old_RH)))
    try:
        root_HH = np.linalg.cholesky(covariance_HH)
    except np.linalg.LinAlgError:
        return np.repeat(centre_H[None], added, axis=0)
    noise = rng.default_generator.normal([added, len(centre_H)])
    return centre_H + noise @ root_HH.T


def resize_rows(
    model: nn.Layer, layer: Any, name: str, rows: int, new: np.ndarray | None = None
) -> None:
    """Cut the parameter to ``rows``, or append ``new`` (zeros by default), wherever it is tied."""
    old = getattr(layer, name)
    with paddle.no_grad():
        parts = [old[: min(rows, old.shape[0])].astype("float32")]
        if rows > old.shape[0]:
            shape = [rows - old.shape[0], *old.shape[1:]]
            new = np.zeros(shape, "float32") if new is None else new
            parts.append(paddle.to_tensor(new, place=old.place))
        joined = paddle.concat(parts).astype(old.dtype)
    # Sharing memory leaves a parameter's shape as it was, so a new one takes the old one's place.
    with empty_parameters():
        resized = parameter(joined.shape)
    assign(resized, joined)
    resized.stop_gradient = old.stop_gradient
    for owner in model.sublayers(include_self=True):
        for key, param in owner._parameters.items():
            if param is old:
                owner._parameters[key] = resized
