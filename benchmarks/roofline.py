"""Draw what the rows in results/ reach against the two limits of the machine, as a PNG.

    python benchmarks/roofline.py docs/images/roofline.png

A point is the newest row of a benchmark: operations a second over operations a byte of weights that
must be read. The slope is the read bandwidth and the roof the rate of float32 products, both as the
rows of decode and training measured them beside their own figures.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "results"
sys.path.insert(0, str(RESULTS.parent))

from pairs import BYTES, weight_bytes  # noqa: E402

PROMPT = 512  # tokens of bench_prefill.py


def newest(name: str) -> dict[str, dict[str, str]]:
    """Return the last row of each thing measured in ``results/<name>.csv``."""
    path = RESULTS / f"{name}.csv"
    if not path.exists():
        sys.exit(f"{path} is missing: run `python benchmarks/run.py {name}` first.")
    with path.open(newline="") as file:
        return {row["what"]: row for row in csv.DictReader(file)}


def points() -> list[tuple[str, float, float, float]]:
    """Return (name, operations a byte, ours in operations a second, theirs)."""
    found = []
    for name in ("decode", "prefill"):
        for what, row in newest(name).items():
            shape, dtype = row["model"], what.split()[-1]
            weights = weight_bytes(shape, "float32") / BYTES["float32"]
            tokens = PROMPT if name == "prefill" else int(row["tokens"])
            speeds = (float(row[f"{side}_p50"]) * 2 * weights for side in ("ours", "theirs"))
            found.append((what, 2 * weights * tokens / weight_bytes(shape, dtype), *speeds))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    read = max(float(row["read_gb_s"]) for row in newest("decode").values()) * 1e9
    roof = max(float(row["limit_gflops"]) for row in newest("training").values()) * 1e9
    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    axes.set_prop_cycle(color=plt.get_cmap("tab20").colors)
    ends = [0.3, 3000]
    axes.loglog(ends, [read * x for x in ends], "--", color="grey")
    axes.loglog(ends, [roof, roof], "--", color="grey")
    axes.text(5, read * 2.2, f"reading weights, {read / 1e9:.1f} GB/s", color="grey")
    axes.text(100, roof * 1.08, f"float32 products, {roof / 1e9:.0f} GFLOP/s", color="grey")
    for what, intensity, ours, theirs in points():
        (mark,) = axes.plot(intensity, ours, "o", label=what)
        axes.plot(intensity, theirs, "x", color=mark.get_color())
    axes.set(xlabel="operations a byte of weights", ylabel="operations a second")
    axes.set(xlim=ends, ylim=(read * 0.1, roof * 4))
    axes.legend(fontsize=8, title="o hfpaddle, x the original (its dtype: see the table)")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    print(out)


if __name__ == "__main__":
    main()
