// A waveform as comma-separated values: units in the head, a cell left empty where a sample is not valid.
import { words } from "../words";
import { factorTo, sampleUnit, type Air, type Velocity } from "./convert";
import type { Recording, WaveformForm } from "./decode";

const { tableTime, tableSample, tableOverRange, tableUnconfirmed } = words.waveform;
const note = words.waveform.tableNotes;

/**
 * Return what a saved table says of itself: lines that begin with #, which programs skip as comments.
 * Delimiters and quotes are left out of them, so that no text of a unit begins another cell.
 */
export function notesOf(form: WaveformForm, serial: string | null, simulated: boolean, columns: string): string {
  const { app } = words;
  const from = (source: string | null) => (source === null ? "" : ` (${source === "event" ? note.fromEvent : note.fromSetup})`);
  const lines = [
    ...(simulated ? [note.simulated] : []),
    `${note.serial}: ${serial ?? app.unknown}`,
    `${note.key}: ${form.waveform_key}`,
    `${note.unitTime}: ${form.timestamp?.replace("T", " ") ?? app.unknown}`,
    `${note.rate}: ${form.sample_rate_hz === null ? app.unknown : `${form.sample_rate_hz} Hz${from(form.sample_rate_source)}`}`,
    `${note.range}: ${form.geo_range_in_s === null ? app.unknown : `${form.geo_range_in_s} in/s${from(form.geo_range_source)}`}`,
    `${note.units}: ${columns.replaceAll(",", " | ")}`,
    `${note.project}: ${form.project ?? app.unknown}`,
  ];
  return lines.map((line) => `# ${line.replace(/[\p{C},;"]/gu, " ").replace(/\s+/g, " ").trim()}\r\n`).join("");
}

/** Return a whole table: what it is, then the samples. */
export function tableOf(
  form: WaveformForm,
  serial: string | null,
  simulated: boolean,
  recording: Recording,
  velocity: Velocity,
  air: Air,
): string {
  const table = csvOf(recording, velocity, air);
  return notesOf(form, serial, simulated, table.slice(0, table.indexOf("\r\n"))) + table;
}

/** Return one line for each sample, CRLF between them (RFC 4180). */
export function csvOf(recording: Recording, velocity: Velocity, air: Air): string {
  const columns = recording.channels.map((channel) => {
    const unit = sampleUnit(channel.unit, velocity, air);
    const factor = factorTo(channel.unit, unit);
    const notes = [
      ...(channel.bound && channel.peak !== null ? [tableOverRange(`${channel.bound} ${short(channel.peak * factor)}`)] : []),
      ...(channel.flags.includes("scale_unconfirmed") ? [tableUnconfirmed] : []),
    ];
    return { head: `${channel.name} (${unit}${notes.join("")})`, values: channel.values, factor };
  });
  const first = recording.atUnit === "s" ? tableTime : tableSample;
  const lines = [[first, ...columns.map((column) => column.head)].join(",")];
  for (let i = 0; i < recording.at.length; i++) {
    let line = short(recording.at[i]!);
    for (const { values, factor } of columns) line += `,${i < values.length ? short(values[i]! * factor) : ""}`;
    lines.push(line);
  }
  return lines.join("\r\n") + "\r\n";
}

/** Ten digits: more than the converter has, and none of the tail that a multiplication leaves. */
function short(value: number): string {
  return String(Number(value.toPrecision(10)));
}

/** Return a name for a saved file: what is simulated says so. */
export function fileName(
  of: { serial: string | null; timestamp: string | null; key: string; simulated: boolean },
  ending: string,
): string {
  const parts = [
    ...(of.simulated ? ["SIMULATED"] : []),
    of.serial ?? "unknown-unit",
    of.timestamp ?? "unknown-time",
    of.key,
  ];
  return `${parts.join("_").replace(/[^A-Za-z0-9._-]/g, "-")}.${ending}`;
}
