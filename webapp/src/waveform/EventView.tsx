// One event, from the unit's memory or from the archive: what it was, what speaks against it, its figures, its samples,
// and what can be taken away. The page is the same for both.
import type { ComponentChildren } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import type { Query } from "../api/client";
import type { Resource } from "../data/resource";
import type { Event } from "../events/choose";
import { unitTimeText } from "../events/stamps";
import { type Verdict, verdictText, worstVerdict } from "../events/verdicts";
import { Facts } from "../parts/Facts";
import { ground } from "../parts/measures";
import { PageTitle } from "../parts/PageTitle";
import { airUnits, unitsOf } from "../state";
import { words } from "../words";
import { Charts } from "./Charts";
import { type Chart, Compliance, chartOf } from "./Compliance";
import { decoded, type WaveformForm } from "./decode";
import { EventTools } from "./EventTools";
import { FigureRow } from "./FigureRow";
import type { LinkedCharts } from "./linked";
import type { Overlaid } from "./Overlay";
import { Peaks } from "./Peaks";
import { RecordFacts } from "./RecordFacts";
import { type Analysis, Results } from "./Results";
import { type Spectra, Spectrum } from "./Spectrum";
import { overlaid, tracesOf } from "./traces";
import { warningsOf } from "./warnings";
import "./waveform.css";

const text = words.waveform;

/** Another event that can be laid over this one. */
export interface Choice {
  name: string;
  label: string;
}

export interface Other {
  form: WaveformForm;
  label: string;
}

/** Where the relay has the event: below `path` its report and its exports. */
export interface Source {
  path: string;
  query: Query;
  /** The tag of what is shown, for a slot that may hold another event by now. */
  tag?: () => string | null;
}

export interface Wish {
  form: WaveformForm;
  serial: string | null;
  simulated: boolean;
  /** Whether it keeps to its limits, as a list has it, until the report's own verdict is here. */
  verdict: Verdict | null;
  analysis: Resource<Analysis>;
  chart: Resource<Chart>;
  spectra: Resource<Spectra>;
  /** Whether the page says already that it is simulated. */
  isSimulatedShown?: boolean;
  above: { href: string; text: string };
  previous: string | null;
  next: string | null;
  freshness?: ComponentChildren;
  source: Source;
  others: Choice[];
  /** Brings one of them; throws a `Problem`, or an `Error` whose message says why it will not do. */
  loadOther: (name: string, signal: AbortSignal) => Promise<Other>;
  /** Leads to where people review it; returns why there is nothing to review, or nothing. */
  onReview: () => Promise<string>;
  /** More about it, under the tables. */
  children?: ComponentChildren;
}

export function EventView(wish: Wish) {
  const { form, serial, simulated, freshness } = wish;
  const recording = useMemo(() => decoded(form), [form]);
  const [over, setOver] = useState<Overlaid | null>(null);
  const charts = useRef<LinkedCharts | null>(null);
  const isEmpty = recording.at.length < 2;
  const chart = chartOf(wish.chart, form);
  const verdict = chart ? worstVerdict(chart.verdicts) : wish.verdict;
  const warnings = warningsOf(form, simulated && !wish.isSimulatedShown);
  const isPending = verdict === null && wish.chart.readingSinceMs !== null;
  const title = text.named(serial ?? words.app.unknown, unitTimeText(form.timestamp) ?? text.timeUnknown);
  return (
    <div class="event" data-simulated={simulated ? words.app.simulated : undefined}>
      <Crumbs {...wish} />
      <header class="event-head">
        <PageTitle title={title} />
        {isPending || (
          <strong class={`verdict ${verdict?.outcome ?? "no_verdict"}`}>{verdictText(verdict, chart?.verdicts)}</strong>
        )}
        {freshness}
        <EventTools {...wish} chart={chart} charts={charts} over={over} onOver={setOver} isEmpty={isEmpty} />
      </header>
      <p class="event-sub faint">{[words.time.unitClock, form.project].filter(Boolean).join(" · ")}</p>
      {warnings.length > 0 && (
        <ul class="warnings" aria-label={text.warnings}>
          {warnings.map((warning) => (
            <li key={warning}>{warning}</li>
          ))}
        </ul>
      )}
      <FigureRow form={form} recording={recording} analysis={wish.analysis.body} />
      <div class="event-body">
        <div class="event-charts block">
          {isEmpty ? (
            <p class="note">{text.empty}</p>
          ) : (
            <>
              <Charts recording={recording} over={over?.recording ?? null} charts={charts} />
              {over && <Legend recording={recording} own={labelOf(serial, form)} over={over} />}
            </>
          )}
        </div>
        <div class="event-side">
          <Compliance chart={chart} />
          <Spectrum spectra={wish.spectra} analysis={wish.analysis.body} form={form} />
        </div>
        <Results analysis={wish.analysis} range={form.geo_range_in_s} />
        <div class="columns event-more">
          <section class="block event-peaks" aria-labelledby="event-peaks">
            <header>
              <h2 id="event-peaks">{text.peaks}</h2>
            </header>
            <Peaks recording={recording} reported={form.peaks} />
          </section>
          <section class="block event-facts" aria-label={text.facts}>
            <RecordFacts form={form} />
            {chart && (
              <div class="event-instrument">
                <Facts facts={chart.instrument.map(({ name, value }) => [name, value])} />
              </div>
            )}
          </section>
          {wish.children}
        </div>
      </div>
    </div>
  );
}

function Crumbs({ above, previous, next }: Wish) {
  const link = (href: string | null, label: string) =>
    href ? <a href={href}>{label}</a> : <span class="faint">{label}</span>;
  return (
    <nav class="crumbs" aria-label={text.crumbs}>
      <a href={above.href}>{above.text}</a>
      <span class="spring" />
      {link(previous, text.previous)} {link(next, text.next)}
    </nav>
  );
}

interface Laid {
  recording: ReturnType<typeof decoded>;
  own: string;
  over: Overlaid;
}

function Legend({ recording, own, over }: Laid) {
  const [mine, other] = [recording, over.recording].map((each) => tracesOf(each, unitsOf.value, airUnits.value));
  const fits = recording.atUnit === over.recording.atUnit && overlaid(mine!, other!).every((trace) => trace !== null);
  return (
    <ul class="legend">
      <li class="legend-own">{text.ownLegend(own)}</li>
      <li class="legend-over">{text.overlayLegend(over.label)}</li>
      {fits || <li class="note">{text.overlayOtherUnits}</li>}
    </ul>
  );
}

/** Return what a record is called where two of them meet. */
export function labelOf(serial: string | null, form: Pick<WaveformForm, "timestamp">): string {
  return `${text.named(serial ?? words.app.unknown, unitTimeText(form.timestamp) ?? text.timeUnknown)} (${words.time.unit})`;
}

/** Return an event of a list as one that can be laid over. */
export function otherOf(name: string, event: Event): Choice {
  const { peaks, timestamp } = event;
  const pvs = (peaks.bound.vector_sum_in_s ?? "") + ground(peaks.vector_sum_in_s, unitsOf.value);
  return { name, label: `${unitTimeText(timestamp) ?? text.timeUnknown} · ${text.pvs} ${pvs}` };
}
