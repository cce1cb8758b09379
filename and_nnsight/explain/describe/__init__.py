"""Words for a unit: evidence, captions, summaries, and open concepts drawn out of them."""
