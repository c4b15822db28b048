"""``python -m hfpaddle`` is the ``hfpaddle`` command."""

import sys

from hfpaddle.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
