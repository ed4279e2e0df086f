"""What is handed out over HTTP and on the server's machine: tokens, share links, request links."""
