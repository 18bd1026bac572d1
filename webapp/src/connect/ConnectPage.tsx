import { useState } from "preact/hooks";
import type { Unit } from "../api/client";
import { DEFAULT_BAUD, DEFAULT_TCP_PORT, unitOf } from "../api/device";
import { localTime } from "../parts/time";
import { linkTo } from "../route";
import { Table } from "../parts/Table";
import { words } from "../words";
import { AddressForm } from "./AddressForm";
import { forget, recent } from "./recent";
import { usePorts } from "./usePorts";

const text = words.connect;

/** Where one begins: a unit by its address, or one that was opened before. */
export function ConnectPage() {
  return (
    <>
      <h1>{text.title}</h1>
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
  const ports = usePorts();
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
