"""Registries, errors, logging and safe files: what every other part may import."""
