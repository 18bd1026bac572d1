// What somebody looks for in the archive.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Schemas } from "../api/client";
import { numberOf } from "../events/choose";
import { useSearchKey } from "../events/FilterForm";
import { MeasureInput, shownUnit } from "../parts/MeasureInput";
import { isNarrow } from "../parts/window";
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
  const [typed, setTyped] = useState(wanted);
  const [pvs, setPvs] = useState("");
  // The address may change under the form.
  useEffect(() => {
    setTyped(wanted);
    setPvs(wanted.minPvsInS === null ? "" : String(wanted.minPvsInS));
  }, [wanted]);
  // On a phone the recordings come first; a filter that is set is seen.
  const [isOpen] = useState(Boolean(wanted.since || wanted.until || wanted.minPvsInS !== null));
  const search = useRef<HTMLInputElement>(null);
  useSearchKey(search);
  const set = (more: Partial<Wanted>) => setTyped({ ...typed, ...more });
  // A unit that the archive does not list may still be asked for: a link may name it.
  const isListed = typed.serial === "" || units.some((unit) => unit.serial === typed.serial);
  const more = (
    <>
      <label>
        {text.since}
        <input
          type="datetime-local"
          step={1}
          value={typed.since}
          onInput={(event) => set({ since: event.currentTarget.value })}
        />
      </label>
      <label>
        {text.until}
        <input
          type="datetime-local"
          step={1}
          value={typed.until}
          onInput={(event) => set({ until: event.currentTarget.value })}
        />
      </label>
      <label>
        {events.minPvs(shownUnit("in/s"))}
        <MeasureInput measure="in/s" value={pvs} onValue={setPvs} />
      </label>
    </>
  );
  return (
    <form
      class="filters"
      role="search"
      aria-label={events.filters}
      onSubmit={(event) => {
        event.preventDefault();
        onWanted({ ...typed, minPvsInS: numberOf(pvs) });
      }}
    >
      <label>
        {text.serial}
        <select value={typed.serial} onChange={(event) => set({ serial: event.currentTarget.value })}>
          <option value="">{text.allUnits}</option>
          {!isListed && <option value={typed.serial}>{typed.serial}</option>}
          {units.map(({ serial, recordings, simulated }) => (
            <option key={serial} value={serial}>
              {text.unitOption(serial, recordings, simulated)}
            </option>
          ))}
        </select>
      </label>
      {isNarrow.value ? (
        <details open={isOpen}>
          <summary>{events.filters}</summary>
          <div class="filters">{more}</div>
        </details>
      ) : (
        more
      )}
      <label>
        {events.projectHas}
        <input
          type="search"
          ref={search}
          title={events.searchKey}
          value={typed.project}
          onInput={(event) => set({ project: event.currentTarget.value })}
        />
      </label>
      <button type="submit" class="main">
        {text.search}
      </button>
    </form>
  );
}
