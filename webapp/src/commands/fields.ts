// The settings that can be written, what a unit takes for each, and what a form's texts come to.
import { words } from "../words";

export type Field =
  | { name: string; kind: "choice"; choices: readonly string[]; unit: string }
  | { name: string; kind: "number"; low: number; high: number; unit: string; isWhole?: boolean }
  | { name: string; kind: "text"; most: number }
  | { name: string; kind: "time" }
  | { name: string; kind: "switch" };

const TEXT_MOST = 64;

/** As in `POST /device/config`; the relay checks them again. */
export const RECORDING: readonly Field[] = [
  { name: "mode", kind: "choice", choices: ["single_shot", "continuous", "histogram", "histogram_combo"], unit: "" },
  { name: "sample_rate_hz", kind: "choice", choices: ["1024", "2048", "4096"], unit: "Hz" },
  { name: "histogram_interval_s", kind: "choice", choices: ["2", "5", "15", "60", "300", "900"], unit: "s" },
  { name: "record_time_s", kind: "number", low: 1, high: 100, unit: "s" },
  { name: "geo_range_in_s", kind: "choice", choices: ["1.25", "10"], unit: "in/s" },
  { name: "trigger_level_in_s", kind: "number", low: 0.02, high: 10, unit: "in/s" },
  { name: "alarm_level_in_s", kind: "number", low: 0.02, high: 10, unit: "in/s" },
  { name: "mic_trigger_psi", kind: "number", low: 0.0001, high: 0.1, unit: "psi" },
  { name: "mic_alarm_psi", kind: "number", low: 0.0001, high: 0.1, unit: "psi" },
  ...["project", "client", "operator", "location", "notes"].map((name): Field => ({ name, kind: "text", most: TEXT_MOST })),
];

const byte = (name: string, unit: string): Field => ({ name, kind: "number", low: 0, high: 255, unit, isWhole: true });

/** As in `POST /device/call_home`. */
export const CALL_HOME: readonly Field[] = [
  { name: "enabled", kind: "switch" },
  { name: "dial", kind: "text", most: TEXT_MOST },
  { name: "after_event", kind: "switch" },
  { name: "at_times", kind: "switch" },
  { name: "first_enabled", kind: "switch" },
  { name: "first_time", kind: "time" },
  { name: "second_enabled", kind: "switch" },
  { name: "second_time", kind: "time" },
  byte("retries", ""),
  byte("retry_wait_s", "s"),
  byte("connect_wait_s", "s"),
  byte("warm_up_s", "s"),
];

export type Settings = Readonly<Record<string, unknown>>;
export type Edits = Readonly<Record<string, string>>;

/** A setting as it stands in the form; what is unknown is empty. */
export function shownOf(field: Field, current: Settings, edits: Edits): string {
  const value = current[field.name];
  return edits[field.name] ?? (value === null || value === undefined ? "" : String(value));
}

export interface Change {
  /** What is to be sent: the settings that were changed, and nothing else. */
  body: Record<string, string | number | boolean>;
  /** What is wrong, by setting. */
  wrong: Record<string, string>;
}

/** What the edits of a form change. */
export function changeOf(fields: readonly Field[], current: Settings, edits: Edits): Change {
  const change: Change = { body: {}, wrong: {} };
  for (const field of fields) {
    const edit = edits[field.name];
    if (edit === undefined || edit === shownOf(field, current, {})) continue;
    const value = valueOf(field, edit);
    if (value instanceof Wrong) change.wrong[field.name] = value.message;
    else if (value !== current[field.name]) change.body[field.name] = value;
  }
  checkLevels(change, { ...current, ...change.body });
  return change;
}

class Wrong {
  constructor(readonly message: string) {}
}

const wrong = words.commands.settings.wrong;

function valueOf(field: Field, text: string): string | number | boolean | Wrong {
  switch (field.kind) {
    case "switch":
      return text === "true";
    case "choice":
      return field.name === "mode" ? text : Number(text);
    case "time":
      return /^([01]\d|2[0-3]):[0-5]\d$/.test(text) ? text : new Wrong(wrong.time);
    case "text":
      return /^[ -~]*$/.test(text) && text.length <= field.most ? text : new Wrong(wrong.text);
    case "number": {
      const value = text.trim() === "" ? Number.NaN : Number(text);
      const isGood = value >= field.low && value <= field.high && (!field.isWhole || Number.isInteger(value));
      return isGood ? value : new Wrong(field.isWhole ? wrong.whole : wrong.number);
    }
  }
}

// Only levels that are to be written: what the unit holds already is its own matter.
function checkLevels(change: Change, after: Settings): void {
  const [trigger, alarm, range] = ["trigger_level_in_s", "alarm_level_in_s", "geo_range_in_s"].map((name) => {
    const value = after[name];
    return typeof value === "number" ? value : null;
  }) as [number | null, number | null, number | null];
  const isTouched = ["trigger_level_in_s", "alarm_level_in_s", "geo_range_in_s"].some((name) => name in change.body);
  if (!isTouched) return;
  if (range !== null && trigger !== null && trigger > range) change.wrong.trigger_level_in_s ??= wrong.range;
  if (range !== null && alarm !== null && alarm > range) change.wrong.alarm_level_in_s ??= wrong.range;
  if (trigger !== null && alarm !== null && alarm < trigger) change.wrong.alarm_level_in_s ??= wrong.alarm;
}
