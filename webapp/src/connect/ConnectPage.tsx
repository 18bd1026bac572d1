import { useState } from "preact/hooks";
import type { Unit } from "../api/client";
import { DEFAULT_BAUD, DEFAULT_TCP_PORT, unitOf } from "../api/device";
import { localTime } from "../parts/time";
import { linkTo } from "../route";
import { Scroll } from "../parts/Scroll";
import { words } from "../words";
import { forget, recent } from "./recent";

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

const isName = (name: string): boolean => name !== "" && !/\s/.test(name);
const isWhole = (digits: string, most: number): boolean => /^\d+$/.test(digits) && Number(digits) >= 1 && Number(digits) <= most;

function Network() {
  const [host, setHost] = useState("");
  const [port, setPort] = useState(String(DEFAULT_TCP_PORT));
  const [wrong, setWrong] = useState<string | null>(null);
  const submit = (event: Event): void => {
    event.preventDefault();
    const problem = !isName(host.trim()) ? text.badHost : !isWhole(port.trim(), 65_535) ? text.badPort : null;
    setWrong(problem);
    if (!problem) open({ host: host.trim(), tcp_port: Number(port) });
  };
  return (
    <form class="block" onSubmit={submit} noValidate aria-labelledby="network">
      <h2 id="network">{text.network}</h2>
      <label>
        {text.host}
        <input
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          placeholder={text.hostExample}
          aria-invalid={wrong === text.badHost}
          value={host}
          onInput={(event) => setHost(event.currentTarget.value)}
        />
      </label>
      <label>
        {text.tcpPort}
        <input
          inputMode="numeric"
          aria-invalid={wrong === text.badPort}
          value={port}
          onInput={(event) => setPort(event.currentTarget.value)}
        />
      </label>
      <Wrong text={wrong} />
      <button type="submit" class="main">
        {text.open}
      </button>
    </form>
  );
}

function Serial() {
  const [port, setPort] = useState("");
  const [baud, setBaud] = useState(String(DEFAULT_BAUD));
  const [wrong, setWrong] = useState<string | null>(null);
  const submit = (event: Event): void => {
    event.preventDefault();
    const problem = !isName(port.trim()) ? text.badSerial : !isWhole(baud.trim(), 4_000_000) ? text.badBaud : null;
    setWrong(problem);
    if (!problem) open({ port: port.trim(), baud: Number(baud) });
  };
  return (
    <form class="block" onSubmit={submit} noValidate aria-labelledby="serial">
      <h2 id="serial">{text.serial}</h2>
      <label>
        {text.port}
        <input
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          placeholder={text.portExample}
          aria-describedby="port-help"
          aria-invalid={wrong === text.badSerial}
          value={port}
          onInput={(event) => setPort(event.currentTarget.value)}
        />
        <small id="port-help">{text.portHelp}</small>
      </label>
      <label>
        {text.baud}
        <input
          inputMode="numeric"
          aria-invalid={wrong === text.badBaud}
          value={baud}
          onInput={(event) => setBaud(event.currentTarget.value)}
        />
      </label>
      <Wrong text={wrong} />
      <button type="submit" class="main">
        {text.open}
      </button>
    </form>
  );
}

function Wrong({ text: told }: { text: string | null }) {
  return (
    <p class="wrong" role="alert">
      {told}
    </p>
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
        <Scroll label={text.recent}>
          <table>
            <caption class="hidden">{text.caption}</caption>
            <thead>
              <tr>
                <th scope="col">{text.unit}</th>
                <th scope="col">{text.serialNumber}</th>
                <th scope="col">
                  {text.openedAt} ({text.thisBrowser})
                </th>
                <th scope="col">
                  <span class="hidden">{text.action}</span>
                </th>
              </tr>
            </thead>
            <tbody>
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
            </tbody>
          </table>
        </Scroll>
      )}
    </section>
  );
}
