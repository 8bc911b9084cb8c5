"""Algorithm selection: a table of measured scores, and the code that measures them (ORIGIN.md).

`table` reads what ships. `frames`, `algorithms`, `scoring` and `meta_features` work on any pandas frame, so that a
user's dataset is measured as those of the table were. `benchmarks/automl_table` made the table.
"""
