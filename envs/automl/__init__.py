"""Algorithm selection: a table of measured scores, and the code that measures them (ORIGIN.md).

`table` reads the shipped table. `frames`, `algorithms`, `scoring` and `meta_features` work on any pandas frame, so that
a user's dataset is measured in the same way as the datasets of the table. `benchmarks/automl_table` made the table.
"""
