"""
Reports: the page that is handed in, with the record and its evidence attached.

``typesetting.event_report`` makes the PDF of a ``subject.Subject``; ``gathering`` finds what is
known of an event; ``verification`` compares a report's samples with an archive's.
"""

__all__: list[str] = []
