"""What ``import hfpaddle`` adds to ``import paddle`` plus ``import transformers``: time and memory.

Goal: at most 0.3 s and 30 MB. "Theirs" is the two imports alone, in the same process before ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from common import OURS, Result, child

SECONDS, MEGABYTES = 0.3, 30

CODE = """
import json, sys, time
def step(run):
    before, begin = resident(), time.perf_counter()
    run()
    return {"s": time.perf_counter() - begin, "MB": resident() - before}
def base():
    import paddle, transformers
def ours():
    import hfpaddle
def classes():
    from hfpaddle.transformers import AutoModelForCausalLM, AutoTokenizer
steps = {"base": step(base), "hfpaddle": step(ours)}
if len(sys.argv) > 1:
    steps["classes"] = step(classes)
print(json.dumps(steps))
"""


def measure(repeat: int) -> Iterator[Result]:
    child(OURS, CODE)  # compiles and caches bytecode, and warms the page cache
    runs = [child(OURS, CODE) for _ in range(repeat)]
    for unit, limit in (("s", SECONDS), ("MB", MEGABYTES)):
        added = [run["hfpaddle"][unit] for run in runs]
        base = [run["base"][unit] for run in runs]
        good = median(added) <= limit
        yield Result(f"import hfpaddle ({unit})", unit, added, base, f"<= {limit} {unit}", good)
    runs = [child(OURS, CODE, "classes") for _ in range(repeat)]
    for unit in ("s", "MB"):
        added = [run["classes"][unit] for run in runs]
        base = [run["base"][unit] for run in runs]
        yield Result(f"auto classes after it ({unit})", unit, added, base)
