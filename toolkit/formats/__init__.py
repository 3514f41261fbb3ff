"""Readers and writers of text and binary formats: pure functions, tested on golden files."""
