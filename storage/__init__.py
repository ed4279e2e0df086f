"""What is on disk, and what survives what: contents, the catalog of what exists, and who may write."""
