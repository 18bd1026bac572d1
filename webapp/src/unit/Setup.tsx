import type { Schemas } from "../api/client";
import { Facts } from "../parts/Facts";
import { air, ground, measured } from "../parts/measures";
import { airUnits, unitsOf } from "../state";
import { words } from "../words";

const text = words.unit;

export function Setup({ setup }: { setup: Schemas["SetupOut"] }) {
  const inGround = (inS: number | null): string => ground(inS, unitsOf.value);
  const inAir = (psi: number | null): string => air(psi, airUnits.value);
  return (
    <Facts
      facts={[
        [text.mode, setup.mode && (text.modes[setup.mode] ?? setup.mode)],
        [text.rate, measured(setup.sample_rate_hz, "Hz", 0)],
        [text.recordTime, measured(setup.record_time_s, "s", 1)],
        [text.pretrigger, measured(setup.pretrigger_s, "s", 2)],
        [text.interval, measured(setup.histogram_interval_s, "s", 0)],
        [text.range, inGround(setup.geo_range_in_s)],
        [text.trigger, inGround(setup.trigger_level_in_s)],
        [text.alarm, inGround(setup.alarm_level_in_s)],
        [text.micTrigger, inAir(setup.mic_trigger_psi)],
        [text.micAlarm, inAir(setup.mic_alarm_psi)],
        [text.setupName, setup.setup_name],
        [titled(setup, "project"), setup.project],
        [titled(setup, "client"), setup.client],
        [titled(setup, "operator"), setup.operator],
        [titled(setup, "location"), setup.location],
        [titled(setup, "notes"), setup.notes],
      ]}
    />
  );
}

/** The name of a text, with its title on the unit where that was edited. */
function titled(setup: Schemas["SetupOut"], name: "project" | "client" | "operator" | "location" | "notes"): string {
  const title = setup.note_titles?.[name];
  return title === undefined ? text[name] : text.titled(text[name], title);
}
