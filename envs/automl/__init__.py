"""Algorithm selection: a table of measured scores, and the code that measures them (ORIGIN.md).

`table` reads the shipped table. `frames`, `algorithms`, `scoring` and `meta_features` work on any pandas frame, so that
a user's dataset is measured in the same way as the datasets of the table. `benchmarks/automl_table` made the table.
"""

from typing import Literal

Decimal = Literal["auto", "comma", "point"]
"""Decimal mark of numbers such as 1.571 where their column leaves it open."""
DateOrder = Literal["auto", "day-first", "month-first"]
"""Order of day and month in dates such as 3/4/2021 where their column leaves it open."""
