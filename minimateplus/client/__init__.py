"""The client: one session with one unit. ``MiniMate`` opens it; see its methods."""

from minimateplus.client.reads import MiniMate
from minimateplus.client.session import Pause

__all__ = ["MiniMate", "Pause"]
