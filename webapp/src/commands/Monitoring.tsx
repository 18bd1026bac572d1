import type { Answer, Schemas, Unit } from "../api/client";
import { command } from "../api/device";
import { longCommand } from "../api/operation";
import { measured } from "../parts/measures";
import { Progress } from "../parts/Progress";
import type { Reading } from "../parts/reading";
import { words } from "../words";
import { useGiving } from "./giving";
import { OutcomeBox } from "./OutcomeBox";

const text = words.commands.monitoring;

/** Start and stop. A start is followed through the unit's sensor check. */
export function Monitoring({ unit, status }: { unit: Unit; status: Reading<Schemas["StatusOut"]> }) {
  const giving = useGiving<Schemas["MonitorOut"]>();
  const give = async (order: () => Promise<Answer<Schemas["MonitorOut"]>>): Promise<void> => {
    await giving.give(order);
    status.again();
  };
  return (
    <section class="block" aria-labelledby="monitoring">
      <h2 id="monitoring">{text.title}</h2>
      <p>{text.check}</p>
      <p class="actions">
        <button type="button" disabled={giving.isGoing} onClick={() => void give(() => longCommand(unit, "/device/monitor/start"))}>
          {text.start}
        </button>
        <button type="button" disabled={giving.isGoing} onClick={() => void give(() => command(unit, "/device/monitor/stop"))}>
          {text.stop}
        </button>
        <button
          type="button"
          disabled={giving.isGoing}
          title={text.noReplyWhy}
          onClick={() => void give(() => command(unit, "/device/monitor/stop", undefined, { wait_for_reply: false }))}
        >
          {text.noReply}
        </button>
      </p>
      <Progress unit={unit} only="monitor_start" />
      <OutcomeBox of={giving} onLook={status.refresh}>
        {(done) => (
          <>
            <p>
              {text.seen[String(done.monitoring) as "true" | "false" | "null"]}{" "}
              {done.waited_s !== null && done.waited_s !== undefined && text.waited(measured(done.waited_s, "s", 0))}
            </p>
            {done.poll_failed && <p class="detail">{done.poll_failed}</p>}
            {done.reported && <p class="detail">{done.reported}</p>}
          </>
        )}
      </OutcomeBox>
    </section>
  );
}
