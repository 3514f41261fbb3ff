"""``toolkit site``: one page over all runs there were, from one history or several."""
