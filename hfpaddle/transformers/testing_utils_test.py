import unittest

from hfpaddle.core import mirrors
from hfpaddle.transformers import testing_utils


def _is_skipped(require) -> bool:
    class Case(unittest.TestCase):
        def test(self):
            pass

    return getattr(require(Case), "__unittest_skip__", False)


def test_tests_that_need_torch_run_where_the_mirror_stands_for_it(monkeypatch):
    monkeypatch.setattr(mirrors, "_hooked", True)
    for require in (testing_utils.require_torch, testing_utils.require_accelerate):
        assert not _is_skipped(require)
    from hfpaddle.transformers import availability

    monkeypatch.setattr(availability, "mirrored", lambda package: False)
    assert _is_skipped(testing_utils.require_torch)


def test_the_rest_is_upstreams():
    from transformers import testing_utils as upstream

    assert testing_utils.CaptureLogger is upstream.CaptureLogger
    assert testing_utils.torch_device in ("cpu", "cuda")
