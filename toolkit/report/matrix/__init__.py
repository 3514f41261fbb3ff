"""Every written or shown form of a whole matrix."""
