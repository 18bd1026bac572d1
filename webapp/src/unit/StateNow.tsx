import type { Schemas } from "../api/client";
import { Facts } from "../parts/Facts";
import { bytes, measured } from "../parts/measures";
import { unitTime } from "../parts/time";
import { words } from "../words";

const text = words.unit;
type Status = Schemas["StatusOut"];

export function StateNow({ status }: { status: Status }) {
  return (
    <Facts
      facts={[
        [text.monitoring, status.monitoring ? <strong class="good">{text.isMonitoring}</strong> : text.isIdle],
        [text.battery, measured(status.battery_v, "V", 1)],
        [text.memory, <MemoryUsed status={status} />],
        [text.clock, unitTime(status.clock_device_time)],
        [text.drift, <Drift status={status} />],
      ]}
    />
  );
}

function MemoryUsed({ status }: { status: Status }) {
  const { memory_total_bytes: total, memory_free_bytes: free } = status;
  if (total === null || free === null || total <= 0) return <span class="faint">{words.app.unknown}</span>;
  const used = total - free;
  return (
    <span>
      <meter aria-label={text.memory} min={0} max={total} high={total * 0.9} value={used} />{" "}
      {text.memoryOf(bytes(used), bytes(total), measured((100 * used) / total, "%", 1))}
    </span>
  );
}

function Drift({ status: { clock_sentence: sentence, clock_settable: isSettable } }: { status: Status }) {
  if (!sentence) return <span class="faint">{words.app.unknown}</span>;
  return (
    <span>
      {sentence} <small>{!isSettable && text.notSettable}</small>
    </span>
  );
}
