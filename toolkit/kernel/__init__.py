"""Source trees, configuration and build of a kernel."""
