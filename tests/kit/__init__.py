"""What tests and benchmarks share: simulated units, relays, links and people to put around them."""
