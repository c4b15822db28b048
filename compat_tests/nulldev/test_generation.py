"""Every mode of generate on the null device: the CPU's tokens, and no host access to its memory."""

import pytest


@pytest.mark.parametrize("default", ["nulldev:0", "cpu"])
@pytest.mark.parametrize("model_type", ["llama", "gemma3_text"])
def test_modes(on_nulldev, model_type, default):
    assert "assistant sample" in on_nulldev("generation.py", model_type, default)
