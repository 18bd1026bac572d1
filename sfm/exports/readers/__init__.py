"""
Readers of files with samples as text: Blastware and Micromate ASCII and CSV, and our own CSV.

All have a header of named values and a table below a line of channel names. They differ in
quotation marks, separators, decimal signs, encodings and units of measure; one reader accepts them
all (``read_file``), because a file does not name its format.
"""

from sfm.exports.readers.errors import UnreadableFileError
from sfm.exports.readers.reader import ReadFile, read_file

__all__ = ["ReadFile", "UnreadableFileError", "read_file"]
