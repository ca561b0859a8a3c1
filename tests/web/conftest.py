"""Fixtures of the web tests; the machinery is in server.py."""

from web.server import client, stand_in, start

__all__ = ["client", "stand_in", "start"]
