"""Tests of what measures: figures, targets, tables, and what is counted of a process. None of them measures."""
