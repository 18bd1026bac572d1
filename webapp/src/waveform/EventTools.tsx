// What can be done with an event: lay another one over it, review it, take it away, print it.
import { useState } from "preact/hooks";
import { addressOf, askFile, isThere, Problem, type Query } from "../api/client";
import { Menu } from "../parts/Menu";
import { ground } from "../parts/measures";
import { measures, unitsOf } from "../state";
import { words } from "../words";
import type { Chart } from "./Compliance";
import { labelOf, type Wish } from "./EventView";
import { fileName } from "./fileName";
import type { LinkedCharts } from "./linked";
import { type Overlaid, Overlay } from "./Overlay";
import { saveBlob, savePicture } from "./save";
import { warningsOf } from "./warnings";

const text = words.waveform;

interface Props extends Omit<Wish, "chart"> {
  chart: Chart | null;
  charts: { current: LinkedCharts | null };
  over: Overlaid | null;
  onOver: (over: Overlaid | null) => void;
  isEmpty: boolean;
}

const FORMATS = [
  ["csv", text.saveTable],
  ["json", text.saveJson],
  ["blastware", text.saveAscii],
  ["parquet", text.saveParquet],
] as const;

export function EventTools(props: Props) {
  const { form, serial, simulated, chart, charts, over, onOver, isEmpty, source, others, loadOther, onReview } = props;
  const [trouble, setTrouble] = useState("");
  const picture = async () => {
    const of = { serial, timestamp: form.timestamp, key: form.waveform_key, simulated };
    const { peaks } = form;
    const pvs = (peaks.bound.vector_sum_in_s ?? "") + ground(peaks.vector_sum_in_s, unitsOf.value, form.geo_range_in_s);
    const title = [
      `${simulated ? `${words.app.simulated} · ` : ""}${labelOf(serial, form)}`,
      form.project ?? "",
      `${text.pvs} ${pvs}`,
      ...(chart?.verdicts ?? []).map((one) => text.pictureVerdict(words.verdicts.outcomes[one.outcome], one)),
      chart ? chart.no_verdict : "",
      ...warningsOf(form, simulated),
      ...(over ? [text.overlayLegend(over.label)] : []),
    ];
    if (charts.current) await savePicture(fileName(of, "png"), charts.current, title.filter(Boolean));
  };
  /** Do what may come to a problem; it is reported beside the buttons. */
  const attempt = async (act: () => Promise<void>) => {
    setTrouble("");
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const isOther = error.status === 412;
      setTrouble(isOther ? text.replaced : [error.title, error.message].filter(Boolean).join(": "));
    }
  };
  const file = async (format: string) => {
    const etag = source.tag?.() ?? null;
    const { name, blob } = await askFile(`${source.path}/export`, {
      query: { ...source.query, format, units: measures() },
      headers: etag === null ? {} : { "If-Match": etag },
    });
    saveBlob(name, blob);
  };
  const report = (more: Query = {}) =>
    addressOf(`${source.path}/report.pdf`, { ...source.query, units: measures(), ...more });
  const printed = async () => {
    // Opened at once: a browser opens none for a click that lies in the past.
    const tab = open("", "_blank");
    const address = report({ inline: true });
    if (tab && (await isThere(address))) {
      tab.location.href = address;
    } else {
      // The relay makes no reports: the page itself is printed, which has the same on it.
      tab?.close();
      print();
    }
  };
  return (
    <div class="event-tools">
      {others.length > 0 && <Overlay others={others} load={loadOther} over={over} onOver={onOver} />}
      <button type="button" onClick={() => void attempt(async () => setTrouble(await onReview()))}>
        {text.review}
      </button>
      <Menu label={text.save}>
        <button type="button" onClick={() => void picture()} disabled={isEmpty}>
          {text.savePicture}
        </button>
        {FORMATS.map(([format, label]) => (
          <button key={format} type="button" onClick={() => void attempt(() => file(format))}>
            {label}
          </button>
        ))}
      </Menu>
      <button type="button" onClick={() => void printed()}>
        {text.print}
      </button>
      <a class="main" href={report()} target="_blank" rel="noreferrer">
        {text.report}
      </a>
      <span role="status">{trouble}</span>
    </div>
  );
}
