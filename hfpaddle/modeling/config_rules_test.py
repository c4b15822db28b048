"""A field that matters and that nobody reads raises."""

import pytest
import transformers

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.modeling.config_rules import NEUTRAL, building, recording, refuse_unread

pytestmark = pytest.mark.unit


class Config(transformers.PretrainedConfig):
    model_type = "sample"
    attribute_map = {"width": "hidden"}
    hidden: int = 4
    factor: float = 1.0
    names: list | None = None


def read_by(config, look):
    with recording(config) as read:
        assert building()
        look(config)
    assert not building() and type(config) is Config
    return read


def test_what_is_read_is_fine():
    config = Config(hidden=8, factor=2.0)
    refuse_unread(config, read_by(config, lambda c: (c.hidden, c.factor)), frozenset())
    refuse_unread(config, read_by(config, lambda c: (c.width, c.factor)), frozenset())
    refuse_unread(config, read_by(config, lambda c: c.factor), frozenset({"hidden"}))


def test_what_is_not_read_raises():
    config = Config(hidden=8, names=["a"])
    with pytest.raises(UnsupportedConfigError, match=r"names = \['a'\] \(works: None\)"):
        refuse_unread(config, read_by(config, lambda c: c.hidden), frozenset())
    with pytest.raises(UnsupportedConfigError, match="hidden = 8"):
        refuse_unread(config, set(), frozenset({"names"}))


def test_defaults_and_neutral_fields_need_no_reader():
    config = Config(bos_token_id=3, id2label={0: "a"}, output_attentions=False, strange=7)
    refuse_unread(config, set(), frozenset())
    assert "use_cache" in NEUTRAL and "hidden_size" not in NEUTRAL


def test_class_is_restored_after_an_error():
    config = Config()
    with pytest.raises(RuntimeError), recording(config):
        raise RuntimeError
    assert type(config) is Config and not building()
