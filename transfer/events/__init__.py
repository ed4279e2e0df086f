"""`/events`: one numbered stream of what happens on this server, to everybody as much as they may see."""
