"""What a real browser does with what this server answers."""
