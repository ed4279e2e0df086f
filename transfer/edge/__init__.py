"""What a request passes before anything else looks at it: TLS, proxies in front, hosts, origins."""
