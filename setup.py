"""What pyproject.toml cannot say: which packages there are, and that tests stay out of wheels."""

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py


class BuildWithoutTests(build_py):
    def find_package_modules(self, package, package_dir):
        modules = super().find_package_modules(package, package_dir)
        return [entry for entry in modules if not entry[1].endswith("_test")]


setup(
    # converters/ installs as hfpaddle.converters (tool.setuptools.package-dir).
    packages=[
        *find_packages(include=["hfpaddle", "hfpaddle.*"]),
        "hfpaddle.converters",
        *(f"hfpaddle.converters.{name}" for name in find_packages("converters")),
    ],
    cmdclass={"build_py": BuildWithoutTests},
)
