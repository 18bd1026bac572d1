"""What holds for every test: nothing of this user's own data is read or written."""

from __future__ import annotations

import os

# Whoever wants a database names one; also in the processes that tests start.
os.environ["SFM_DATABASE_URL"] = "none"
