"""Tests of Towline; the folders mirror the packages."""
