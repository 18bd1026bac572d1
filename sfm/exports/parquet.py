"""
One event as Parquet (extra ``parquet``): a column for the time, for each channel, for its counts.

A cell is null where no sample is valid. Everything else that is known stands as JSON under the key
``seismo-relay`` of the file's metadata, and a column's unit of measure and scale in its field's.
"""

from __future__ import annotations

from typing import Any

import orjson

from sfm.exports.errors import MissingExtraError
from sfm.exports.event import ExportedEvent, Style
from sfm.exports.event_json import facts_of

__all__ = ["parquet_bytes"]


def parquet_bytes(event: ExportedEvent, style: Style | None = None) -> bytes:
    """
    Return an event as Parquet.

    Args:
        event: what is written.
        style: units of measure; the recording's own if not given.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError(
            "Parquet needs pyarrow, which is not installed here: "
            "pip install 'seismo-relay[parquet]'"
        ) from None
    style = style or Style()
    samples, times = event.payload["samples"], event.times_s()
    columns = [_column(pa, "time", times or [], samples, pa.float64(), unit="s")]
    channels = event.channels(style.units)
    for channel in channels:
        about = {"unit": channel.unit, "scale": repr(channel.scale)}
        columns.append(_column(pa, channel.name, channel.values, samples, pa.float64(), **about))
    for channel in channels:
        name = f"{channel.name} counts"
        columns.append(_column(pa, name, channel.counts, samples, pa.int16(), unit="counts"))
    facts = {b"seismo-relay": orjson.dumps(facts_of(event, style))}
    schema = pa.schema([field for field, _ in columns], metadata=facts)
    table = pa.Table.from_arrays([array for _, array in columns], schema=schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _column(pa: Any, name: str, values: Any, samples: int, kind: Any, **about: str) -> Any:
    """Return a field and its array, null behind the valid samples."""
    array = pa.concat_arrays([pa.array(values, kind), pa.nulls(samples - len(values), kind)])
    return pa.field(name, kind, metadata=about), array
