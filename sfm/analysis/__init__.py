"""
From samples to results: quantities, spectra, limits and verdicts. Pure: numpy, no I/O, no clock.

Every result is a ``Figure``: a value with its unit of measure, resolution, method and flags.
``analyse`` computes the ``Analysis`` of a ``Seismogram``.
"""

from sfm.analysis.figures import Figure
from sfm.analysis.results import VERSION, Analysis, analyse
from sfm.analysis.seismogram import Seismogram, Trace

__all__ = ["VERSION", "Analysis", "Figure", "Seismogram", "Trace", "analyse"]
