"""Who is calling. No tokens are configured yet, so all callers are one."""

from typing import Final

ANONYMOUS: Final = "anonymous"
"""The owner of everything while nobody is named."""
