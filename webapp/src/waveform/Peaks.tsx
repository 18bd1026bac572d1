// The peaks in words and numbers: those of the samples, beside those that the unit reported itself.

import type { Schemas } from "../api/client";
import { air, factorTo, ground, numberText, sampleUnit } from "../parts/measures";
import { Scroll } from "../parts/Scroll";
import { airUnits, unitsOf } from "../state";
import { words } from "../words";
import type { Channel, Recording } from "./decode";

const text = words.waveform;
const { unknown } = words.app;

export function Peaks({ recording, reported }: { recording: Recording; reported: Schemas["PeaksOut"] }) {
  const own = { Tran: reported.tran_in_s, Vert: reported.vert_in_s, Long: reported.long_in_s };
  const ownText = (channel: Channel) => {
    const { bound } = reported;
    if (channel.name === "MicL") {
      return !reported.mic_psi ? unknown : (bound.mic_psi ?? "") + air(reported.mic_psi, airUnits.value);
    }
    const names = { Tran: "tran_in_s", Vert: "vert_in_s", Long: "long_in_s" } as const;
    return velocityWithUnit(own[channel.name], bound[names[channel.name]], recording.rangeInS);
  };
  return (
    <Scroll label={text.peaks}>
      <table class="peaks">
        <caption class="hidden">{text.peaks}</caption>
        <thead>
          <tr>
            <th scope="col">{text.channel}</th>
            <th scope="col" class="number">
              {text.peak}
            </th>
            <th scope="col">{text.peakUnit}</th>
            <th scope="col" class="number">
              {text.at}
            </th>
            <th scope="col" class="number">
              {text.reported}
            </th>
          </tr>
        </thead>
        <tbody>
          {recording.channels.map((channel) => {
            const [value, unit] = peakText(channel, recording.rangeInS);
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
            <td class="number">
              {velocityWithUnit(reported.vector_sum_in_s, reported.bound.vector_sum_in_s, recording.rangeInS)}
            </td>
          </tr>
        </tbody>
      </table>
    </Scroll>
  );
}

function velocityWithUnit(inS: number | null, bound: ">" | null | undefined, rangeInS: number | null): string {
  return (inS === null ? "" : (bound ?? "")) + ground(inS, unitsOf.value, rangeInS);
}

/** Return the peak of a channel's samples and its unit; a level where the reader wants levels. */
function peakText({ peak, unit, bound }: Channel, rangeInS: number | null): [string, string] {
  const than = bound ?? "";
  if (peak === null) return [than + unknown, unit];
  if (unit === "psi") {
    const [value, shown] = air(peak, airUnits.value).split(" ");
    return [than + value!, shown!];
  }
  const shown = sampleUnit(unit, unitsOf.value, airUnits.value);
  return [than + numberText(peak * factorTo(unit, shown), shown, rangeInS), shown];
}
