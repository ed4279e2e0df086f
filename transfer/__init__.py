"""Towline's service: file transfer over one WebSocket that never starts over."""

__version__ = "0.1.0"
