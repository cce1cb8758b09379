"""Judging by ear: a listener hears held-out clips and says which fit a claim, and which of five does not belong.

trials   which clips it hears of each unit
plans    all that is asked of each claim
measures how often it is right, by chance and by what is said of other units
rows     answers as rows of the table `listening`
audition a listener before the clips
asking   the table, made and resumed
result   one row of it, for whoever shows the claim; and a run of them, with intervals
"""
