"""What the readers of untrusted text do with near misses: `./run fuzz` looks for those that hurt, guided by coverage;
tests/end_to_end/test_near_misses.py sends thousands to a real server."""
