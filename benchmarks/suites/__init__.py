"""Test suites of other libraries with our parts in the places of theirs, for `benchmarks.library_suites`."""
