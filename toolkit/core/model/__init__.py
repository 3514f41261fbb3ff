"""The frozen types through which the stages meet.

Nothing here starts a process, reads a file or prints. A stage takes some of these and returns
others; ARCHITECTURE.md shows the chain."""
