"""Nothing acknowledged is ever lost: the suite that shows it. `./run crash` runs it, docs/durability.md explains it.

Every module is a row of the table there. What a row needs of the machine (root, a loop device, a compiler) and does not
find, it says in a skip; with `--required` that is a failure.
"""
