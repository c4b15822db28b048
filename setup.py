"""pyproject.toml says all about the package; this file only leaves tests out of wheels."""

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithoutTests(build_py):
    def find_package_modules(self, package, package_dir):
        modules = super().find_package_modules(package, package_dir)
        return [entry for entry in modules if not entry[1].endswith("_test")]


setup(cmdclass={"build_py": BuildWithoutTests})
