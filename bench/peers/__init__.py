"""What others use to move files, each with its own real client and server, set up as its own documentation has it.

`packages` brings them (from the registries into folders of their own, pinned by hash), `contender` says what one of
them has to do and checks what arrived, `services` has them all.
"""
