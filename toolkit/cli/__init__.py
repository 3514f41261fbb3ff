"""The commands: the only place that reads options and exits."""
