// What somebody looks for in the archive.
import { useEffect, useState } from "preact/hooks";
import type { Schemas } from "../api/client";
import { numberOf } from "../events/choose";
import { unitsOf } from "../state";
import { factorTo } from "../waveform/convert";
import { words } from "../words";
import type { Wanted } from "./wanted";

const text = words.archive;
const { events } = words;

interface Wish {
  wanted: Wanted;
  units: Schemas["ArchivedUnit"][];
  onWanted: (wanted: Wanted) => void;
}

export function WantedForm({ wanted, units, onWanted }: Wish) {
  const factor = factorTo("in/s", unitsOf.value);
  const [typed, setTyped] = useState(wanted);
  const [pvs, setPvs] = useState("");
  // The address may change under the form, and the unit of measure.
  useEffect(() => {
    setTyped(wanted);
    setPvs(wanted.minPvsInS === null ? "" : String(Number((wanted.minPvsInS * factor).toPrecision(6))));
  }, [wanted, factor]);
  const set = (more: Partial<Wanted>) => setTyped({ ...typed, ...more });
  // A unit that the archive does not list may still be asked for: a link may name it.
  const isListed = typed.serial === "" || units.some((unit) => unit.serial === typed.serial);
  return (
    <form
      class="filters"
      role="search"
      aria-label={events.filters}
      onSubmit={(event) => {
        event.preventDefault();
        const number = numberOf(pvs);
        onWanted({ ...typed, minPvsInS: number === null ? null : Number((number / factor).toPrecision(9)) });
      }}
    >
      <label>
        {text.serial}
        <select value={typed.serial} onChange={(event) => set({ serial: event.currentTarget.value })}>
          <option value="">{text.allUnits}</option>
          {!isListed && <option value={typed.serial}>{typed.serial}</option>}
          {units.map(({ serial, recordings, simulated }) => (
            <option key={serial} value={serial}>{text.unitOption(serial, recordings, simulated)}</option>
          ))}
        </select>
      </label>
      <label>
        {text.since}
        <input type="datetime-local" step={1} value={typed.since} onInput={(event) => set({ since: event.currentTarget.value })} />
      </label>
      <label>
        {text.until}
        <input type="datetime-local" step={1} value={typed.until} onInput={(event) => set({ until: event.currentTarget.value })} />
      </label>
      <label>
        {events.minPvs(unitsOf.value)}
        <input type="number" min={0} step="any" value={pvs} onInput={(event) => setPvs(event.currentTarget.value)} />
      </label>
      <label>
        {events.projectHas}
        <input type="text" value={typed.project} onInput={(event) => set({ project: event.currentTarget.value })} />
      </label>
      <button type="submit" class="main">{text.search}</button>
    </form>
  );
}
