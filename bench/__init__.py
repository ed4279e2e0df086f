"""Measurements of Towline, one script per question; README.md says how to read them."""
