import { useState } from "preact/hooks";
import type { Schemas } from "../api/client";
import { keyOf, unitOf } from "../api/device";
import { useResource } from "../data/resource";
import { Entries } from "../parts/Entries";
import { PageTitle } from "../parts/PageTitle";
import { Table } from "../parts/Table";
import { Trouble } from "../parts/Trouble";
import { localTime, serverTime } from "../parts/time";
import { isNarrow } from "../parts/window";
import { linkTo } from "../route";
import { atLeast, names } from "../state";
import { useRoster } from "../unit/useRoster";
import { words } from "../words";
import { OpenForm } from "./OpenForm";
import { forget, recent } from "./recent";

const text = words.connect;

/** Where one begins: a unit that the relay knows, one that was opened before, or any other. */
export function ConnectPage() {
  const roster = useRoster();
  const units = roster.body?.units ?? [];
  // Who may not ask, or hears nothing, types one.
  const ports = useResource<Schemas["PortsOut"]>(atLeast("operator") ? { path: "/ports" } : null).body?.ports ?? [];
  return (
    <>
      <PageTitle title={text.title} />
      {roster.problem && <Trouble problem={roster.problem} retry={roster.reload} />}
      {units.length > 0 && <Registered units={units} />}
      <div class="columns">
        <OpenForm units={units} ports={ports} />
        <RecentUnits known={units} />
      </div>
    </>
  );
}

function Registered({ units }: { units: readonly Schemas["UnitOut"][] }) {
  return (
    <section class="block" aria-labelledby="registered">
      <h2 id="registered">{text.registered}</h2>
      <Table
        caption={text.registeredCaption}
        heads={[text.name, text.serialNumber, ...(isNarrow.value ? [] : [text.address]), text.contact]}
      >
        {units.map(({ name, serial, conn_key, last_contact_at }) => (
          <tr key={name ?? serial}>
            <th scope="row">
              <a href={linkTo({ unit: serial ?? name ?? "" })}>{name ?? serial}</a>
            </th>
            <td>{serial ?? words.app.unknown}</td>
            {!isNarrow.value && <td>{conn_key ?? text.noRoute}</td>}
            <td>{last_contact_at === null ? text.noContact : serverTime(last_contact_at)}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}

function RecentUnits({ known }: { known: readonly Schemas["UnitOut"][] }) {
  const [units, setUnits] = useState(recent);
  return (
    <section class="block" aria-labelledby="recent">
      <h2 id="recent">{text.recent}</h2>
      <Entries
        caption={text.caption}
        none={text.none}
        heads={[text.unit, text.address, `${text.openedAt} (${text.thisBrowser})`]}
        action={text.action}
        entries={units.map((one) => {
          const { serial, key } = one;
          const label = serial ?? key;
          // A unit that the relay does not know yet is asked where this browser met it.
          const isKnown = serial !== null && known.some((unit) => unit.serial === serial);
          return {
            key: label,
            cells: [
              <>
                <a href={linkTo(isKnown ? { unit: serial } : unitOf(key)!)}>{label}</a>{" "}
                {serial && names.value.get(serial)}
              </>,
              <span key="address" class="long">
                {serial && key === keyOf({ unit: serial }) ? words.app.unknown : key}
              </span>,
              localTime(new Date(one.openedAt)),
            ],
            button: (
              <button
                type="button"
                class="quiet"
                aria-label={text.forgetOf(label)}
                onClick={() => {
                  forget(one);
                  setUnits(recent());
                }}
              >
                {text.forget}
              </button>
            ),
          };
        })}
      />
    </section>
  );
}
