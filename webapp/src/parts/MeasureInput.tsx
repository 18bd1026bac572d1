// A number that is typed and shown in the chosen unit of measure, and held in the relay's.
import { useState } from "preact/hooks";
import { airUnits, unitsOf } from "../state";
import { MM_PER_INCH, PA_PER_PSI } from "./measures";

/** What is measured, by the relay's own unit of measure. */
export type Measure = "in/s" | "psi";

const REFERENCE_PA = 20e-6;

/** The unit of measure in which people read and type it. */
export const shownUnit = (measure: Measure): string => (measure === "in/s" ? unitsOf.value : airUnits.value);

/** A value of the relay's in the shown unit of measure. */
export function toShown(value: number, unit: string): number {
  if (unit === "mm/s") return value * MM_PER_INCH;
  if (unit === "Pa") return value * PA_PER_PSI;
  if (unit === "dB(L)") return 20 * Math.log10((value * PA_PER_PSI) / REFERENCE_PA);
  return value;
}

/** A value of the shown unit of measure in the relay's. */
export function toGiven(value: number, unit: string): number {
  if (unit === "mm/s") return value / MM_PER_INCH;
  if (unit === "Pa") return value / PA_PER_PSI;
  if (unit === "dB(L)") return (REFERENCE_PA * 10 ** (value / 20)) / PA_PER_PSI;
  return value;
}

/** A number without the tail that a conversion leaves. */
export const plain = (value: number, digits = 4): string => String(Number(value.toPrecision(digits)));

/** What was typed in a unit of measure, as the relay has it; a text that is no number stays as it is. */
export function givenOf(typed: string, unit: string): string {
  const number = Number(typed);
  return typed.trim() === "" || !Number.isFinite(number) ? typed : plain(toGiven(number, unit), 9);
}

/** The same the other way round. */
export function shownOf(given: string, unit: string): string {
  const number = Number(given);
  return given.trim() === "" || !Number.isFinite(number) ? given : plain(toShown(number, unit));
}

interface Props {
  measure: Measure;
  /** In the relay's unit of measure, as text. */
  value: string;
  onValue: (value: string) => void;
  isWrong?: boolean;
  describedBy?: string;
}

export function MeasureInput({ measure, value, onValue, isWrong = false, describedBy }: Props) {
  const unit = shownUnit(measure);
  // What is being typed stays as it is typed; another unit of measure, or another value, replaces it.
  const [typed, setTyped] = useState<{ text: string; unit: string } | null>(null);
  const isOwn = typed !== null && typed.unit === unit && givenOf(typed.text, unit) === value;
  return (
    <input
      inputMode="decimal"
      autocomplete="off"
      aria-invalid={isWrong}
      aria-describedby={describedBy}
      value={isOwn ? typed.text : shownOf(value, unit)}
      onInput={({ currentTarget: { value: text } }) => {
        setTyped({ text, unit });
        onValue(givenOf(text, unit));
      }}
    />
  );
}
