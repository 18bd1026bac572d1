// Which events are to be seen, as somebody types it; the page turns it into filters.
import { useState } from "preact/hooks";
import { unitsOf } from "../state";
import { factorTo } from "../waveform/convert";
import { words } from "../words";
import { numberOf, type Filters } from "./choose";

const text = words.events;

export interface Typed {
  minPvs: string;
  minDb: string;
  since: string;
  until: string;
  project: string;
}

export const NOTHING_TYPED: Typed = { minPvs: "", minDb: "", since: "", until: "", project: "" };

/** Return what was typed as filters; a velocity was typed in the shown unit. */
export function filtersOf(typed: Typed, unit: "in/s" | "mm/s"): Filters {
  const pvs = numberOf(typed.minPvs);
  return {
    minPvsInS: pvs === null ? null : pvs / factorTo("in/s", unit),
    minDb: numberOf(typed.minDb),
    since: typed.since,
    until: typed.until,
    project: typed.project,
  };
}

const KINDS = {
  number: { type: "number", min: 0, step: "any" },
  time: { type: "datetime-local", step: 1 },
  text: { type: "text" },
} as const;

export function FilterForm({ typed, onTyped }: { typed: Typed; onTyped: (typed: Typed) => void }) {
  const field = (name: keyof Typed, label: string, type: keyof typeof KINDS) => (
    <label>
      {label}
      <input
        {...KINDS[type]}
        value={typed[name]}
        onInput={(event) => onTyped({ ...typed, [name]: event.currentTarget.value })}
      />
    </label>
  );
  // On a phone the events come first.
  const [isOpen] = useState(() => matchMedia("(min-width: 40rem)").matches);
  return (
    <details open={isOpen}>
      <summary>{text.filters}</summary>
      <form class="filters" role="search" aria-label={text.filters} onSubmit={(event) => event.preventDefault()}>
        {field("minPvs", text.minPvs(unitsOf.value), "number")}
        {field("minDb", text.minDb, "number")}
        {field("since", text.from, "time")}
        {field("until", text.to, "time")}
        {field("project", text.projectHas, "text")}
        <button type="button" onClick={() => onTyped(NOTHING_TYPED)}>{text.clear}</button>
      </form>
    </details>
  );
}
