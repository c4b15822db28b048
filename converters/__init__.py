"""Hub formats <-> Paddle. One reader a file; each gives a dict of :class:`TensorEntry`."""
