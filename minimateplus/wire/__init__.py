"""Bytes to facts and back. Pure: no socket, no clock, no thread, so all of it runs at a prompt."""
