// What a form's texts come to. What a unit takes for each setting, the relay says (api/settings.ts) and checks again.
import * as settings from "../api/settings";
import { type Measure, plain, shownUnit, toShown } from "../parts/MeasureInput";
import { words } from "../words";

export type Field =
  | { name: string; kind: "choice"; choices: readonly (string | number)[]; unit: string }
  | { name: string; kind: "number"; low: number; high: number; unit: string; isWhole?: boolean }
  | { name: string; kind: "text"; most: number; pattern: string }
  | { name: string; kind: "time"; pattern: string }
  | { name: string; kind: "switch" };

export const RECORDING: readonly Field[] = settings.RECORDING;
export const CALL_HOME: readonly Field[] = settings.CALL_HOME;

export type Settings = Readonly<Record<string, unknown>>;
export type Edits = Readonly<Record<string, string>>;

const { groups } = words.unit;

/** The settings of a recording as people look for them. */
export const GROUPS: readonly [title: string, names: readonly string[]][] = [
  [groups.levels, ["geo_range_in_s", "trigger_level_in_s", "alarm_level_in_s", "mic_trigger_psi", "mic_alarm_psi"]],
  [groups.recording, ["mode", "sample_rate_hz", "record_time_s", "histogram_interval_s"]],
  [groups.notes, ["project", "client", "operator", "location", "notes"]],
];

/** What a setting measures, where people choose its unit of measure. */
export function measureOf(field: Field): Measure | null {
  const unit = "unit" in field ? field.unit : "";
  return unit === "in/s" || unit === "psi" ? unit : null;
}

/** The unit of measure in which a setting is shown. */
export function unitName(field: Field): string {
  const measure = measureOf(field);
  return measure ? shownUnit(measure) : "unit" in field ? field.unit : "";
}

/** A value of the relay's as people read it, without its unit of measure. */
function numberOf(field: Field, value: number): string {
  return measureOf(field) ? plain(toShown(value, unitName(field))) : String(value);
}

export function rangeText(field: Field & { kind: "number" }): string {
  return range(numberOf(field, field.low), numberOf(field, field.high), unitName(field));
}

export function choiceText(field: Field & { kind: "choice" }, choice: string | number): string {
  if (typeof choice === "string") return words.unit.modes[choice] ?? choice;
  return `${numberOf(field, choice)} ${unitName(field)}`;
}

/** A setting's value in words, in the chosen unit of measure. */
export function valueText(field: Field | undefined, value: unknown): string {
  if (value === null || value === undefined) return words.app.unknown;
  if (typeof value === "boolean") return value ? words.app.yes : words.app.no;
  if (typeof value === "number" && field) return `${numberOf(field, value)} ${unitName(field)}`.trim();
  const text = String(value);
  return text === "" ? words.unit.empty : (words.unit.modes[text] ?? text);
}

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
    const value = typedValue(field, edit);
    if (value instanceof Wrong) change.wrong[field.name] = value.message;
    else if (value !== current[field.name]) change.body[field.name] = value;
  }
  checkLevels(change, { ...current, ...change.body });
  return change;
}

class Wrong {
  constructor(readonly message: string) {}
}

const { ascii, range, wrong } = words.commands.settings;

function typedValue(field: Field, text: string): string | number | boolean | Wrong {
  switch (field.kind) {
    case "switch":
      return text === "true";
    case "choice":
      return field.choices.find((choice) => String(choice) === text) ?? text;
    case "time":
      return new RegExp(field.pattern).test(text) ? text : new Wrong(wrong.time);
    case "text":
      return new RegExp(field.pattern).test(text) && text.length <= field.most ? text : new Wrong(ascii(field.most));
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
