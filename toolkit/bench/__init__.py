"""Measure what a benchmark suite prints, and compare it with a stored baseline."""
