import { useState } from "preact/hooks";
import type { Schemas, Unit } from "../api/client";
import { DEFAULT_BAUD, DEFAULT_TCP_PORT, unitOf } from "../api/device";
import { useAsked } from "../parts/asked";
import { localTime } from "../parts/time";
import { Trouble } from "../parts/Trouble";
import { linkTo } from "../route";
import { Table } from "../parts/Table";
import { atLeast } from "../state";
import { words } from "../words";
import { AddressForm } from "./AddressForm";
import { forget, recent } from "./recent";

const text = words.connect;

/** Where one begins: a unit by its address, or one that was opened before. */
export function ConnectPage() {
  return (
    <>
      <h1>{text.title}</h1>
      <Registered />
      <div class="columns">
        <Network />
        <Serial />
      </div>
      <RecentUnits />
      <section class="block">
        <h2>{text.without}</h2>
        <ul>
          <li>
            <a href="#/archive">{text.toArchive}</a>
          </li>
          <li>
            <a href="#/cache">{text.toCache}</a>
          </li>
        </ul>
      </section>
    </>
  );
}

function open(unit: Unit): void {
  location.hash = linkTo(unit);
}

function Network() {
  return (
    <AddressForm
      title={text.network}
      name={{ label: text.host, example: text.hostExample, bad: text.badHost }}
      number={{ label: text.tcpPort, usual: DEFAULT_TCP_PORT, most: 65_535, bad: text.badPort }}
      onOpen={(host, tcp_port) => open({ host, tcp_port })}
    />
  );
}

function Serial() {
  // Who may not ask, or hears nothing, types one.
  const ports = useAsked<Schemas["PortsOut"]>(atLeast("operator") ? "/ports" : null).body?.ports ?? [];
  const help = ports.length ? `${text.portsFound(ports.length)} ${text.portHelp}` : text.portHelp;
  return (
    <AddressForm
      title={text.serial}
      name={{ label: text.port, example: text.portExample, bad: text.badSerial, help, choices: ports }}
      number={{ label: text.baud, usual: DEFAULT_BAUD, most: 4_000_000, bad: text.badBaud }}
      onOpen={(port, baud) => open({ port, baud })}
    />
  );
}

/** The units that the relay knows by name. */
function Registered() {
  const { body, problem, again } = useAsked<Schemas["UnitsOut"]>("/units");
  if (problem) return <Trouble problem={problem} retry={again} />;
  if (!body?.units.length) return null;
  return (
    <section class="block" aria-labelledby="registered">
      <h2 id="registered">{text.registered}</h2>
      <Table caption={text.registeredCaption} heads={[text.name, text.address]}>
        {body.units.map(({ name, serial, conn_key }) => {
          const unit = conn_key && unitOf(conn_key);
          const label = name ?? serial;
          return (
            <tr key={label}>
              <th scope="row">{unit ? <a href={linkTo(unit)}>{label}</a> : label}</th>
              <td>{conn_key}</td>
            </tr>
          );
        })}
      </Table>
    </section>
  );
}

function RecentUnits() {
  const [units, setUnits] = useState(recent);
  return (
    <section class="block" aria-labelledby="recent">
      <h2 id="recent">{text.recent}</h2>
      {units.length === 0 ? (
        <p class="faint">{text.none}</p>
      ) : (
        <Table caption={text.caption} heads={[text.unit, text.serialNumber, `${text.openedAt} (${text.thisBrowser})`]} action={text.action}>
          {units.map((one) => {
            const unit = unitOf(one.key);
            return (
              unit && (
                <tr key={one.key}>
                  <th scope="row">
                    <a href={linkTo(unit)}>{one.key}</a>
                  </th>
                  <td>{one.serial ?? words.app.unknown}</td>
                  <td>{localTime(new Date(one.openedAt))}</td>
                  <td>
                    <button
                      type="button"
                      class="quiet"
                      aria-label={text.forgetOf(one.key)}
                      onClick={() => {
                        forget(one.key);
                        setUnits(recent());
                      }}
                    >
                      {text.forget}
                    </button>
                  </td>
                </tr>
              )
            );
          })}
        </Table>
      )}
    </section>
  );
}
