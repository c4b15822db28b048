"""What every model family shares: the base class, loading, saving, heads and auto classes."""

from hfpaddle.core.quiet import import_transformers

import_transformers()
