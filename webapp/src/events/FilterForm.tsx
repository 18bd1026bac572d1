// Which events are to be seen, as somebody types it; the page turns it into filters.
import { useEffect, useRef, useState } from "preact/hooks";
import { MeasureInput, shownUnit } from "../parts/MeasureInput";
import { words } from "../words";
import { type Filters, numberOf } from "./choose";
import { NOTHING_TYPED, type Typed } from "./view";

const text = words.events;

/** Return what was typed as filters. */
export function filtersOf({ minPvs, minMic, since, until, project }: Typed): Filters {
  return { minPvsInS: numberOf(minPvs), minMicPsi: numberOf(minMic), since, until, project };
}

export function FilterForm({ typed, onTyped }: { typed: Typed; onTyped: (typed: Typed) => void }) {
  const search = useRef<HTMLInputElement>(null);
  useSearchKey(search);
  const { project: _, ...rest } = typed;
  const isFiltered = Object.values(rest).some((value) => value !== "");
  // The events come first; a filter that is set is seen.
  const [isOpen] = useState(isFiltered);
  const time = (name: "since" | "until", label: string) => (
    <label>
      {label}
      <input
        type="datetime-local"
        step={1}
        value={typed[name]}
        onInput={(event) => onTyped({ ...typed, [name]: event.currentTarget.value })}
      />
    </label>
  );
  return (
    <form class="filters" role="search" aria-label={text.filters} onSubmit={(event) => event.preventDefault()}>
      <label class="search">
        {text.projectHas}
        <input
          type="search"
          ref={search}
          title={text.searchKey}
          value={typed.project}
          onInput={(event) => onTyped({ ...typed, project: event.currentTarget.value })}
        />
      </label>
      <details open={isOpen}>
        <summary>{text.filters}</summary>
        <div class="filters">
          <label>
            {text.minPvs(shownUnit("in/s"))}
            <MeasureInput measure="in/s" value={typed.minPvs} onValue={(minPvs) => onTyped({ ...typed, minPvs })} />
          </label>
          <label>
            {text.minMic(shownUnit("psi"))}
            <MeasureInput measure="psi" value={typed.minMic} onValue={(minMic) => onTyped({ ...typed, minMic })} />
          </label>
          {time("since", text.from)}
          {time("until", text.to)}
          <button type="button" onClick={() => onTyped(NOTHING_TYPED)}>
            {text.clear}
          </button>
        </div>
      </details>
    </form>
  );
}

/** The key / leads to the search, unless somebody types it. */
export function useSearchKey(field: { current: HTMLElement | null }): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      const isTyping = (event.target as HTMLElement).closest("input,textarea,select,dialog");
      if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      field.current?.focus();
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, []);
}
