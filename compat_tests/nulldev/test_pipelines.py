"""Every pipeline on the null device: the CPU's results, and no host access to its memory."""


def test_tasks(on_nulldev):
    assert len(on_nulldev("pipelines.py").split()) == 7
