import { useState } from "preact/hooks";
import { ask, Problem, type Schemas } from "../api/client";
import { unitOf } from "../api/device";
import { useResource } from "../data/resource";
import { Dialog } from "../parts/Dialog";
import { Entries, type Entry } from "../parts/Entries";
import { Facts } from "../parts/Facts";
import { bytes, measured } from "../parts/measures";
import { PageTitle } from "../parts/PageTitle";
import { Trouble, Troubles } from "../parts/Trouble";
import { serverTime } from "../parts/time";
import { Waiting } from "../parts/Waiting";
import { linkTo } from "../route";
import { atLeast } from "../state";
import { wholeText, words } from "../words";
import { type Epoch, type Row, rowsOf, totalOf } from "./rows";

const text = words.cache;
const EVERY_S = 10;
type Stats = Schemas["StatsOut"];

/** What the relay holds of each unit, and why. Asks no unit. */
export function CachePage() {
  const stats = useResource<Stats>({ path: "/cache/stats", everyS: EVERY_S });
  const [dropping, setDropping] = useState<string | null>(null);
  const [dropped, setDropped] = useState("");
  const at = stats.body ? new Date(stats.atMs).toISOString() : null;
  const rows = stats.body ? rowsOf(stats.body, at) : [];
  return (
    <>
      <PageTitle title={text.title} />
      <p>{text.intro}</p>
      <Troubles of={[stats]} />
      <Waiting of={stats} />
      <p role="status">{dropped}</p>
      {stats.body && (
        <>
          <section class="block" aria-label={text.caption}>
            <Units rows={rows} onDrop={setDropping} />
          </section>
          <Totals stats={stats.body} at={at} />
        </>
      )}
      {dropping !== null && (
        <DropDialog
          of={dropping}
          onDone={(isDropped) => {
            if (isDropped) setDropped(text.dropped(dropping));
            setDropping(null);
            stats.reload();
          }}
        />
      )}
    </>
  );
}

function Units({ rows, onDrop }: { rows: Row[]; onDrop: (key: string) => void }) {
  const mayDrop = atLeast("admin");
  const heads = [
    text.unit,
    text.serial,
    text.epoch,
    text.why,
    text.held,
    text.size,
    text.served,
    text.exchanges,
    text.failures,
  ];
  return (
    <Entries
      caption={text.caption}
      none={text.none}
      heads={heads}
      action={mayDrop && text.drop}
      entries={rows.map((row) => entryOf(row, mayDrop ? onDrop : null))}
    />
  );
}

function entryOf(row: Row, onDrop: ((key: string) => void) | null): Entry {
  const unit = unitOf(row.key);
  const { hits, asked } = row;
  return {
    key: row.key,
    cells: [
      unit ? <a href={linkTo(unit)}>{row.key}</a> : row.key,
      <>
        {row.serial ?? words.app.unknown} {row.isSimulated && <strong class="badge">{words.app.simulated}</strong>}
      </>,
      row.epochs[0]?.number ?? words.app.unknown,
      <Why key="why" row={row} />,
      text.holds(row.events === null ? text.noEvents : text.events(row.events), row.waveforms),
      bytes(row.bytes),
      asked
        ? text.servedOf(wholeText(hits), wholeText(asked), measured((100 * hits) / asked, "%", 0))
        : text.neverAsked,
      row.exchanges === null ? words.app.unknown : wholeText(row.exchanges),
      row.failures > 1 ? <span class="alarm">{row.failures}</span> : row.failures,
    ],
    button: onDrop && (
      <button type="button" class="quiet" aria-label={text.dropOf(row.key)} onClick={() => onDrop(row.key)}>
        {text.drop}
      </button>
    ),
  };
}

function Why({ row }: { row: Row }) {
  const [present, ...earlier] = row.epochs;
  return (
    <div class="why">
      {present ? <Began epoch={present} /> : words.app.unknown}
      {earlier.length > 0 && (
        <details>
          <summary>{text.earlier(earlier.length)}</summary>
          <ul>
            {earlier.map((epoch) => (
              <li key={epoch.number}>
                {epoch.number}: <Began epoch={epoch} />
              </li>
            ))}
          </ul>
        </details>
      )}
      {row.isDoubted && <div class="doubtful">{text.doubted}</div>}
    </div>
  );
}

function Began({ epoch }: { epoch: Epoch }) {
  return (
    <>
      {epoch.reason} <span class="faint">{text.since(serverTime(epoch.beganAt))}</span>
    </>
  );
}

function Totals({ stats, at }: { stats: Stats; at: string | null }) {
  const { store } = stats;
  return (
    <section class="block" aria-labelledby="totals">
      <header>
        <h2 id="totals">{text.totals}</h2>
        <span class="age">
          {text.readAt} {serverTime(at)}
        </span>
      </header>
      <Facts
        facts={[
          [text.units, totalOf(stats, "devices")],
          [text.waveforms, totalOf(stats, "waveforms")],
          [text.size, bytes(totalOf(stats, "bytes"))],
          [text.limit, bytes(totalOf(stats, "limit_bytes"))],
          [text.evicted, totalOf(stats, "evicted_waveforms")],
          [
            text.database,
            `${text.databaseStates[store.state] ?? store.state}${store.detail ? `: ${store.detail}` : ""}`,
          ],
          [text.waiting, store.waiting_records],
        ]}
      />
    </section>
  );
}

function DropDialog({ of, onDone }: { of: string; onDone: (isDropped: boolean) => void }) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const drop = async (): Promise<void> => {
    try {
      await ask("DELETE", "/cache/device", { query: { ...unitOf(of) } });
      onDone(true);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    }
  };
  return (
    <Dialog title={text.dropOf(of)} onClose={() => onDone(false)}>
      <p>{text.dropText}</p>
      {problem && <Trouble problem={problem} />}
      <p class="actions">
        <button type="button" class="danger" onClick={() => void drop()}>
          {text.drop}
        </button>
        <button type="button" onClick={() => onDone(false)}>
          {words.app.cancel}
        </button>
      </p>
    </Dialog>
  );
}
