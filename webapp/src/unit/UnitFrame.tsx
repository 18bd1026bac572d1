import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import type { Unit } from "../api/client";
import { keyOf } from "../api/device";
import { lastAddress, remember } from "../connect/recent";
import { lostBy } from "../data/failures";
import type { Resource } from "../data/resource";
import { PageTitle } from "../parts/PageTitle";
import { Trouble, Troubles } from "../parts/Trouble";
import { asLeft, fragment, linkTo, restOf, route } from "../route";
import { addresses, atLeast, lostUnits, names, simulated } from "../state";
import { words } from "../words";
import { useRoster } from "./useRoster";

const TABS = [
  ["unit", "", words.unit.overview],
  ["events", "events", words.unit.events],
  ["commands", "commands", words.unit.commands],
] as const;

interface Props {
  unit: Unit;
  /** Which page of the unit this is. */
  page: string;
  /** What the page reads: their failures are reported here, once. */
  resources: readonly Resource<unknown>[];
  /** Whether the page has a heading of its own: that of the event that it shows. */
  isHeaded?: boolean;
  children: ComponentChildren;
}

/** A page of a unit: whose it is, whether it is simulated or lost, and the other pages of the same unit. */
export function UnitFrame({ unit, page, resources, isHeaded = false, children }: Props) {
  const key = keyOf(unit);
  useRoster();
  // A page that was opened by an address or a name, until the unit is known.
  const serial = route.value.page === "resolve" ? null : (unit.unit ?? null);
  const address = serial === null ? (unit.unit ?? key) : (addresses.value.get(key) ?? null);
  useEffect(() => {
    if (serial === null && unit.unit !== undefined) return;
    const before = lastAddress(serial);
    remember({ key: address ?? (before ? keyOf(before) : key), serial, openedAt: Date.now() });
  }, [serial, address]);
  const name = serial === null ? null : names.value.get(serial);
  const title = serial ? words.unit.title(serial) : words.unit.unknownTitle;
  const where = <span class="faint">{[name, address].filter(Boolean).join(" · ")}</span>;
  const lost = lostUnits.value.get(key);
  const isUnknown = resources.some(({ problem }) => problem?.kind === "unknown-unit");
  const before = isUnknown ? lastAddress(serial) : null;
  // What another page of this unit found: it is lost on each of them.
  const isReported = resources.some(({ problem }) => problem && lostBy(problem) === "unit");
  return (
    <article class="unit-page">
      <div class="unit-head">
        {isHeaded ? (
          <p>
            {title} {where}
          </p>
        ) : (
          <PageTitle title={title} name={`${page}, ${[serial ?? key, name].filter(Boolean).join(" ")}`}>
            {where}
          </PageTitle>
        )}
        <nav class="tabs" aria-label={words.unit.tabs}>
          {TABS.filter(([id]) => id !== "commands" || atLeast("operator")).map(([id, rest, text]) =>
            route.value.page === id ? (
              <span key={id} aria-current="page">
                {text}
              </span>
            ) : (
              <a key={id} href={asLeft(linkTo(unit, rest))}>
                {text}
              </a>
            ),
          )}
        </nav>
      </div>
      {simulated.value.has(key) && (
        <p class="simulated">
          <strong>{words.app.simulated}</strong> {words.app.simulatedWhy}
        </p>
      )}
      {lost && !isReported && (
        <Trouble
          problem={lost}
          retry={() => {
            for (const one of resources) one.refresh();
          }}
        />
      )}
      <Troubles of={resources} />
      {before && (
        <p>
          <a href={linkTo(before, restOf(fragment.peek()))}>{words.trouble.openAt(keyOf(before))}</a>
        </p>
      )}
      {children}
    </article>
  );
}
