"""freestanding: standalone CPython for every platform, as a graph of content-hashed nodes."""

__version__ = "0.1.0"
