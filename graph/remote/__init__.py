"""Bodies of a remote store: a folder, HTTP, gRPC; and what they share. See docs/remote.md."""
