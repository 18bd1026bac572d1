"""
The wire protocol of a MiniMate Plus, pure: bytes to facts and back.

No module here uses a socket, a clock or a thread. Callers import the modules themselves.
"""

__all__: list[str] = []
