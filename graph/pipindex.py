"""Prints, as JSON, the package index that pip is set up to use. Run as a program by any interpreter that has pip.

pip's own option parser answers, so that its files, its environment variables and its built-in default all count.
"""

from __future__ import annotations

import json
import sys

from pip._internal.commands import create_command


def main() -> None:
    """JSON on stdout: indexes (addresses, in order) and cert (path of a bundle, or null)."""
    options = create_command("download").parser.get_default_values()
    indexes = [] if options.no_index else [options.index_url, *options.extra_index_urls]
    json.dump({"indexes": indexes, "cert": options.cert}, sys.stdout)


if __name__ == "__main__":
    main()
