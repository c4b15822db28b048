"""The cache classes against the original's: same updates, same tensors, same sizes."""

import numpy as np
import paddle
import pytest
import torch
import transformers
from transformers import cache_utils as theirs_module

from hfpaddle.layers import cache as ours_module

GEMMA = transformers.Gemma2Config(
    num_hidden_layers=2, hidden_size=16, num_attention_heads=2, head_dim=4, sliding_window=5
)
LLAMA = transformers.LlamaConfig(num_hidden_layers=2, hidden_size=16, num_attention_heads=2)
MISTRAL = transformers.MistralConfig(
    num_hidden_layers=2, hidden_size=16, num_attention_heads=2, sliding_window=4
)
CONFIGS = {"full": LLAMA, "mixed": GEMMA, "sliding": MISTRAL}


class Pair:
    """The same calls on both caches, every answer compared."""

    def __init__(self, name, *args, record=False, **kwargs):
        self.ours = getattr(ours_module, name)(*args, **kwargs)
        self.theirs = getattr(theirs_module, name)(*args, **kwargs)
        self.rng = np.random.default_rng(0)
        if record:
            self.call("activate_past_recording")

    def call(self, method, *args):
        wrap = [(paddle.to_tensor, self.ours), (torch.tensor, self.theirs)]
        for tensor, cache in wrap:
            getattr(cache, method)(*[tensor(a) if isinstance(a, list) else a for a in args])
        self.compare()

    def update(self, tokens, rows=2, layers=2):
        for layer in range(layers):
            assert self.ours.get_mask_sizes(tokens, layer) == tuple(
                self.theirs.get_mask_sizes(tokens, layer)
            )
            k, v = self.rng.standard_normal((2, rows, 2, tokens, 4)).astype("float32")
            got = self.ours.update(paddle.to_tensor(k), paddle.to_tensor(v), layer)
            want = self.theirs.update(torch.tensor(k), torch.tensor(v), layer)
            for a, b in zip(got, want, strict=True):
                np.testing.assert_array_equal(a.numpy(), b.numpy())
        self.compare()

    def compare(self):
        assert len(self.ours) == len(self.theirs)
        assert self.ours.is_sliding == self.theirs.is_sliding
        assert self.ours.is_compileable == self.theirs.is_compileable
        assert self.ours.get_max_length() == self.theirs.get_max_length()
        for i in range(len(self.ours)):
            assert self.ours.get_seq_length(i) == int(self.theirs.get_seq_length(i))
            a, b = self.ours.layers[i], self.theirs.layers[i]
            if b.keys is not None and b.keys.numel() > 0:
                np.testing.assert_array_equal(a.keys.numpy(), b.keys.numpy())
                np.testing.assert_array_equal(a.values.numpy(), b.values.numpy())


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("lengths", [(3, 1, 1, 1, 1), (7, 1, 2, 1), (1, 1, 1, 4, 6, 1)])
def test_dynamic_updates(config, lengths):
    pair = Pair("DynamicCache", config=CONFIGS[config])
    for n in lengths:
        pair.update(n)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("lengths", [(3, 1, 1, 1, 1, 1), (7, 1, 1, 1), (2, 4, 3, 1, 1)])
def test_static_updates(config, lengths):
    pair = Pair("StaticCache", CONFIGS[config], max_cache_len=12)
    for n in lengths:
        pair.update(n)
    pair.call("reorder_cache", [1, 1])
    pair.update(1)


@pytest.mark.parametrize("config", CONFIGS)
def test_rows(config):
    pair = Pair("DynamicCache", config=CONFIGS[config])
    pair.update(6)
    pair.call("batch_repeat_interleave", 3)
    pair.call("reorder_cache", [5, 0, 0, 2, 1, 4])
    pair.update(1, rows=6)
    pair.call("batch_select_indices", [4, 1])
    pair.update(2)
    pair.call("reset")
    pair.update(3)


@pytest.mark.parametrize("config", CONFIGS)
def test_crop_with_recording(config):
    pair = Pair("DynamicCache", config=CONFIGS[config], record=True)
    for n, crop in [(3, 0), (4, -2), (5, -4), (1, 0), (6, -5), (2, -1)]:
        pair.update(n)
        pair.call("crop", crop)
    pair.update(1)


def test_crop_errors_are_the_originals():
    for module, ones in ((ours_module, paddle.ones), (theirs_module, torch.ones)):
        cache = module.DynamicCache(config=MISTRAL)
        cache.update(ones([1, 1, 9, 2]), ones([1, 1, 9, 2]), 0)
        with pytest.raises(RuntimeError):
            cache.layers[0].crop(-1)
        cache = module.DynamicCache()
        cache.update(ones([1, 1, 9, 2]), ones([1, 1, 9, 2]), 0)
        with pytest.raises(ValueError):
            cache.crop(3)


def test_encoder_decoder():
    built = []
    rng = np.random.default_rng(1)
    data = rng.standard_normal((2, 2, 1, 2, 3, 4)).astype("float32")
    for module, tensor in ((ours_module, paddle.to_tensor), (theirs_module, torch.tensor)):
        caches = [module.DynamicCache(), module.DynamicCache()]
        for side, cache in enumerate(caches):
            for layer in range(2):
                k = tensor(data[side, layer])
                cache.update(k, k * 2, layer)
        cache = module.EncoderDecoderCache(*caches)
        cache.batch_repeat_interleave(2)
        cache.reorder_cache(tensor([1, 1]))
        cache.crop(-1)
        assert cache.is_updated == {0: True, 1: True} and len(cache) == 2
        built.append(
            (
                cache.get_seq_length(),
                [
                    [x.numpy() for x in row if x is not None]
                    for row in module.EncoderDecoderCache(list(cache))
                ],
            )
        )
    assert built[0][0] == built[1][0]
    for a, b in zip(built[0][1], built[1][1], strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
