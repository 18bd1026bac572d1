// Event lists for tests: made here, read from nowhere.

import type { List } from "./changes";
import type { Event } from "./choose";

export function madeEvent(index: number, more: Partial<Event> = {}, peaks: Partial<Event["peaks"]> = {}): Event {
  return {
    index,
    waveform_key: (0x01110000 + index * 0x245a).toString(16).padStart(8, "0"),
    timestamp: `2026-04-${String(1 + (index % 28)).padStart(2, "0")}T00:28:12`,
    peaks: {
      tran_in_s: 0.1,
      vert_in_s: 0.2,
      long_in_s: 0.3,
      mic_psi: 0.002,
      vector_sum_in_s: 0.4,
      mic_db: 116.8,
      bound: {},
      ...peaks,
    },
    project: "North face",
    ...more,
  };
}

export function madeList(events: Event[], more: Partial<List["provenance"]> = {}): List {
  return {
    complete: true,
    count: events.length,
    walked: events.length,
    estimate_s: 0,
    recorded_since: 0,
    events: events.map((event) => ({ ...event, verdicts: null, no_verdict: "no-curve-chosen" })),
    provenance: {
      conn_key: "tcp:10.0.0.5:12345",
      serial: "BE1",
      epoch: 3,
      source: "device",
      why: "miss",
      quality: "good",
      read_at: "2026-04-01T06:00:00.000+00:00",
      age_s: 0,
      checked_age_s: 0,
      exchanges: 12,
      took_s: 1,
      stored: true,
      store_problem: null,
      ttl_s: null,
      shared: false,
      simulated: false,
      reasons: [],
      ...more,
    },
  };
}
