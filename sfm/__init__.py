"""
The relay: one session with each seismograph, one live cache that serves every other program.

``sfm`` stands for Seismograph Field Module.
"""

__all__: list[str] = []
