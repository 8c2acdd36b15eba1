"""A package of one C module, built by what the Python at hand says of its compiler."""

from setuptools import Extension, setup

setup(name="answers", version="1.0", ext_modules=[Extension("answers", ["answers.c"])])
