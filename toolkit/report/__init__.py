"""Every written or shown form of a result, and the history of runs."""
