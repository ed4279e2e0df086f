"""How fast one caller may do things, and whose turn it is."""
