"""How many instructions a MiB costs the server that receives it and the client that sends it, beside a baseline."""
