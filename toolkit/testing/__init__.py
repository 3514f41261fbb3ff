"""Suites: run their programs, judge what they gave, and compare it."""
