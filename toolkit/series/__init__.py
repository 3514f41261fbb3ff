"""Patch series: find, read, apply, annotate and lint them."""
