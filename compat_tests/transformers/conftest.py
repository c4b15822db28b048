"""Checkpoints that the original wrote once for all tests of a run. Nothing may write into them."""

import pytest
from folders import make, state


def _kept(factory, name, **kwargs):
    folder = factory.mktemp(name)
    theirs = make(folder, **kwargs)
    before = state(folder)
    yield folder, theirs
    assert state(folder) == before, f"a test changed {folder}"


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """A float32 llama: its folder and the original's model."""
    yield from _kept(tmp_path_factory, "llama")


@pytest.fixture(scope="session")
def tied(tmp_path_factory):
    """A llama whose output projection is its embedding."""
    yield from _kept(tmp_path_factory, "tied", tie_word_embeddings=True)


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory):
    yield from _kept(tmp_path_factory, "gpt2", family="gpt2")


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    yield from _kept(tmp_path_factory, "bert", family="bert", auto="AutoModelForMaskedLM")
