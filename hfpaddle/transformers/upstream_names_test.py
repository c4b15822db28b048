import pytest

from hfpaddle.core.errors import MissingFeatureError
from hfpaddle.transformers.mirror import resolve_in
from hfpaddle.transformers.upstream_names import names_in


def test_constants_keep_their_value_and_code_raises_when_used():
    assert resolve_in("trainer", "TRAINER_STATE_NAME") == "trainer_state.json"
    missing = resolve_in("trainer_pt_utils", "distributed_broadcast_scalars")
    with pytest.raises(MissingFeatureError, match="distributed_broadcast_scalars"):
        missing([1, 2])


def test_names_that_upstream_lacks_are_missing():
    with pytest.raises(AttributeError, match="nonsense"):
        resolve_in("trainer", "nonsense")
    with pytest.raises(AttributeError):
        resolve_in("trainer", "__path__")
    assert names_in("no.such.module") == {}


def test_names_that_a_module_takes_from_another():
    from transformers.generation.configuration_utils import GenerationMode

    assert resolve_in("generation", "GenerationMode") is GenerationMode
    assert resolve_in("modeling_utils", "SAFE_WEIGHTS_NAME") == "model.safetensors"
