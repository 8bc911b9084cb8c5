"""Which algorithm suits which dataset: a table of measured scores, and what measures them (ORIGIN.md).

`table` reads what ships. `frames`, `algorithms`, `scoring` and `meta_features` work on any pandas frame, so that a
dataset of one's own is measured as those of the table were. `build`, `catalogue` and `datasets` made the table.
"""
