"""
The event body read the usual way: one Python step per delta.

It exists twice over: ``benchmarks/bench_codec.py`` measures the product against it, and the tests
hold the product's answers against it. It shares no line with the product, only the facts (protocol
sheet, section 14), and takes its time where the product takes a table.
"""

from __future__ import annotations


def decode_plain(body: bytes, samples: int | None = None) -> tuple[list[list[int]], int]:
    """Return the samples of each channel that are valid, and where the trailer begins."""
    if len(body) < 7 or body[0:3] != b"\x00\x02\x00":
        raise ValueError("no body")
    channels: list[list[int]] = [[], [], [], []]
    max_rounds = None if samples is None else max(1, (samples + 511) // 512)
    true_count = samples
    segment = [_signed16(body, 3), _signed16(body, 5)]
    at = 7
    turn = 0
    size = 512
    while True:
        channel = turn % 4
        if channel == 0:
            size = 512
        at, whole = _read_blocks(body, at, segment, size - 2)
        header = body[at : at + 20]
        is_tag = len(header) == 20 and header[0:2] == b"\x40\x02"
        is_header = is_tag and header[14:16] == b"\x02\x00"
        if channel == 0 and whole and is_header:
            size = len(segment) + 2
        is_full = whole and len(segment) == size - 2
        last = channel == 3 and (size < 512 or turn // 4 + 1 == max_rounds)
        if is_full and is_header and not last:
            _add_finals(segment, header)
            channels[channel] += segment
            segment = [_signed16(header, 16), _signed16(header, 18)]
            at += 20
            turn += 1
            continue
        if is_full and channel == 3 and is_tag and header[14:16] == b"\x00\x00":
            count = int.from_bytes(header[16:20], "big")
            entry = len(channels[0])
            fits = count <= entry < count + 4 or (count == 0 and entry == 4)
            if fits and entry % 4 == 0 and header[6:10] == bytes(4):
                _add_finals(segment, header)
                at += 20
                if true_count is None:
                    true_count = count
        channels[channel] += segment
        break
    return [_within_int16(row[:true_count]) for row in channels], at


def _read_blocks(body: bytes, at: int, segment: list[int], most: int) -> tuple[int, bool]:
    """Append the samples of all blocks from ``at``; return where they end, and whether well."""
    value = segment[-1]
    while len(segment) < most and at + 2 <= len(body):
        head, n = body[at], body[at + 1]
        if 0x10 <= head < 0x30:
            n += (head & 15) << 8
        elif head == 0x40:
            return at, True
        elif head not in (0x00, 0x30):
            return at, False
        if n == 0 or n % 4 or len(segment) + n > most:
            return at, False
        if head == 0x00:
            segment += [value] * n
            at += 2
        elif head < 0x20:
            if at + 2 + n // 2 > len(body):
                return at, False
            for byte in body[at + 2 : at + 2 + n // 2]:
                high = byte >> 4
                value += high - 16 if high > 7 else high
                segment.append(value)
                low = byte & 15
                value += low - 16 if low > 7 else low
                segment.append(value)
            at += 2 + n // 2
        elif head < 0x30:
            if at + 2 + n > len(body):
                return at, False
            for byte in body[at + 2 : at + 2 + n]:
                value += byte - 256 if byte > 127 else byte
                segment.append(value)
            at += 2 + n
        else:
            if at + 2 + n * 3 // 2 > len(body):
                return at, False
            for group in range(at + 2, at + 2 + n * 3 // 2, 6):
                highs = body[group] << 8 | body[group + 1]
                for place in range(4):
                    step = (highs >> (12 - 4 * place) & 15) << 8 | body[group + 2 + place]
                    value += step - 4096 if step > 2047 else step
                    segment.append(value)
            at += 2 + n * 3 // 2
    return at, True


def _add_finals(segment: list[int], header: bytes) -> None:
    """Append the two samples whose deltas stand in the header behind their segment."""
    segment.append(segment[-1] + _signed16(header, 2))
    segment.append(segment[-1] + _signed16(header, 4))


def _within_int16(row: list[int]) -> list[int]:
    """Return the row up to its first value beyond int16."""
    if row and (min(row) < -32768 or max(row) > 32767):
        for index, value in enumerate(row):
            if not -32768 <= value <= 32767:
                return row[:index]
    return row


def _signed16(body: bytes, at: int) -> int:
    """Return the big-endian int16 there."""
    return int.from_bytes(body[at : at + 2], "big", signed=True)
