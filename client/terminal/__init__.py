"""The command line: what can be typed, what is shown, and what is asked of the library for it.

Nothing else of the client imports this.
"""
