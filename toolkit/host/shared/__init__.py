"""A cache that several hosts share, in any place of fsspec's: entries signed by their makers.

What comes from there is run, a kernel for one. So an entry counts only with an attestation, which
says what it is, signed with a key that this host trusts. All else is absent.
"""
