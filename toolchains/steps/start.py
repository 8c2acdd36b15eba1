"""How commands of a distribution begin (pip_tree.py, build_files.py)."""

START = """#!/bin/sh
'''':
self=$0
case $self in */*) ;; *) self=./$self ;; esac
while [ -h "$self" ]; do
    to=$(readlink "$self")
    case $to in /*) self=$to ;; *) self=${{self%/*}}/$to ;; esac
done
exec "${{self%/*}}/python{minor}" "$0" "$@"
'''
"""
"""For sh, which follows links to the command (without realpath, which macOS 11 lacks) and starts Python; to that it is a string.

A path with a space cannot stand in a #! line, and the place is not known before the archive is unpacked.
"""


def command(minor: str, body: str) -> str:
    """Text of a command that runs `body` by the pythonX.Y beside it."""
    return START.format(minor=minor) + body
