"""What mends a way that something on it disturbs: settings of nginx, of Caddy and of load balancers that are rented.

Sources: nginx's ngx_http_proxy_module, Caddy's reverse_proxy, and what the clouds write of their load balancers.
"""

from collections.abc import Mapping
from typing import Final

Mending = Mapping[str, tuple[str, ...]]
"""For each kind of proxy the lines to write."""

UPGRADE: Final[Mending] = {
    "nginx": (
        "proxy_http_version 1.1;",
        "proxy_set_header Upgrade $http_upgrade;",
        'proxy_set_header Connection "upgrade";',
    ),
    "Caddy": ("reverse_proxy 127.0.0.1:8000", "passes it on: take out header_up lines about it"),
    "cloud": (
        "AWS: an Application Load Balancer, target group of protocol version HTTP1",
        "Google: a backend service of protocol HTTP or HTTPS, not HTTP2",
        "Cloudflare: Network, WebSockets: on",
    ),
}
BUFFERING: Final[Mending] = {
    "nginx": ("proxy_buffering off;", "proxy_request_buffering off;"),
    "Caddy": ("flush_interval -1", "and no request_buffers, no response_buffers"),
    "cloud": (
        "Azure Application Gateway: request and response buffers off",
        "where it cannot be switched off: a balancer of TCP, such as AWS's Network Load Balancer",
    ),
}
SIZES: Final[Mending] = {
    "Towline": ("chunk_size = {chunk_size}", "in towline.toml: smaller messages, for all clients"),
    "nginx": ("nothing of its own cuts messages: look at a firewall for web applications, such as ModSecurity",),
    "Caddy": ("nothing of its own cuts messages",),
    "cloud": ("AWS API Gateway takes 128 KB: use an Application Load Balancer instead",),
}
IDLE: Final[Mending] = {
    "nginx": ("proxy_read_timeout 300s;", "proxy_send_timeout 300s;"),
    "Caddy": ("take out stream_timeout, or write stream_timeout 24h",),
    "cloud": (
        "AWS: idle_timeout.timeout_seconds=300 of the Application Load Balancer",
        "Google: gcloud compute backend-services update NAME --timeout=86400",
        "Azure: idle timeout of the load balancer: 30 minutes",
    ),
}
LOST_SERVER: Final[Mending] = {
    "nginx": ("proxy_pass http://127.0.0.1:8000;", "or where `towline serve` says that it listens"),
    "Caddy": ("reverse_proxy 127.0.0.1:8000", "or where `towline serve` says that it listens"),
    "cloud": ("the target's health check: GET /health/ready",),
}
TLS: Final[Mending] = {
    "nginx": ("listen 443 ssl;", "ssl_certificate fullchain.pem;", "ssl_certificate_key privkey.pem;"),
    "Caddy": ("files.example.org { reverse_proxy 127.0.0.1:8000 }", "it fetches a certificate by itself"),
    "cloud": ("a listener of HTTPS with a certificate of the provider",),
    "Towline": ("towline serve --tls-cert fullchain.pem --tls-key privkey.pem",),
}


def filled(mending: Mending, **values: object) -> Mending:
    """The same with what was found in it."""
    return {kind: tuple(line.format(**values) for line in lines) for kind, lines in mending.items()}
