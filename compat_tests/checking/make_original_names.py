"""Write hfpaddle/checking/original_names.py from the original libraries.

    python compat_tests/checking/make_original_names.py

The objects of these classes can have attributes that no source shows, so `hfpaddle check` needs
the originals' names to tell one that is missing here from one that the script sets.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import torch
import transformers

TARGET = Path(__file__).parents[2] / "hfpaddle" / "checking" / "original_names.py"
CLASSES = {
    "torch.Tensor": torch.Tensor,
    "torch.nn.Module": torch.nn.Module,
    "transformers.PreTrainedModel": transformers.PreTrainedModel,
}
HEAD = '''"""Public names of classes of the original libraries. Generated: do not edit.

Written by compat_tests/checking/make_original_names.py from torch {torch} and
transformers {transformers}; a test there says whether it is current.
"""

ORIGINAL_NAMES: dict[str, frozenset[str]] = {{
'''


def text() -> str:
    """Return what the file should hold."""
    parts = [HEAD.format(torch=torch.__version__, transformers=transformers.__version__)]
    for title, cls in CLASSES.items():
        names = " ".join(name for name in dir(cls) if not name.startswith("_"))
        lines = textwrap.fill(names, 90, initial_indent=" " * 8, subsequent_indent=" " * 8)
        parts.append(
            f'    "{title}": frozenset(\n        """\n{lines}\n        """.split()\n    ),\n'
        )
    return "".join([*parts, "}\n"])


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        print(text(), end="")
    else:
        TARGET.write_text(text(), encoding="utf-8")
