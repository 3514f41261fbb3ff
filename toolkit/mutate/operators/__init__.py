"""The operators: each a kind of fault that a reviewer of kernel patches knows.

One is a function from a node of the grammar to the edits that make a fault of it.
"""
