"""Reading what was found: units by words, and one unit on a card."""
