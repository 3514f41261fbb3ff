"""This machine: its processes, the cache, git, apt and downloads."""
