"""``torch.hub``: models come from the Hugging Face Hub."""

from __future__ import annotations

import os

from hfpaddle.torch._missing import missing

load = missing("hub.load", "Use AutoModel.from_pretrained.")
load_state_dict_from_url = missing("hub.load_state_dict_from_url", "Download, then torch.load.")
download_url_to_file = missing("hub.download_url_to_file", "Use urllib.request.urlretrieve.")
_folder: list[str] = []


def get_dir() -> str:
    """Where torch would keep its files."""
    home = os.environ.get("TORCH_HOME", os.path.join(os.path.expanduser("~"), ".cache", "torch"))
    return _folder[0] if _folder else os.path.join(home, "hub")


def set_dir(d: str) -> None:
    """Set it."""
    _folder[:] = [os.path.expanduser(d)]
