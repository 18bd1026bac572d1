"""
The samples of one event: from the event body to counts and back.

The rule: the decoder reports for every channel how many samples are proven. It never pads
silently, never reads a delta beyond its own segment, and never wraps a value around. Counts are the
body's own units, int16 as stored; one unit is 16 counts of the converter
(``minimateplus.conversions`` turns them into in/s and psi).

A body is a chain of *segments*, each with up to 512 samples of one channel. The channels
take turns (Tran, Vert, Long, MicL), four segments make a *round*, and only the last round may be
shorter, by the same amount for all four [C]: 28 segments for 3328 samples, 12 for 1280. A segment
begins with its first two samples. Differences between neighbours ("deltas") follow, packed in
blocks of one width; the last two deltas are in the header that opens the next segment [C]::

    00 02 00 | a0 a1 |  Tran: blocks of deltas
    40 02 | Tran's last two | head | v0 v1 |  Vert: blocks
    40 02 | Vert's last two | head | l0 l1 |  Long: blocks
    40 02 | Long's last two | head | m0 m1 |  MicL: blocks
    40 02 | MicL's last two | head | a512 a513 |  Tran: blocks      the next round
     ...
    40 02 | MicL's last two | head of the closing tag | count |      our own choice [U]
    trailer: ASCII strings ("Project:" ...)                         not read here

    m samples = 2 in front + (m - 4) deltas in blocks + 2 deltas in the next header; m = 512 if full

Blocks, all [C], ``n`` deltas each, ``n`` a multiple of 4:

=========  =========  =========================================================================
tag        data       deltas
=========  =========  =========================================================================
``00 NN``  none       NN zeros
``1X NN``  n / 2      n = X NN: signed 4 bits, high nibble first; ``11 90`` is 400 in 202 bytes
``2X NN``  n          n = X NN: signed 8 bits
``30 NN``  1.5 n      n = NN: signed 12 bits, four in six bytes: four high nibbles, then low bytes
=========  =========  =========================================================================

The header ``40 02``, offsets after the tag; 16-bit words are big endian [C]:

========  =======================================================================================
[0:4]     two deltas that finish the previous channel [C]
[4:6]     not mentioned in the sources [U]; written as zero, not read
[6:8]     byte length to the next header [C]; where it starts is [U]: we write tag to tag
[8:12]    a counter, little endian, rising [C]; its start and step are [U]: we write 1, 2, 3 ...
[12:14]   ``02 00`` [C]; without it a ``40 02`` is not a header: the trailer has such bytes too
[14:18]   first two samples of the new channel [C]
========  =======================================================================================

What is not known, and what follows from it here:

- Where a unit stores MicL's last two samples is [U]: no header follows them, and the byte-exact
  comparison (72,972 samples of nine events) covered the geophones only, MicL just by its peak. We
  write a closing ``40 02`` with ``00 00`` at [12:14] and the true count at [14:18]. A body without
  one is accepted, and MicL's last two samples then do not count as valid.
- Two of the nine reference events, the loudest, lack 1 to 7 samples at the end of each channel, and
  of a larger set 126 loud ones decode only in part; the cause is [U], perhaps a block form that
  that has not been captured. A tag outside the table therefore ends the decoding; nothing is
  guessed.
- No encoding is known for a delta beyond 12 bits (-2048 ... 2047) [U], except for the last two of
  a segment, which have 16. The encoder rejects it.
- A body has no checksum: a changed byte can yield wrong samples, and this cannot be detected.
"""

from minimateplus.wire.samples.body_format import padded
from minimateplus.wire.samples.decode import BodyReading, decode_body, read_body
from minimateplus.wire.samples.encode import encode_body

__all__ = ["BodyReading", "decode_body", "encode_body", "padded", "read_body"]
