"""A distribution's kernel as the base: only the modules that a series reaches are built.

What a series reaches is found in the tree itself: by who includes the files that it changes
(:mod:`.includes`), and by what kbuild makes of these (:mod:`.objects`). Where it is more than
modules, or that cannot be told (:mod:`.reach`), the whole kernel is built.
"""
