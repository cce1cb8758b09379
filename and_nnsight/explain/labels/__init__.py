"""Closed concepts for a unit: what clips score for them, and which one a unit is given (DB, TAB, ICL)."""
