"""The averages that papers report, from the one tidy table of scores."""
