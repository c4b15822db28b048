"""What pyproject.toml cannot say: which packages there are, that tests stay out of wheels, and that
the kernels for the CPU are built by CMake where there is a compiler.
"""

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Distribution, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
KERNELS = "kernels/cpu"


def build_kernels(target: Path) -> None:
    """Build the libraries into ``target``. Without CMake or a compiler, say so and go on: every op
    has a reference."""
    installed = importlib.util.find_spec("cmake") is not None  # the package, as pip brings it
    cmake = [sys.executable, "-m", "cmake"] if installed else ["cmake"]
    try:
        with tempfile.TemporaryDirectory() as build:
            steps = (
                ["-S", ROOT / KERNELS, "-B", build, "-DCMAKE_BUILD_TYPE=Release"],
                ["--build", build, "--parallel"],
                ["--install", build, "--prefix", target],
            )
            for step in steps:
                subprocess.run([*cmake, *step], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"hfpaddle: the kernels for the CPU were not built: {error}", file=sys.stderr)


class BuildWithoutTests(build_py):
    def find_package_modules(self, package, package_dir):
        modules = super().find_package_modules(package, package_dir)
        return [entry for entry in modules if not entry[1].endswith("_test")]

    def run(self):
        super().run()
        root = ROOT / KERNELS if self.editable_mode else Path(self.build_lib, "hfpaddle", KERNELS)
        build_kernels(root.absolute() / "lib")


class PlatformWheel(bdist_wheel):
    """Any Python 3, this platform: the libraries use none of Python's own interface."""

    def get_tag(self):
        return ("py3", "none", super().get_tag()[2])


class WithLibraries(Distribution):
    def has_ext_modules(self):
        return True


setup(
    # converters/ installs as hfpaddle.converters, kernels/cpu/ as hfpaddle.kernels.cpu
    # (tool.setuptools.package-dir).
    packages=[
        *find_packages(include=["hfpaddle", "hfpaddle.*"]),
        "hfpaddle.converters",
        *(f"hfpaddle.converters.{name}" for name in find_packages("converters")),
        "hfpaddle.kernels.cpu",
        *(f"hfpaddle.kernels.cpu.{name}" for name in find_packages(KERNELS)),
    ],
    cmdclass={"build_py": BuildWithoutTests, "bdist_wheel": PlatformWheel},
    distclass=WithLibraries,
)
