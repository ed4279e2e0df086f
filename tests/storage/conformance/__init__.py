"""What every store promises, in tests: one suite for all. `storage.store` numbers the promises, and so do the modules.

The tests use the interface alone. `store` is an open store, `kept` the same one for tests that close it and open it
again, `clock` the time as it knows it: it stands still until a test moves it.
"""
