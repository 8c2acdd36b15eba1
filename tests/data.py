"""Small values that many tests use."""

from __future__ import annotations

import json
from dataclasses import asdict

from graph.matrix import NO_COLUMN
from graph.target import Target

TARGET = Target(
    triple="x86_64-unknown-linux-gnu",
    os="linux",
    arch="x86_64",
    libc="gnu",
    libc_floor="2.17",
    zig="x86_64-linux-gnu.2.17",
    clang="x86_64-unknown-linux-gnu",
    autoconf="x86_64-unknown-linux-gnu",
    cpu_flags=(),
    page_size=4096,
    deployment_target="",
    multiarch="x86_64-linux-gnu",
    platform_tag="linux-x86_64",
    debian="amd64",
    openssl="linux-x86_64",
    openssl_options=(),
    lto_flags=(),
    zig_wheel="zig-linux-x86_64",
    run="native",
    qemu="",
    options=("noopt",),
)


def table_of(target: Target, version: str = "3.13.15") -> str:
    """targets.toml with one row, which is also the build host's."""
    row = "".join(f"{name} = {json.dumps(value)}\n" for name, value in asdict(target).items() if name not in NO_COLUMN)
    hosts = f'linux-x86_64 = "{target}"\n'
    return f'[python]\nversions = ["{version}"]\n\n[hosts]\n{hosts}\n[targets.{target}]\n{row}'
