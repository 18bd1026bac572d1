import type { Schemas } from "../api/client";
import { Facts } from "../parts/Facts";
import { calibrationDue, type Due } from "../parts/time";
import { now } from "../state";
import { words } from "../words";

const text = words.unit;

export function Identity({ info }: { info: Schemas["InfoOut"] }) {
  const due = calibrationDue(info.calibrated_on, new Date(now.value));
  return (
    <Facts
      facts={[
        [text.serial, info.serial],
        [text.maker, info.manufacturer],
        [text.model, info.model],
        [text.firmware, info.firmware],
        [text.dsp, info.dsp_firmware],
        [text.calibrated, info.calibrated_on ?? text.dueUnknown],
        [text.due, due ? <WhenDue due={due} /> : text.dueUnknown],
        [text.address, info.provenance.conn_key],
      ]}
    />
  );
}

function WhenDue({ due: { on, days } }: { due: Due }) {
  if (days < 0) {
    return (
      <strong class="alarm">
        {on}, {text.overdue(-days)}
      </strong>
    );
  }
  return <>{`${on}, ${days === 0 ? text.dueToday : text.dueIn(days)}`}</>;
}
