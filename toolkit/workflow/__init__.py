"""What the commands do, end to end."""
