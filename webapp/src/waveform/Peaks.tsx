// The peaks in words and numbers: those of the samples, beside those that the unit reported itself.
import { Scroll } from "../parts/Scroll";
import type { Schemas } from "../api/client";
import { airUnits, unitsOf } from "../state";
import { words } from "../words";
import { airPeakText, factorTo, numberText, sampleUnit, velocityText } from "./convert";
import type { Channel, Recording } from "./decode";

const text = words.waveform;
const { unknown } = words.app;

export function Peaks({ recording, reported }: { recording: Recording; reported: Schemas["PeaksOut"] }) {
  const own = { Tran: reported.tran_in_s, Vert: reported.vert_in_s, Long: reported.long_in_s };
  const ownText = (channel: Channel) => {
    const { bound } = reported;
    if (channel.name === "MicL") {
      return reported.mic_psi === null ? unknown : (bound.mic_psi ?? "") + airPeakText(reported.mic_psi, airUnits.value);
    }
    const names = { Tran: "tran_in_s", Vert: "vert_in_s", Long: "long_in_s" } as const;
    return velocityWithUnit(own[channel.name], bound[names[channel.name]]);
  };
  return (
    <Scroll label={text.peaks}>
      <table class="peaks">
        <caption>{text.peaks}</caption>
        <thead>
          <tr>
            <th scope="col">{text.channel}</th>
            <th scope="col" class="number">{text.peak}</th>
            <th scope="col">{text.peakUnit}</th>
            <th scope="col" class="number">{text.at}</th>
            <th scope="col" class="number">{text.reported}</th>
          </tr>
        </thead>
        <tbody>
          {recording.channels.map((channel) => {
            const [value, unit] = peakText(channel);
            return (
              <tr key={channel.name}>
                <th scope="row">{channel.name}</th>
                <td class="number">{value}</td>
                <td>{unit}</td>
                <td class="number">{channel.peakTimeS === null ? unknown : channel.peakTimeS.toFixed(4)}</td>
                <td class="number">{ownText(channel)}</td>
              </tr>
            );
          })}
          <tr>
            <th scope="row">{text.pvs}</th>
            <td class="number">–</td>
            <td>–</td>
            <td class="number">–</td>
            <td class="number">{velocityWithUnit(reported.vector_sum_in_s, reported.bound.vector_sum_in_s)}</td>
          </tr>
        </tbody>
      </table>
    </Scroll>
  );
}

function velocityWithUnit(inS: number | null, bound: ">" | null | undefined): string {
  const shown = velocityText(inS, unitsOf.value);
  return shown === null ? unknown : `${bound ?? ""}${shown} ${unitsOf.value}`;
}

/** Return the peak of a channel's samples and its unit; a level where the reader wants levels. */
function peakText({ peak, unit, bound }: Channel): [string, string] {
  const than = bound ?? "";
  if (peak === null) return [than + unknown, unit];
  if (unit === "psi" && airUnits.value === "dB(L)") {
    const [value, level] = airPeakText(peak, "dB(L)").split(" ");
    return [than + value!, level!];
  }
  const shown = sampleUnit(unit, unitsOf.value, airUnits.value);
  return [than + numberText(peak * factorTo(unit, shown), shown), shown];
}
