"""The ``hfpaddle`` command: one file a verb, one table in `hfpaddle.cli.main`."""
