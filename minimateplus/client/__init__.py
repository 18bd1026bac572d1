"""
The client: ``MiniMate``, one session with one unit over any link.

``BlockingMiniMate`` is the same for programs without asyncio.

``session`` contains the exchange of one request and its reply, with its deadlines; ``commands`` the
operations that change a unit; ``reads`` those that do not, and ``MiniMate`` itself.
"""

from minimateplus.client.blocking import BlockingMiniMate
from minimateplus.client.reads import MiniMate
from minimateplus.client.session import Pause

__all__ = ["BlockingMiniMate", "MiniMate", "Pause"]
