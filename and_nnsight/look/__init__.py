"""Units to see and hear: spectrograms, views of units with all that a page shows of them, and the page itself."""
