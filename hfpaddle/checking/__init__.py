"""What a script takes from the mirrored packages, and whether it works: read, never run.

`reader` walks a script's syntax tree, `surface` says what each name stands for, `calls` looks at
keywords and literal values, `rules` reads the tables of the surfaces, `report` keeps the result.
"""

from hfpaddle.checking.reader import ScriptError, check_script
from hfpaddle.checking.report import Report, Row, Verdict

__all__ = ["Report", "Row", "ScriptError", "Verdict", "check_script"]
