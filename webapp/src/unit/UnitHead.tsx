import { useEffect } from "preact/hooks";
import type { Unit } from "../api/client";
import { keyOf } from "../api/device";
import { remember } from "../connect/recent";
import { linkTo, route } from "../route";
import { atLeast, serials, simulated } from "../state";
import { words } from "../words";

const TABS = [
  ["unit", "", words.unit.overview],
  ["events", "events", words.unit.events],
  ["commands", "commands", words.unit.commands],
] as const;

/** Whose page this is, whether it is simulated, and the pages of the same unit. */
export function UnitHead({ unit }: { unit: Unit }) {
  const key = keyOf(unit);
  const serial = serials.value.get(key) ?? null;
  useEffect(() => remember({ key, serial, openedAt: Date.now() }), [key, serial]);
  return (
    <div class="unit-head">
      <h1>
        {serial ? words.unit.title(serial) : words.unit.unknownTitle} <span class="faint">{key}</span>
      </h1>
      {simulated.value.has(key) && (
        <p class="simulated">
          <strong>{words.app.simulated}</strong> {words.app.simulatedWhy}
        </p>
      )}
      <nav class="tabs" aria-label={words.unit.tabs}>
        {TABS.filter(([page]) => page !== "commands" || atLeast("operator")).map(([page, rest, text]) => (
          <a key={page} href={linkTo(unit, rest)} aria-current={route.value.page === page ? "page" : undefined}>
            {text}
          </a>
        ))}
      </nav>
    </div>
  );
}
