"""Mozilla's root certificates, out of certifi's pinned wheel: what OpenSSL trusts on a machine that has no certificates of its own."""

from __future__ import annotations

from graph.node import Input, Node, Run
from graph.recipes.common import Context, fetch_node, source_node
from graph.recipes.library import licence, put

BUNDLE = "share/ca-certificates/cacert.pem"
"""Its place in a distribution. patches/openssl knows it too: relative to the folder above the one of libcrypto."""


def nodes(ctx: Context) -> tuple[Node, ...]:
    """fetch:certifi, source:certifi and certificates:certifi; the same for every target."""
    text = f"certifi-{ctx.source('certifi').version}.dist-info/licenses/LICENSE"
    pem = "certifi/cacert.pem"
    steps = (put(BUNDLE.rpartition("/")[0], f"/build/src/{pem}"), licence("certifi", f"/build/src/{text}"))
    return (
        fetch_node(ctx, "certifi"),
        source_node(ctx, "certifi", strip=0, only=(pem, text)),
        Node(
            "certificates:certifi",
            Run(steps, (("PATH", "/usr/bin"),), tools=("posix",)),
            inputs=(Input("source:certifi", "src"),),
            platform=ctx.host.platform,
        ),
    )
