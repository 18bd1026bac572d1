import type { Schemas } from "../api/client";
import { bytes, measured } from "../parts/measures";
import { unitTime } from "../parts/time";
import { words } from "../words";
import { clockText, isClockWrong, memoryUsed } from "./warnings";

const text = words.unit;
type Status = Schemas["StatusOut"];

/** What the unit does now: its state in large letters, and the figures beside it. */
export function StateNow({ status }: { status: Status }) {
  const { monitoring, battery_v: battery } = status;
  return (
    <div class="state">
      <p class={monitoring ? "state-word good" : "state-word warn"}>
        <span aria-hidden="true">{monitoring ? "●" : "○"}</span> {monitoring ? text.isMonitoring : text.isIdle}
      </p>
      <dl class="state-figures">
        <div>
          <dt>{text.battery}</dt>
          <dd class={battery !== null && battery < 6 ? "warn" : undefined}>{measured(battery, "V", 2)}</dd>
        </div>
        <div>
          <dt>{text.memory}</dt>
          <dd>
            <MemoryUsed status={status} />
          </dd>
        </div>
        <div>
          <dt>{text.clock}</dt>
          <dd class={isClockWrong(status) ? "warn" : undefined}>
            {unitTime(status.clock_device_time)}
            <small>{clockText(status)}</small>
          </dd>
        </div>
      </dl>
    </div>
  );
}

function MemoryUsed({ status }: { status: Status }) {
  const { memory_total_bytes: total, memory_free_bytes: free } = status;
  const used = memoryUsed(status);
  if (used === null) return <span class="faint">{words.app.unknown}</span>;
  return (
    <>
      {measured(100 * used, "%", 1)}
      <small>{text.memoryOf(bytes(total! - free!), bytes(total))}</small>
    </>
  );
}
