"""Metalink and lists of mirrors: where else a release's files may be had, in the words that other tools speak."""
