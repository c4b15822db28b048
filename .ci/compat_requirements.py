"""Prepare an environment that sees this one: ``compat_requirements.py ENVIRONMENT``.

Writes base.pth, which adds this interpreter's packages to ENVIRONMENT, and requirements.txt, the
``compat`` extra of the installed hfpaddle (pip would otherwise install hfpaddle itself again).
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import sysconfig
from pathlib import Path

PURELIB = "import sysconfig; print(sysconfig.get_path('purelib'))"


def main(environment: Path) -> None:
    python = environment / "bin" / "python"
    found = subprocess.run([python, "-c", PURELIB], check=True, capture_output=True, text=True)
    base = sysconfig.get_path("purelib")
    # addsitedir, not a plain path, so that editable installs of the base are seen too.
    line = f"import site; site.addsitedir({base!r})\n"
    Path(found.stdout.strip(), "base.pth").write_text(line)
    wanted = [
        requirement.partition(";")[0].strip()
        for requirement in importlib.metadata.requires("hfpaddle") or []
        if 'extra == "compat"' in requirement.replace("'", '"')
    ]
    if not wanted:
        sys.exit("compat_requirements: the installed hfpaddle has no 'compat' extra")
    (environment / "requirements.txt").write_text("\n".join(wanted) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
