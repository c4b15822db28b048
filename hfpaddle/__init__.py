"""Hugging Face scripts on PaddlePaddle."""
__version__ = "0.1.0"
