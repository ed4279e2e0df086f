"""The description of the HTTP API at `/openapi.json`, and whether the server keeps to it."""
