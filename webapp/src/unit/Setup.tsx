import type { Schemas } from "../api/client";
import { Facts } from "../parts/Facts";
import { air, ground, measured } from "../parts/measures";
import { airUnits, unitsOf } from "../state";
import { words } from "../words";

const text = words.unit;
type SetupOut = Schemas["SetupOut"];

/** How the unit records, in groups. A text that is empty says so; one that was not read is not available. */
export function Setup({ setup }: { setup: SetupOut }) {
  const inGround = (inS: number | null): string => ground(inS, unitsOf.value, setup.geo_range_in_s);
  // The relay gives an empty text as null; of a setup that was read it is known to be empty.
  const isRead = setup.sample_rate_hz !== null || setup.geo_range_in_s !== null;
  const noted = (value: string | null): string | null => value || (isRead ? text.empty : null);
  const inAir = (psi: number | null): string => air(psi, airUnits.value);
  return (
    <>
      <h3>{text.groups.levels}</h3>
      <Facts
        facts={[
          [text.range, inGround(setup.geo_range_in_s)],
          [text.trigger, inGround(setup.trigger_level_in_s)],
          [text.alarm, inGround(setup.alarm_level_in_s)],
          [text.micTrigger, inAir(setup.mic_trigger_psi)],
          [text.micAlarm, inAir(setup.mic_alarm_psi)],
        ]}
      />
      <h3>{text.groups.recording}</h3>
      <Facts
        facts={[
          [text.mode, setup.mode && (text.modes[setup.mode] ?? setup.mode)],
          [text.rate, measured(setup.sample_rate_hz, "Hz", 0)],
          [text.recordTime, measured(setup.record_time_s, "s", 1)],
          [text.pretrigger, measured(setup.pretrigger_s, "s", 2)],
          [text.interval, measured(setup.histogram_interval_s, "s", 0)],
        ]}
      />
      <h3>{text.groups.notes}</h3>
      <Facts
        facts={[
          [text.setupName, noted(setup.setup_name)],
          [titled(setup, "project"), noted(setup.project)],
          [titled(setup, "client"), noted(setup.client)],
          [titled(setup, "operator"), noted(setup.operator)],
          [titled(setup, "location"), noted(setup.location)],
          [titled(setup, "notes"), noted(setup.notes)],
        ]}
      />
    </>
  );
}

/** The name of a text, with its title on the unit where that was edited. */
function titled(setup: SetupOut, name: "project" | "client" | "operator" | "location" | "notes"): string {
  const title = setup.note_titles?.[name];
  return title === undefined ? text[name] : text.titled(text[name], title);
}
