"""``MODEL_FOR_*_MAPPING`` leads to classes of the original's names."""

import pytest
import transformers

from hfpaddle.modeling.auto_mapping import MAPPINGS


@pytest.mark.parametrize("name", MAPPINGS)
def test_the_pairs_are_the_originals(name):
    original = getattr(transformers, name)
    compared = 0
    for config, model in MAPPINGS[name].items():
        if config in original:  # families that transformers lacks bring their own config
            names = original[config]
            names = names if isinstance(names, tuple) else (names,)
            assert model.__name__ in {one.__name__ for one in names}
            compared += 1
    assert compared
