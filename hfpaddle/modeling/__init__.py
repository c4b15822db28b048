"""What every model family shares: the base class, loading, saving, heads and auto classes."""
