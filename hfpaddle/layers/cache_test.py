import paddle
import pytest
import transformers

from hfpaddle.core.errors import UnsupportedArgumentError, UnsupportedConfigError
from hfpaddle.layers.cache import (
    Cache,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    EncoderDecoderCache,
    QuantizedCache,
    StaticCache,
)

pytestmark = pytest.mark.unit
CONFIG = {"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2}


def kv(tokens, start=0, rows=2):
    """Keys that hold their own position, values its negative: ``[rows, 1, tokens, 1]``."""
    k = paddle.arange(start, start + tokens, dtype="float32").reshape([1, 1, tokens, 1])
    return k.expand([rows, 1, tokens, 1]), -k.expand([rows, 1, tokens, 1])


def positions(keys):
    return keys[0, 0, :, 0].tolist()


def test_dynamic_cache_grows_and_crops():
    cache = DynamicCache()
    assert cache.get_seq_length() == 0 and cache.get_mask_sizes(3, 0) == (3, 0)
    cache.update(*kv(3), 1)
    assert len(cache) == 2 and cache.get_seq_length(0) == 0 and cache.get_seq_length(1) == 3
    keys, values = cache.update(*kv(2, 3), 1)
    assert positions(keys) == [0, 1, 2, 3, 4] and positions(values) == [0, -1, -2, -3, -4]
    assert cache.get_mask_sizes(2, 1) == (7, 0)
    cache.layers[1].crop(-4)
    assert positions(cache.layers[1].keys) == [0]
    with pytest.raises(ValueError, match="negative"):
        cache.crop(2)
    cache.reset()
    assert cache.get_seq_length(1) == 0


def test_rows_are_selected_together():
    cache = DynamicCache()
    k = paddle.to_tensor([[[[1.0]]], [[[2.0]]]])
    cache.update(k, -k, 0)
    cache.batch_repeat_interleave(2)
    assert cache.layers[0].keys.flatten().tolist() == [1, 1, 2, 2]
    cache.reorder_cache(paddle.to_tensor([3, 0, 0]))
    assert cache.layers[0].values.flatten().tolist() == [-2, -1, -1]
    cache.batch_select_indices(paddle.to_tensor([True, False, True]))
    assert cache.layers[0].keys.flatten().tolist() == [2, 1]


def test_sliding_layer_keeps_its_window():
    cache = Cache(layers=[DynamicSlidingWindowLayer(3)])
    assert positions(cache.update(*kv(5), 0)[0]) == [0, 1, 2, 3, 4]
    assert cache.get_mask_sizes(1, 0) == (3, 3)
    assert positions(cache.update(*kv(1, 5), 0)[0]) == [3, 4, 5]
    assert cache.get_seq_length() == 6 and cache.get_max_length() == 3
    with pytest.raises(RuntimeError, match="activate_past_recording"):
        cache.crop(-1)


def test_sliding_layer_takes_tokens_back():
    cache = Cache(layers=[DynamicSlidingWindowLayer(3)])
    cache.activate_past_recording()
    cache.update(*kv(5), 0)
    assert positions(cache.update(*kv(2, 5), 0)[0]) == [3, 4, 5, 6]
    cache.crop(-2)
    assert cache.get_seq_length() == 5
    assert positions(cache.update(*kv(1, 5), 0)[0]) == [3, 4, 5]


def test_config_chooses_the_layers():
    config = transformers.Gemma2Config(sliding_window=4, head_dim=4, **CONFIG)
    assert DynamicCache(config=config).is_sliding == [True, False]
    static = StaticCache(config, max_cache_len=6)
    assert static.is_sliding == [True, False] and static.is_compileable
    assert [static.get_max_length(i) for i in (0, 1)] == [4, 6]
    config.layer_types = ["sliding_attention", "linear_attention"]
    with pytest.raises(UnsupportedConfigError, match="linear_attention"):
        DynamicCache(config=config)


def test_static_cache_fills_and_refuses_overflow():
    cache = StaticCache(transformers.LlamaConfig(**CONFIG), max_cache_len=4)
    keys, _ = cache.update(*kv(3), 0)
    assert positions(keys) == [0, 1, 2, 0] and cache.get_mask_sizes(1, 0) == (4, 0)
    assert positions(cache.update(*kv(1, 3), 0)[0]) == [0, 1, 2, 3]
    assert cache.get_seq_length() == 4 and cache.batch_size == 2
    with pytest.raises(IndexError, match="max_cache_len is 4"):
        cache.update(*kv(1), 0)
    cache.reset()
    assert cache.get_seq_length() == 0 and positions(cache.layers[0].keys) == [0, 0, 0, 0]


def test_encoder_decoder_cache_round_trip():
    own, cross = DynamicCache(), DynamicCache()
    own.update(*kv(2), 0)
    cross.update(*kv(3), 0)
    cache = EncoderDecoderCache(own, cross)
    assert cache.is_updated == {0: True} and cache.get_seq_length() == 2
    again = EncoderDecoderCache(list(cache))
    assert positions(again.cross_attention_cache.layers[0].keys) == [0, 1, 2]
    again.crop(-1)
    assert again.get_seq_length() == 1 and again.cross_attention_cache.get_seq_length() == 3
    with pytest.raises(TypeError, match="say which side"):
        cache.update(*kv(1), 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DynamicCache(offloading=True),
        lambda: StaticCache(transformers.LlamaConfig(**CONFIG), 4, offloading=True),
        lambda: QuantizedCache("quanto", config=None),
        lambda: Cache(layer_class_to_replicate=DynamicLayer, offloading=True),
    ],
)
def test_missing_caches_are_refused(make):
    with pytest.raises(UnsupportedArgumentError):
        make()
