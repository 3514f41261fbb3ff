"""Values, errors and time: what every other package may use, and which imports none of them."""
