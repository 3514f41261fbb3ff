"""Patch series: find, read, apply, annotate and lint them."""

STDIN = "-"  # in place of a path
QUILT = "series"  # what quilt calls the file that lists its patches
