"""One package a file: (context) -> nodes. Data in, data out; nothing here reads a disk."""
