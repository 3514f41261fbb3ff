from __future__ import annotations

from hypothesis import settings

# A busy machine must not fail a test: how long an example takes is nobody's business here.
settings.register_profile("default", deadline=None)
settings.load_profile("default")
