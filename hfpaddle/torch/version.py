"""Versions: those of the torch whose behaviour this surface follows."""

__version__ = "2.13.0+hfpaddle"
git_version = "hfpaddle"
cuda = None
hip = None
xpu = None
debug = False
