from __future__ import annotations

from hypothesis import settings

# A busy machine must not fail a test: how long an example takes is nobody's business here.
settings.register_profile("default", deadline=None)
# With --hypothesis-profile=thorough: what a hundred examples miss, tens of thousands find.
settings.register_profile("thorough", deadline=None, max_examples=20_000)
settings.load_profile("default")
