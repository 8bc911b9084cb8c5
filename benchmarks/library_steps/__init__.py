"""Forward pass and gradient of a circuit in several libraries, for `benchmarks.libraries`."""
