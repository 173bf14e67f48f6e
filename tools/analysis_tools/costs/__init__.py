"""What the benchmarks share: the models that are compared, and clocks and counters for them."""
