"""Build an edit that reaches modules alone by the commands that kbuild recorded."""
