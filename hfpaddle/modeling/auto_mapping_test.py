import pytest
import transformers

from hfpaddle.modeling import registry
from hfpaddle.modeling.auto_mapping import MAPPINGS


def test_a_mapping_leads_from_config_to_model():
    mapping = MAPPINGS["MODEL_FOR_CAUSAL_LM_MAPPING"]
    model = mapping[transformers.GPT2Config]
    assert model is registry.auto_model_class("AutoModelForCausalLM", "gpt2")
    assert "xlm-roberta" in {config.model_type for config in mapping}
    assert transformers.ViTConfig not in mapping
    with pytest.raises(KeyError):
        mapping[transformers.ViTConfig]


@pytest.mark.parametrize("name", MAPPINGS)
def test_every_pair_agrees_with_the_auto_class(name):
    pairs = MAPPINGS[name].items()
    assert pairs
    for config, model in pairs:
        found = registry.auto_model_class(MAPPINGS[name].auto_class, config.model_type)
        assert found is model
