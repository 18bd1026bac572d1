// A waveform that is here, from the unit or from the archive: charts, peaks, overlay, what can be saved.
import { useMemo, useRef, useState } from "preact/hooks";
import { airUnits, unitsOf } from "../state";
import { unitTimeText } from "../events/stamps";
import { words } from "../words";
import { Charts } from "./Charts";
import { fileName, tableOf } from "./csv";
import { decoded, missing, type WaveformForm } from "./decode";
import type { LinkedCharts } from "./linked";
import { Overlay, type Load, type Overlaid } from "./Overlay";
import { Peaks } from "./Peaks";
import { RecordFacts } from "./RecordFacts";
import { savePicture, saveText } from "./save";
import { overlaid, tracesOf } from "./traces";
import "./waveform.css";

const text = words.waveform;

interface Wish {
  form: WaveformForm;
  serial: string | null;
  simulated: boolean;
  overlayLabel: string;
  overlayLeast?: number | undefined;
  loadOverlay: Load;
}

export function WaveformView({ form, serial, simulated, overlayLabel, overlayLeast, loadOverlay }: Wish) {
  const recording = useMemo(() => decoded(form), [form]);
  const [over, setOver] = useState<Overlaid | null>(null);
  const charts = useRef<LinkedCharts | null>(null);
  const of = { serial, timestamp: form.timestamp, key: form.waveform_key, simulated };
  const label = labelOf(serial, form);
  const isEmpty = recording.at.length < 2;

  const picture = () => {
    const traces = tracesOf(recording, unitsOf.value, airUnits.value);
    const style = getComputedStyle(document.querySelector(".charts")!);
    const title = [
      `${simulated ? `${words.app.simulated} · ` : ""}${label}`,
      form.project ?? "",
      ...(over ? [text.overlayLegend(over.label)] : []),
    ];
    savePicture(
      fileName(of, "png"),
      charts.current?.canvases ?? [],
      traces.map((trace) => `${trace.name} (${trace.unit})`),
      title.filter(Boolean),
      { ink: style.getPropertyValue("--chart-ink"), ground: style.getPropertyValue("--chart-ground") },
    );
  };
  const table = () => {
    const text = tableOf(form, serial, simulated, recording, unitsOf.value, airUnits.value);
    saveText(fileName(of, "csv"), text, "text/csv");
  };
  const data = () => saveText(fileName(of, "json"), JSON.stringify(form), "application/json");

  return (
    <div class="waveform">
      {missing(recording) > 0 && <p class="note">{partialText(recording)}</p>}
      {form.reasons.map(({ code, detail }) => (
        <p class="note" key={code}>
          <b>{text.notGood}</b> {detail}
        </p>
      ))}
      {recording.channels.some(({ bound }) => bound) && <p class="note">{text.overRange}</p>}
      {form.geo_range_in_s === null && <p class="note">{text.rangeUnknown}</p>}
      {isEmpty ? (
        <p class="note">{text.empty}</p>
      ) : (
        <>
          <Charts recording={recording} over={over?.recording ?? null} charts={charts} />
          {over && (
            <ul class="legend">
              <li class="legend-own">{text.ownLegend(label)}</li>
              <li class="legend-over">{text.overlayLegend(over.label)}</li>
              {overlayFits(recording, over) || <li class="note">{text.overlayOtherUnits}</li>}
            </ul>
          )}
        </>
      )}
      <div class="waveform-below">
        <Peaks recording={recording} reported={form.peaks} />
        <RecordFacts form={form} />
      </div>
      <fieldset class="waveform-tools">
        <legend>{text.overlay}</legend>
        <Overlay label={overlayLabel} least={overlayLeast} load={loadOverlay} over={over} onOver={setOver} />
      </fieldset>
      <fieldset class="waveform-tools">
        <legend>{text.save}</legend>
        <button type="button" onClick={picture} disabled={isEmpty}>{text.savePicture}</button>
        <button type="button" onClick={table}>{text.saveTable}</button>
        <button type="button" onClick={data}>{text.saveJson}</button>
      </fieldset>
    </div>
  );
}

/** Return what a record is called where two of them meet. */
export function labelOf(serial: string | null, form: Pick<WaveformForm, "timestamp" | "waveform_key">): string {
  const time = unitTimeText(form.timestamp) ?? words.app.unknown;
  return `${serial ?? words.app.unknown}, ${time} (${words.time.unit}), ${form.waveform_key}`;
}

function partialText(recording: ReturnType<typeof decoded>): string {
  const each = recording.channels.map(({ name }, i) => text.validSamples(name, recording.validSamples[i] ?? 0, recording.samples));
  return text.partial(missing(recording), each.join(", "));
}

function overlayFits(recording: ReturnType<typeof decoded>, over: Overlaid): boolean {
  const [own, other] = [recording, over.recording].map((each) => tracesOf(each, unitsOf.value, airUnits.value));
  return recording.atUnit === over.recording.atUnit && overlaid(own!, other!).every((trace) => trace !== null);
}
