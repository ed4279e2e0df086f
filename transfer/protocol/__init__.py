"""The ground floor: the protocol without asyncio, sockets, files or clock; everyone stands on it."""
